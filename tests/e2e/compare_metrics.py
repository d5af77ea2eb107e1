"""compare_metrics.py A B [--relative R]: two metrics.jsonl of the same steps, times aside, name by name.

Prints every difference beyond the tolerance and exits 1 when there is one. Sampled tokens may part ways once
a near-tie falls the other way, so the default tolerance is that of one step's statistics.
"""

import argparse
import json
import sys

IGNORED = ("timing_s/", "perf/", "rollout/wait_ratio", "rollout/idle_ratio", "sampling/", "mismatch/")


def load(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--relative", type=float, default=0.05)
    options = parser.parse_args()
    a, b = load(options.a), load(options.b)
    if not a or len(a) != len(b):
        sys.exit(f"{options.a} has {len(a)} steps, {options.b} {len(b)}")
    differences = 0
    for row_a, row_b in zip(a, b):
        names = {n for n in row_a.keys() | row_b.keys() if not n.startswith(IGNORED)}
        for name in sorted(names):
            x, y = row_a.get(name), row_b.get(name)
            if x is None or y is None:
                close = x == y
            else:
                close = abs(x - y) <= options.relative * max(abs(x), abs(y), 1e-3)
            if not close:
                differences += 1
                print(f"step {row_a['step']}: {name}: {x} and {y}")
    print(f"{len(a)} steps compared, {differences} differences beyond {options.relative:g} relative")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
