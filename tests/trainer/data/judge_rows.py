"""Rows as users of EasyR1, verl and TRL have them, written by json and by `datasets`, read by the data reader.

judge_rows.py ROW_PROBE WORK CASE
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

PROBE, WORK, CASE = sys.argv[1:]
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


def files(rows, name):
    yield from text_files(rows, name)


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


if __name__ == "__main__":
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    {"easyr1": easyr1, "verl": verl, "trl": trl}[CASE]()
    print(f"{CASE}: as it should be")
