"""Rows as users of EasyR1, verl and TRL have them, written by json, pyarrow and `datasets`, read by the data reader.

judge_rows.py ROW_PROBE WORK CASE PARQUET_IS_ON
"""

import ast
import base64
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import typing

PROBE, WORK, CASE, PARQUET = sys.argv[1:]
WORK = os.path.join(WORK, CASE)
WORDS = ["red", "Is it?", "na\u00efve", "\u5706\u5f62", "\U0001f7e5", "a \"quote\"", "back\\slash", "new\nline", "{[,]}", "\u2028"]


def check(condition, *what):
    if not condition:
        sys.exit("FAILED: " + " ".join(str(part) for part in what))


def trl_function(name):
    """One function of trl.data_utils by itself: the package takes many seconds to import."""
    folder = importlib.util.find_spec("trl").submodule_search_locations[0]
    with open(os.path.join(folder, "data_utils.py"), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    scope = {"Any": typing.Any}
    exec(compile(tree, "data_utils.py", "exec"), scope)
    return scope[name]


def text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 9)))


def picture(rng):
    return rng.randbytes(rng.randrange(1, 2000))


def read(path, *keys, file_format="auto"):
    done = subprocess.run([PROBE, file_format, *keys, path], capture_output=True, text=True, encoding="utf-8", check=True)
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def write(name, content, mode="w", **options):
    path = os.path.join(WORK, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, mode, **options) as file:
        file.write(content)
    return path


def text_files(rows, name):
    """The rows in every text form there is."""
    yield write(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    yield write(f"{name}-utf8.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    yield write(f"{name}.json", json.dumps(rows))
    yield write(f"{name}-indented.json", json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")
    import datasets
    datasets.disable_progress_bars()
    path = os.path.join(WORK, f"{name}-datasets.json")
    datasets.Dataset.from_list(rows).to_json(path)
    yield path
    check(datasets.load_dataset("json", data_files=path, cache_dir=WORK)["train"].num_rows == len(rows), path)


def with_bytes(rows):
    """The rows as a Parquet file has them: bytes instead of base64."""
    def convert(image):
        if isinstance(image, dict):
            return dict(image, bytes=base64.b64decode(image["bytes"]))
        return base64.b64decode(image.split(",")[1]) if image.startswith("data:") else image
    return [dict(row, images=[convert(image) for image in row["images"]]) for row in rows]


def parquet_files(rows, name):
    """The rows in every Parquet form there is."""
    import datasets
    import pyarrow
    import pyarrow.parquet
    table = pyarrow.Table.from_pylist(with_bytes(rows))
    for i, options in enumerate((
            {}, {"row_group_size": 7, "compression": "zstd"}, {"compression": "gzip", "data_page_version": "2.0"},
            {"row_group_size": 1, "compression": "none", "use_dictionary": False}, {"compression": "brotli"},
            {"compression": "lz4", "data_page_size": 100, "store_schema": False})):
        path = os.path.join(WORK, f"{name}-{i}.parquet")
        pyarrow.parquet.write_table(table, path, **options)
        yield path
    large = {pyarrow.string(): pyarrow.large_string(), pyarrow.binary(): pyarrow.large_binary()}
    fields = [field.with_type(large.get(field.type, field.type)) for field in table.schema]
    path = os.path.join(WORK, f"{name}-large.parquet")
    columns = [table.column(f.name).cast(f.type) for f in fields]
    coded = [c.dictionary_encode() if c.type == pyarrow.large_string() else c for c in columns]
    pyarrow.parquet.write_table(pyarrow.table(coded, names=table.column_names), path, row_group_size=20)
    yield path
    path = os.path.join(WORK, f"{name}-datasets.parquet")
    datasets.Dataset.from_list(with_bytes(rows)).to_parquet(path, batch_size=16)
    yield path


def files(rows, name):
    yield from text_files(rows, name)
    if PARQUET == "ON":
        yield from parquet_files(rows, name)


def check_rows(path, expected, *keys):
    given = read(path, *keys)
    check(len(given) == len(expected), path, "has", len(given), "rows:", given[:1])
    for i, (got, want) in enumerate(zip(given, expected)):
        check("error" not in got, path, i, got)
        got["media"] = [base64.b64decode(image["bytes"]) for image in got["images"]]
        got["extra"] = {key: json.loads(value) for key, value in got["extra"].items()}
        for key, value in want.items():
            check(got[key] == value, path, "row", i, key, "is", got[key], "instead of", value)


def easyr1():
    """problem with marks, answer, images as paths, other columns for the rewards."""
    rng, rows, expected = random.Random(1), [], []
    for i in range(60):
        pictures = [picture(rng) for _ in range(i % 3)]
        paths = [f"images/{i}-{j}.png" for j in range(len(pictures))]
        for path, content in zip(paths, pictures):
            write(path, content, "wb")
        words = [text(rng) for _ in range(len(pictures) + 1)]
        rows.append({"problem": "<image>".join(words), "answer": text(rng), "images": paths, "level": i,
                     "meta": {"of": [str(i), text(rng)]}})
        items = [["text", words[0]]]
        for word in words[1:]:
            items += [["image"], ["text", word]]
        expected.append({"turns": [["user", items]], "problem": rows[-1]["problem"], "answer": rows[-1]["answer"],
                         "media": pictures, "extra": {"level": i, "meta": rows[-1]["meta"]}})
    for path in files(rows, "easyr1"):
        check_rows(path, expected)


def verl():
    """prompt as turns with marks, reward_model.ground_truth, data_source, extra_info, images as {bytes, path}."""
    rng, rows, expected = random.Random(2), [], []
    for i in range(60):
        content = picture(rng)
        system, question = text(rng), text(rng)
        extra_info = {"index": i, "split": "train", "question": question}
        reward_model = {"style": "rule", "ground_truth": str(rng.random())}
        rows.append({"data_source": f"set/{i % 2}", "prompt": [{"role": "system", "content": system},
                                                               {"role": "user", "content": "<image>" + question}],
                     "images": [{"bytes": base64.b64encode(content).decode(), "path": f"{i}.png"}], "ability": "math",
                     "reward_model": reward_model, "extra_info": extra_info})
        expected.append({"turns": [["system", [["text", system]]], ["user", [["image"], ["text", question]]]],
                         "answer": reward_model["ground_truth"], "source": f"set/{i % 2}", "media": [content],
                         "extra": {"ability": "math", "reward_model": reward_model, "extra_info": extra_info}})
    for path in files(rows, "verl"):
        check_rows(path, expected)


def trl():
    """prompt as turns, images beside them: where they stand is what TRL's own function says."""
    prepare_multimodal_messages = trl_function("prepare_multimodal_messages")
    rng, rows, expected = random.Random(3), [], []
    for i in range(60):
        pictures = [picture(rng) for _ in range(i % 4)]
        turns = [{"role": "user", "content": text(rng)}]
        if i % 2:
            turns.insert(0, {"role": "system", "content": text(rng)})
        if i % 5 == 0:
            turns += [{"role": "assistant", "content": text(rng)}, {"role": "user", "content": text(rng)}]
        solution = text(rng)
        rows.append({"prompt": turns, "images": [base64.b64encode(p).decode() for p in pictures], "solution": solution,
                     "weight": i / 8})
        rows[-1]["images"] = ["data:image/png;base64," + image for image in rows[-1]["images"]]
        judged = prepare_multimodal_messages(turns, pictures)
        expected.append({"turns": [[t["role"], [[c["type"]] + ([c["text"]] if "text" in c else []) for c in t["content"]]]
                                   for t in judged],
                         "media": pictures, "answer": solution, "extra": {"weight": i / 8, "solution": solution}})
    for path in files(rows, "trl"):
        check_rows(path, expected)


def tables():
    """Tab-separated values with base64 images, as pandas writes them: quotes, tabs and line ends within fields."""
    import csv
    import pandas
    rng, rows, expected = random.Random(4), [], []
    for i in range(80):
        content = b"\x89PNG\r\n\x1a\n" + rng.randbytes(9000 if i % 20 == 0 else 50)
        words = text(rng) + rng.choice(["", "\t", "\r\n", '"', '""', "'", "\t\"\n", " "])
        rows.append({"problem": f"<image>{words}", "images": base64.b64encode(content).decode(),
                     "answer": rng.choice(['"', "a\tb", "x", '""', '"quoted"', "b\"c"]), "hint": text(rng) if i % 3 else ""})
        extra = {"hint": rows[-1]["hint"] or None}
        expected.append({"problem": rows[-1]["problem"], "answer": rows[-1]["answer"], "media": [content], "extra": extra})
    frame = pandas.DataFrame(rows)
    for name, options in (("plain", {}), ("quoted", {"quoting": csv.QUOTE_ALL}), ("crlf", {"lineterminator": "\r\n"}),
                          ("bom", {"encoding": "utf-8-sig"})):
        path = os.path.join(WORK, f"{name}.tsv")
        frame.to_csv(path, sep="\t", index=False, **options)
        check(len(pandas.read_csv(path, sep="\t")) == len(rows), path)
        check_rows(path, expected)
    for content, named in (("a\ta\n1\t2\n", "'a' twice"), ("a\tb\n1\t2\t3\n", "3 fields, the header names 2"),
                           ("", "without a header"), ('a\tb\n1\t"2\n3', "within the quotes of a row that begins on line 2")):
        errors = read(write("broken.tsv", content))
        check(len(errors) == 1 and named in errors[0]["error"], content, errors)


def images_of_datasets():
    """A column of the feature Image, as `datasets` stores pictures and paths to them."""
    import datasets
    import numpy
    from PIL import Image
    datasets.disable_progress_bars()
    pictures, rng = [], numpy.random.default_rng(5)
    for i in range(6):
        pixels = rng.integers(0, 256, (8 + i, 9, 3), dtype=numpy.uint8)
        pictures.append(os.path.join(WORK, f"{i}.png"))
        Image.fromarray(pixels).save(pictures[-1])
    features = datasets.Features({"problem": datasets.Value("string"), "answer": datasets.ClassLabel(names=["no", "yes"]),
                                  "images": datasets.Sequence(datasets.Image()), "image": datasets.Image()})
    rows = {"problem": ["<image><image>?"] * 3, "answer": [0, 1, 1], "images": [[p] for p in pictures[:3]],
            "image": pictures[3:]}
    path = os.path.join(WORK, "pictures.parquet")
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    contents = [open(p, "rb").read() for p in pictures]
    check_rows(path, [{"media": [contents[i], contents[3 + i]], "answer": str(rows["answer"][i])} for i in range(3)])


def other_types():
    """Columns for the rewards: every type reaches them as what Python's JSON makes of it, or as text."""
    import datetime
    import decimal
    import pyarrow
    import pyarrow.parquet
    extra = {"small": (pyarrow.array([-3, None], pyarrow.int8()), [-3, None]),
             "big": (pyarrow.array([2**64 - 1, 0], pyarrow.uint64()), [2**64 - 1, 0]),
             "half": (pyarrow.array([0.1, -2.5], pyarrow.float32()), [0.10000000149011612, -2.5]),
             "flag": (pyarrow.array([True, False]), [True, False]),
             "list": (pyarrow.array([[1, None], []], pyarrow.list_(pyarrow.int32())), [[1, None], []]),
             "fixed": (pyarrow.array([[1, 2], [3, 4]], pyarrow.list_(pyarrow.int16(), 2)), [[1, 2], [3, 4]]),
             "nested": (pyarrow.array([{"a": [{"b": "x"}]}, None]), [{"a": [{"b": "x"}]}, None]),
             "bytes": (pyarrow.array([b"\xff\x00", b""]), ["/wA=", ""]),
             "map": (pyarrow.array([[("k", 1)], []], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
                     [[{"key": "k", "value": 1}], []]),
             "day": (pyarrow.array([datetime.date(2024, 2, 29), None]), ["2024-02-29", None]),
             "price": (pyarrow.array([decimal.Decimal("1.50"), decimal.Decimal("-2.00")]), ["1.50", "-2.00"]),
             "nothing": (pyarrow.nulls(2), [None, None])}
    columns = {"problem": pyarrow.array(["a", "b"]), "answer": pyarrow.array([1.5, 2.0])}
    columns.update({name: array for name, (array, _) in extra.items()})
    path = os.path.join(WORK, "types.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    check_rows(path, [{"answer": ["1.5", "2.0"][i], "extra": {name: values[i] for name, (_, values) in extra.items()}}
                      for i in range(2)])


def wrong_types():
    """Named are file, column, the type given and those allowed."""
    import pyarrow
    import pyarrow.parquet
    good = {"problem": pyarrow.array(["a"]), "answer": pyarrow.array(["b"])}
    turn = {"role": "user", "content": "x"}
    for column, array, given, allowed in (
            ("problem", pyarrow.array([b"x"]), "binary", "string"),
            ("answer", pyarrow.array([{"a": 1}]), "struct<a: int64>", "string"),
            ("images", pyarrow.array([[1, 2]]), "list<element: int64>", "struct<bytes: binary, path: string>"),
            ("images", pyarrow.array([[{"url": "x"}]]), "list<element: struct<url: string>>", "path"),
            ("videos", pyarrow.array([1.5]), "double", "binary"),
            ("messages", pyarrow.array([["x"]]), "list<element: string>", "{role: string"),
            ("prompt", pyarrow.array([[dict(turn, content=1)]]), "content: int64", "{role: string"),
            ("data_source", pyarrow.array([["x"]]), "list<element: string>", "string or number"),
            ("reward_model", pyarrow.array([{"ground_truth": {"x": 1}}]), "struct<x: int64>", "string")):
        columns = {k: v for k, v in good.items() if column != "reward_model" or k != "answer"}
        path = os.path.join(WORK, "wrong.parquet")
        pyarrow.parquet.write_table(pyarrow.table({**columns, column: array}), path)
        errors = read(path)
        named = column + (".ground_truth" if column == "reward_model" else "")
        check(len(errors) == 1 and errors[0].get("column") == named, column, errors)
        for text_ in (path, f"'{named}'", given, allowed):
            check(text_ in errors[0]["error"], repr(text_), "is not in", errors[0]["error"])
    bad_text = pyarrow.array([b"\xff"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"problem": bad_text, "answer": good["answer"]}), path)
    check(read(path)[0].get("error") == "column 'problem' is binary, allowed is text or a number", read(path))
    pyarrow.parquet.write_table(pyarrow.table({"question": good["problem"]}), path)
    check("no column 'problem'" in read(path)[0]["error"] and "there are: question" in read(path)[0]["error"], read(path))


def damaged():
    """Bytes that are no Parquet file, or not all of one, are an error that names the file."""
    import pyarrow
    import pyarrow.parquet
    rng = random.Random(4)
    path = os.path.join(WORK, "whole.parquet")
    rows = [{"problem": text(rng) * 9, "answer": text(rng), "images": [rng.randbytes(500)] * 0} for _ in range(500)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=100)
    with open(path, "rb") as file:
        whole = file.read()
    for size in (0, 3, 8, 100, len(whole) // 2, len(whole) - 1):
        broken = write("broken.parquet", whole[:size], "wb")
        errors = read(broken)
        check(len(errors) == 1 and broken in errors[0]["error"], size, errors[:2])
    for i in range(60):
        damage = bytearray(whole)
        for _ in range(1 + i % 5):
            damage[rng.randrange(4, len(whole))] = rng.randrange(256)
        for row in read(write("damaged.parquet", bytes(damage), "wb")):
            check("error" in row or "problem" in row, row)


if __name__ == "__main__":
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    globals()[CASE]()
    print(f"{CASE}: as it should be")
