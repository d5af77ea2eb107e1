"""Data sets as users bring them: the same rows in other formats, checked, looked at, split.

usage: data.py ZIPRL FIXTURES WORK CASE
"""

import base64
import html.parser
import json
import os
import shutil

import workbench
from workbench import check, check_finite, check_same_metrics, read_json_lines, tiny_run, write_rows


def fixture_rows(bench):
    return read_json_lines(bench.fixture("rows.jsonl"))


def write_parquet(bench, path, rows, **options):
    """The fixture's rows with their pictures inside."""
    import pyarrow
    import pyarrow.parquet

    def picture(name):
        with open(bench.fixture(name), "rb") as file:
            return {"bytes": file.read(), "path": name}
    rows = [dict(row, images=[picture(name) for name in row["images"]]) for row in rows]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)


def formats_equal(bench):
    """A run on JSON or on Parquet, whole or in shards, is that on JSONL, number by number."""
    rows = [dict(row, data_source="fixture") for row in fixture_rows(bench)]
    linked = [dict(row, images=[bench.fixture(name) for name in row["images"]]) for row in rows]
    write_rows(bench.path("rows.jsonl"), linked)
    with open(bench.path("rows.json"), "w") as file:
        json.dump(linked, file, indent=1)
    write_parquet(bench, bench.path("one/rows.parquet"), rows, row_group_size=7)
    half = len(rows) // 2
    write_parquet(bench, bench.path("shards/a-00.parquet"), rows[:half], row_group_size=5, compression="zstd")
    write_parquet(bench, bench.path("shards/a-01.parquet"), rows[half:])
    files = {"jsonl": "rows.jsonl", "json": "rows.json", "parquet": "one/rows.parquet", "shards": "shards/a-*.parquet"}
    for name, path in files.items():
        bench.run(*tiny_run(bench, bench.path(name), f"data.train_files=[{bench.path(path)}]", "trainer.max_steps=2"))
        check_same_metrics(bench.path("jsonl", "metrics.jsonl"), bench.path(name, "metrics.jsonl"))


def windows_resume(bench):
    """Parquet that does not fit the shuffle buffer: a run that is interrupted goes on with the same prompts."""
    rows = [dict(row, data_source="fixture", padding=base64.b64encode(os.urandom(90_000)).decode())
            for row in fixture_rows(bench)]
    write_parquet(bench, bench.path("rows.parquet"), rows, row_group_size=3, compression="none", use_dictionary=False)
    more = [f"data.train_files=[{bench.path('rows.parquet')}]", "data.shuffle_buffer_mb=1", "trainer.max_steps=3",
            "rollout.log_completions=true"]
    bench.run(*tiny_run(bench, bench.path("straight"), *more))
    bench.run(*tiny_run(bench, bench.path("parts"), *more, "trainer.max_steps=1"))
    bench.run(*tiny_run(bench, bench.path("parts"), *more))
    check_same_metrics(bench.path("straight", "metrics.jsonl"), bench.path("parts", "metrics.jsonl"))
    whole = [*more, "data.shuffle_buffer_mb=1000"]
    bench.run(*tiny_run(bench, bench.path("whole"), *whole))
    order = lambda run: [line["row"] for line in read_json_lines(bench.path(run, "completions.jsonl"))]
    check(order("straight") == order("parts") != order("whole"), "the window changes nothing")


def held_out(bench):
    """The validation is on the rows that data.val_fraction takes from the training, and on no other."""
    run = bench.path("run")
    fraction = ["data.val_fraction=.3", "trainer.val_freq=1", "trainer.max_steps=2", "rollout.log_completions=true",
                "reward.functions=[contains]"]
    bench.run(*tiny_run(bench, run, *fraction))
    steps = read_json_lines(f"{run}/metrics.jsonl")
    check_finite(steps)
    check(all(any(name.startswith("val-core/rows/") for name in step) for step in steps), steps[0])
    refused = bench.call(*tiny_run(bench, bench.path("other"), *fraction, f"data.val_files={bench.fixture('rows.jsonl')}"))
    check(refused.returncode == 1 and "data.val_fraction = 0.3" in refused.stderr, refused.stderr)


def bad_rows(bench):
    """Every bad row of every file, and nothing else, each with its place, column and reason."""
    with open(bench.path("cut.png"), "wb") as file, open(bench.fixture("images/0.png"), "rb") as whole:
        file.write(whole.read()[:100])
    good = dict(problem="<image>a", answer="b", images=[bench.fixture("images/0.png")])
    bad = {3: (dict(good, problem="a"), "images", "0 <image> marks"), 7: (dict(problem="a"), "answer", "no column"),
           8: (dict(good, images=["none.png"]), "images", "none.png"), 40: (dict(good, images=["cut.png"]), "images", "cut.png"),
           900: (dict(answer="b"), "problem", "no column"), 999: (dict(good, videos=[{"bytes": "eA=="}]), "videos", "1 videos")}
    rows = [bad[i][0] if i in bad else good for i in range(1000)]
    with open(bench.path("a.jsonl"), "w") as file:
        file.writelines(json.dumps(row) + "\n\n" for row in rows)
        file.write("{broken\n")
    write_rows(bench.path("good.jsonl"), [good])
    open(bench.path("empty.jsonl"), "w").close()
    done = bench.call("data", "check", bench.path("a.jsonl"), bench.path("good.jsonl"), bench.path("empty.jsonl"),
                      bench.path("no*.parquet"), "--threads", "3")
    check(done.returncode == 1, done.returncode)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    check(done.stderr.strip() == "ziprl data: 3 files, 1002 rows, 9 bad", done.stderr)
    files = [(os.path.basename(row["file"]), row["reason"]) for row in found if row["row"] is None]
    check([name for name, _ in files] == ["empty.jsonl", "no*.parquet"], files)
    check("no rows" in files[0][1] and "matches no file" in files[1][1], files)
    found = {row["row"]: row for row in found if row["row"] is not None}
    check(set(found) == {i + 1 for i in bad} | {1001}, sorted(found))
    for i, (_, column, reason) in bad.items():
        row = found[i + 1]
        check(row["file"] == bench.path("a.jsonl") and row["line"] == 2 * i + 1, row)
        check(row["column"] == column and reason in row["reason"], row)
    check(found[1001]["column"] is None and "broken JSON" in found[1001]["reason"], found[1001])
    for more in ([], ["--model", bench.fixture("tiny"), "data.max_prompt_length=5"], ["data.answer_key=problem"]):
        done = bench.call("data", "check", bench.path("good.jsonl"), *more)
        check(done.returncode == 0 and done.stdout == "", done)
        check(("1 prompts over data.max_prompt_length = 5" in done.stderr) == bool("--model" in more), done.stderr)


class Page(html.parser.HTMLParser):
    """What a browser would see: texts, and where images come from."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.images, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attributes)["src"])

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data)


def preview(bench):
    """The page holds the pictures byte for byte, and every text as text, whatever it looks like."""
    nasty = "</pre><script>alert('x')</script> & \"<b>\" \u00e9"
    picture = bench.fixture("images/0.png")
    rows = [dict(problem=f"<image>{nasty}", answer=nasty, images=[picture], level=nasty, response="x"),
            dict(problem="two <image> <image>", answer="b", images=[picture, picture], response="x"),
            dict(problem="no picture", answer="", images=[picture], response="x"), dict(problem="never shown", answer="c")]
    write_rows(bench.path(f"a<i>.jsonl"), rows)
    command = ["data", "preview", bench.path("a<i>.jsonl"), "--out", bench.path("page.html"), "--rows", 3]
    bench.run(*command, "--model", bench.fixture("tiny"))
    with open(bench.path("page.html"), encoding="utf-8") as file:
        page = Page(file.read())
    check(not page.tags & {"script", "b", "i"}, page.tags)
    check(page.texts.count(nasty) == 2 and json.dumps(nasty, ensure_ascii=False) in page.texts, page.texts)
    check("0 <image> marks but 1 images in column 'images'" in page.texts, page.texts)
    check("3 of 4 rows" in page.texts and "never shown" not in page.texts, page.texts)
    with open(picture, "rb") as file:
        content = "data:image/png;base64," + base64.b64encode(file.read()).decode()
    check(page.images == [content] * 3, [image[:40] for image in page.images])
    shutil.copy(picture, bench.path("p.png"))
    write_rows(bench.path("b.jsonl"), [dict(row, images=["p.png"] * len(row["images"])) for row in rows[:2]])
    counted = [len(json.loads(line)["prompt_ids"]) for line in
               bench.run("logprobs", bench.fixture("tiny"), bench.path("b.jsonl")).splitlines()]
    shown = [page.texts[i + 1] for i, text in enumerate(page.texts) if text == "prompt tokens"]
    check(shown == [str(count) for count in counted], shown, counted)
    bench.run(*command)
    with open(bench.path("page.html"), encoding="utf-8") as file:
        check("prompt tokens" not in file.read(), "tokens without a model")


if __name__ == "__main__":
    workbench.main({case.__name__: case for case in (formats_equal, windows_resume, held_out, bad_rows, preview)})
