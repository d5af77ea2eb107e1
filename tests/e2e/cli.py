"""The commands around training: what they print and write is what they say.

usage: cli.py ZIPRL FIXTURES WORK CASE
"""

import collections
import importlib.util
import json
import os
import re
import shutil

import workbench
from workbench import check, check_same_files, read_json_lines, tiny_run

COMMANDS = ["train", "sft", "eval", "generate", "logprobs", "init", "import", "export", "data", "config", "plan", "tokenize",
            "report", "selftest"]
MODEL_FILES = ["chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
               "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"]


def close(a, b, tolerance=1e-9):
    return abs(a - b) <= tolerance * max(1, abs(a), abs(b))


def help_texts(bench):
    listing = bench.run("--help")
    for command in COMMANDS:
        check(f"\n  {command} " in listing, command, "is not listed:", listing)
        text = bench.run(command, "--help")
        check("Example: " in text and f"ziprl {command} " in text, command, "shows no example:", text)


def config_round_trip(bench):
    """Every key with its meaning; what is printed is a config that prints the same."""
    first = bench.run("config", "rollout.n=16", "rollout.thresholds=[.5,1]", "trainer.output_dir=a b: c")
    with open(bench.path("run.yaml"), "w") as file:
        file.write(first)
    check(bench.run("config", bench.path("run.yaml")) == first, "the printed config is another one")
    check(bench.run("config", bench.path("run.yaml"), "rollout.n=17") != first, "an override changes nothing")
    for key in ("n: 16", "sparsity:", "max_prompt_length:", "output_dir:"):
        check(key in first, key, "is not in:", first)


def tokenize(bench):
    model = bench.fixture("tiny")
    texts = ["Is the disc red?", "", "na\u00efve caf\u00e9 \U0001f7e5\n\t\u0000", "<|im_start|>user\nx<|im_end|>", "7 x 70"]
    ids = bench.run("tokenize", model, stdin="".join(json.dumps(t) + "\n" for t in texts))
    back = bench.run("tokenize", model, "--decode", stdin=ids)
    check([json.loads(line) for line in back.splitlines()] == texts, back)
    from tokenizers import Tokenizer
    judge = Tokenizer.from_file(f"{model}/tokenizer.json")
    expected = [judge.encode(text, add_special_tokens=False).ids for text in texts]
    check([json.loads(line) for line in ids.splitlines()] == expected, ids, expected)
    alone = bench.path("tokenizer_alone")
    os.makedirs(alone)
    shutil.copy(f"{model}/tokenizer.json", alone)
    check(bench.run("tokenize", alone, stdin=json.dumps(texts[0]) + "\n") == ids.split("\n")[0] + "\n", "other ids")
    for line, named in (("[1]", "line 2: not a JSON string"), ('"open', "line 2: not a JSON string")):
        done = bench.call("tokenize", alone, stdin='"fine"\n' + line + "\n")
        check(done.returncode != 0 and named in done.stderr, line, done.stderr)
    for line in ('"text"', "[1.5]", "[-1]", "[99999999]"):
        done = bench.call("tokenize", alone, "--decode", stdin=line + "\n")
        check(done.returncode != 0 and "line 1: not a JSON list of ids" in done.stderr, line, done.stderr)


def evaluate(bench):
    """The summary equals what the lines add up to, kind by kind, point by point."""
    out, lines = bench.path("summary.json"), bench.path("lines.jsonl")
    bench.run("eval", f"model.path={bench.fixture('tiny')}", f"eval.files={bench.fixture('rows.jsonl')}",
              "data.max_response_length=3", "eval.thresholds=[.9,.5]", "reward.functions=[contains]", "--out", out,
              "--lines", lines)
    with open(out) as file:
        summary = json.load(file)
    rows, data = read_json_lines(lines), read_json_lines(bench.fixture("rows.jsonl"))
    check(summary["questions"] == len(rows) == len(data), summary["questions"], len(rows))
    check(sorted(row["row"] for row in rows) == list(range(len(data))), "not one line a question")
    check([point["p"] for point in summary["curve"]] == [1.0, 0.9, 0.5], summary["curve"])
    for i, point in enumerate(summary["curve"]):
        samples = [(data[row["row"]], row["samples"][i]) for row in rows]
        right = [float(re.search(rf"\b{re.escape(q['answer'])}\b", s["response"]) is not None) for q, s in samples]
        found = [sample["accuracy"] for _, sample in samples]
        check(found == right, "accuracy of single answers", [(q["answer"], s) for (q, s), a, b in
                                                             zip(samples, found, right) if a != b][:3])
        check(close(point["accuracy"], sum(right) / len(right)), point["accuracy"])
        for name in ("kept_ratio", "visual_kept_ratio", "kv_kept_ratio"):
            check(close(point[name], sum(s[name] for _, s in samples) / len(samples)), name, point[name])
            layers = [s[name + "_by_layer"] for _, s in samples if name != "kv_kept_ratio"]
            for layer, mean in enumerate(point.get(name + "_by_layer", [])):
                check(close(mean, sum(ratios[layer] for ratios in layers) / len(layers)), name, layer, mean)
        check(close(point["kept_ratio"], sum(point["kept_ratio_by_layer"]) / len(point["kept_ratio_by_layer"])), point)
        by_kind = collections.defaultdict(list)
        for (question, _), one in zip(samples, right):
            by_kind[question["kind"]].append(one)
        check(set(point["by_kind"]) == set(by_kind), point["by_kind"])
        for kind, ones in by_kind.items():
            check(close(point["by_kind"][kind]["accuracy"], sum(ones) / len(ones)), kind)
    check(summary["curve"][0]["kept_ratio"] == 1, "dense keeps every token")
    check(summary["curve"][2]["kept_ratio"] < summary["curve"][1]["kept_ratio"] < 1, "kept ratios of the curve")


def tensorboard(bench):
    """The tensorboard package reads the same values as metrics.jsonl holds, after a continuation too."""
    import numpy as np
    from tensorboard.backend.event_processing import event_accumulator
    run = bench.path("run")
    bench.run(*tiny_run(bench, run, "trainer.max_steps=1"))
    bench.run(*tiny_run(bench, run, "trainer.max_steps=3"))
    steps = read_json_lines(f"{run}/metrics.jsonl")
    events = event_accumulator.EventAccumulator(run)
    events.Reload()
    names = {name for step in steps for name in step} - {"step"}
    check(set(events.Tags()["scalars"]) == names, set(events.Tags()["scalars"]) ^ names)
    for name in names:
        read = [(e.step, np.float32(e.value)) for e in events.Scalars(name)]
        written = [(step["step"], np.float32(step[name])) for step in steps if name in step]
        check(read == written, name, read, written)


def easy_vqa_import(bench):
    data = os.path.join(os.path.dirname(importlib.util.find_spec("easy_vqa").origin), "data")
    bench.run("data", "import", "easy-vqa", "--from", data, "--out", bench.path("data"))
    for split, count in (("train", 20466), ("test", 5029)):
        rows = read_json_lines(bench.path(f"data/{split}.jsonl"))
        check(len(rows) == count, split, "has", len(rows), "rows")
        cells = collections.Counter()
        for row in rows:
            check(row["problem"].count("<image>") == len(row["images"]) == 1, row)
            if row["answer"] in ("yes", "no"):
                shape = any(name in row["problem"] for name in ("circle", "rectangle", "triangle"))
                negated = " not " in row["problem"] or "n't" in row["problem"] or " no " in row["problem"]
                cells[negated, shape, row["answer"]] += 1
        check(len(cells) == 8, cells)
        for negated, shape, _ in list(cells):
            check(cells[negated, shape, "yes"] == cells[negated, shape, "no"], split, cells)
        check(os.path.isfile(bench.path("data", rows[0]["images"][0])), rows[0]["images"])
        print(split, dict(cells), collections.Counter(row["kind"] for row in rows))


def init_reproducible(bench):
    architecture = os.path.join(os.path.dirname(workbench.__file__), "architecture.json")
    make = lambda name, seed: bench.run("init", architecture, bench.path(name), "--corpus",
                                        bench.fixture("rows.jsonl"), "--seed", seed)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make(name, seed)
    check_same_files(bench.path("a"), bench.path("b"), MODEL_FILES)
    check_same_files(bench.path("a"), bench.fixture("tiny"), MODEL_FILES)
    read = lambda name: open(bench.path(name, "model.safetensors"), "rb").read()
    check(read("a") != read("c"), "the seed changes nothing")


def export_bfloat16(bench):
    """transformers loads it; its values are the nearest ones."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText, AutoProcessor
    out = bench.path("exported")
    bench.run("export", bench.fixture("second"), out, "--dtype", "bfloat16")
    model = AutoModelForImageTextToText.from_pretrained(out)
    check(model.dtype == torch.bfloat16, model.dtype)
    AutoProcessor.from_pretrained(out)
    before, after = (load_file(os.path.join(folder, "model.safetensors")) for folder in (bench.fixture("second"), out))
    check(set(before) == set(after), set(before) ^ set(after))
    for name, tensor in before.items():
        check(torch.equal(tensor.bfloat16(), after[name]), name, "is not rounded to nearest")


CASES = [help_texts, config_round_trip, tokenize, evaluate, tensorboard, easy_vqa_import, init_reproducible,
         export_bfloat16]

if __name__ == "__main__":
    workbench.main({case.__name__: case for case in CASES})
