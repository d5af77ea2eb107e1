"""docs/performance.md from the lines that the benchmarks printed; of a case that comes twice the last line counts.
usage: performance.py FILE..., from the repository's root

Why a case misses its target is told in notes.json (case -> reason; machine -> what to know of it), which survives a new
run. A line with "stopped" stands for a benchmark that ended without all of its cases.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = "docs/performance.md"
HEAD = """# Performance

Written by `launch/bench all`, or from kept lines by `launch/bench report FILE...`; do not edit. `ratio` says how many
times better ours is (memory: rival / ours) and is the median over at least five rounds in which both sides took turns;
without a rival it is ours, in its unit. `limit` is what arithmetic or the machine allows. Reasons come from
`tests/bench/notes.json`.
"""


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def verdict(line):
    if line["target"] is None:
        return "–"
    return "met" if line["ratio"] >= line["target"] else "**missed**"


def table(lines):
    yield "| case | unit | ours | rival | ratio | target | limit | |"
    yield "|---|---|---:|---:|---:|---:|---:|---|"
    for line in lines:
        figures = [number(line[key]) for key in ("ours", "rival", "ratio", "target", "limit")]
        yield f"| `{line['name']}` | {line['unit']} | {' | '.join(figures)} | {verdict(line)} |"


def main(paths):
    lines, stopped = {}, {}
    for path in paths:
        with open(path) as file:
            for line in map(json.loads, file):
                (stopped if "stopped" in line else lines)[line["name"]] = line
    with open(f"{HERE}/notes.json") as file:
        notes = json.load(file)
    with open(OUT, "w") as out:
        print(HEAD, file=out)
        for machine, date in dict.fromkeys((line["machine"], line["date"]) for line in lines.values()):
            print(f"## {machine}, {date}\n", file=out)
            if machine in notes:
                print(f"{notes[machine]}\n", file=out)
            chosen = [line for line in lines.values() if (line["machine"], line["date"]) == (machine, date)]
            print("\n".join(table(chosen)), end="\n\n", file=out)
        missed = [name for name, line in lines.items() if verdict(line) == "**missed**"]
        if missed or stopped:
            print("## Missed\n", file=out)
        for name in missed:
            line = lines[name]
            print(f"* `{name}`: {number(line['ratio'])} of {number(line['target'])}: "
                  f"{notes.get(name, 'no reason written yet')}", file=out)
        for name, line in stopped.items():
            print(f"* `{name}` {line['stopped']}: {notes.get(name, 'no reason written yet')}", file=out)
    print(f"{OUT}: {len(lines)} cases, {len(missed)} below target", file=sys.stderr)


main(sys.argv[1:])
