"""One kind of bad input each: the exit code says so, the message names the thing, nothing is written.

usage: bad_input.py ZIPRL FIXTURES WORK CASE
"""

import json
import os
import shutil
import struct
import sys
import zlib

import numpy as np
import workbench
from safetensors.numpy import load_file, save_file
from workbench import check, read_json_lines, tiny_run, write_rows

BIG_TENSOR = "model.embed_tokens.weight"


def files_below(folder):
    return sorted(os.path.join(base, name) for base, folders, names in os.walk(folder) for name in names + folders)


def check_refused(bench, arguments, *named, code=1, **options):
    """Fails, says each of `named`, ends by itself rather than by a signal, and leaves no new file."""
    before = files_below(bench.work)
    done = bench.call(*arguments, **options)
    check(done.returncode == code, "exit code", done.returncode, "instead of", code, done.stderr)
    for text in named:
        check(str(text) in done.stderr, repr(str(text)), "is not in:", done.stderr)
    for text in ("Traceback", "terminate called", "libtorch", "C10", "Exception raised from"):
        check(text not in done.stderr, text, "in the message:", done.stderr)
    check(len(done.stderr) < 2000, "a message of", len(done.stderr), "characters:", done.stderr)
    check(done.stdout == "", "stdout is not empty:", done.stdout)
    check(files_below(bench.work) == before, "new files:", set(files_below(bench.work)) - set(before))
    print(done.stderr.strip())


def model_copy(bench, change_tensors=None):
    """The first model, its tensors changed by `change_tensors`."""
    model = bench.path("model")
    shutil.copytree(bench.fixture("tiny"), model)
    if change_tensors is not None:
        path = f"{model}/model.safetensors"
        tensors = load_file(path)
        change_tensors(tensors)
        save_file(tensors, path, metadata={"format": "pt"})
    return model


def refuse_model(bench, model, *named):
    """By every command that opens models."""
    check_refused(bench, tiny_run(bench, bench.path("run"), f"model.path={model}"), *named)
    check_refused(bench, ["logprobs", model, bench.fixture("rows.jsonl")], *named)
    check_refused(bench, ["export", model, bench.path("exported")], *named)


def a_name(tensors, end):
    return next(name for name in sorted(tensors) if name.endswith(end))


def missing_tensor(bench):
    name = a_name(load_file(bench.fixture("tiny/model.safetensors")), "1.mlp.up_proj.weight")
    refuse_model(bench, model_copy(bench, lambda tensors: tensors.pop(name)), name, "missing")


def extra_tensor(bench):
    def change(tensors):
        tensors["model.layers.9.mlp.up_proj.weight"] = np.zeros((2, 2), np.float32)
    refuse_model(bench, model_copy(bench, change), "model.layers.9.mlp.up_proj.weight")


def misshaped_tensor(bench):
    name = a_name(load_file(bench.fixture("tiny/model.safetensors")), "0.mlp.down_proj.weight")

    def change(tensors):
        tensors[name] = np.ascontiguousarray(tensors[name].T)
    refuse_model(bench, model_copy(bench, change), name, "32", "64")


def non_finite_weights(bench):
    name = a_name(load_file(bench.fixture("tiny/model.safetensors")), "0.self_attn.q_proj.weight")

    def change(tensors):
        tensors[name][1, 2] = np.nan
    refuse_model(bench, model_copy(bench, change), name)


def change_json(path, change):
    with open(path) as file:
        value = json.load(file)
    change(value)
    with open(path, "w") as file:
        json.dump(value, file)


def unsupported_architecture(bench):
    model = model_copy(bench)
    change_json(f"{model}/config.json", lambda c: c.update(
        model_type="llava_next", architectures=["LlavaNextForConditionalGeneration"]))
    refuse_model(bench, model, "llava_next", "qwen2_5_vl")


def unknown_option(bench):
    model = model_copy(bench)
    change_json(f"{model}/config.json", lambda c: c["text_config"].update(attention_sink=4))
    refuse_model(bench, model, "config.json", "text_config", "attention_sink")


def truncated_safetensors(bench):
    model = model_copy(bench)
    size = os.path.getsize(f"{model}/model.safetensors")
    os.truncate(f"{model}/model.safetensors", size - 1000)
    refuse_model(bench, model, "model.safetensors")


def empty_safetensors(bench):
    model = model_copy(bench)
    os.truncate(f"{model}/model.safetensors", 5)
    refuse_model(bench, model, "model.safetensors", "truncated")


def header_length_lies(bench):
    model = model_copy(bench)
    for length in (1 << 62, 10**9, 3):
        with open(f"{model}/model.safetensors", "r+b") as file:
            file.write(struct.pack("<Q", length))
        check_refused(bench, tiny_run(bench, bench.path("run"), f"model.path={model}"), "model.safetensors", "header")


def broken_config_json(bench):
    model = model_copy(bench)
    with open(f"{model}/config.json", "w") as file:
        file.write('{"model_type": "qwen2_5_vl",\n "text_config": {\n')
    refuse_model(bench, model, "config.json:3")


def missing_model(bench):
    refuse_model(bench, bench.path("nowhere"), "nowhere")


def rows_with(bench, change):
    """The first data set with its third row changed; the file of the rows."""
    rows = read_json_lines(bench.fixture("rows.jsonl"))[:6]
    for row in rows:
        row["images"] = [bench.fixture(path) for path in row["images"]]
    change(rows[2])
    write_rows(bench.path("rows.jsonl"), rows)
    return bench.path("rows.jsonl")


def in_order(bench, rows):
    return tiny_run(bench, bench.path("run"), f"data.train_files={rows}", "data.shuffle=false",
                    "actor.global_batch_size=4")


def refuse_row(bench, change, *named):
    """By training and by evaluation."""
    rows = rows_with(bench, change)
    check_refused(bench, in_order(bench, rows), "rows.jsonl", "row 3", *named)
    check_refused(bench, ["eval", f"model.path={bench.fixture('tiny')}", f"eval.files={rows}",
                          "data.max_response_length=2", "--lines", bench.path("lines.jsonl")], "row 3", *named)


def broken_json_row(bench):
    rows = rows_with(bench, lambda row: None)
    with open(rows) as file:
        lines = file.readlines()
    lines[2] = lines[2][:40] + "\n"
    with open(rows, "w") as file:
        file.writelines(lines)
    check_refused(bench, in_order(bench, rows), "rows.jsonl:3", "row 3")
    check_refused(bench, ["init", f"{workbench.__file__.rsplit('/', 1)[0]}/architecture.json", bench.path("made"),
                          "--corpus", rows], "rows.jsonl:3")


def missing_problem(bench):
    refuse_row(bench, lambda row: row.pop("problem"), "problem")


def missing_answer(bench):
    refuse_row(bench, lambda row: row.pop("answer"), "answer")


def too_many_marks(bench):
    refuse_row(bench, lambda row: row.update(problem="<image>" + row["problem"]), "2 <image> marks", "1 image")


def too_few_marks(bench):
    refuse_row(bench, lambda row: row.update(problem="No mark at all"), "0 <image> marks", "1 image")


def refuse_image(bench, content, *named):
    path = bench.path("picture.png")
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)
    refuse_row(bench, lambda row: row.update(images=[path]), "picture.png", *named)


def absent_image(bench):
    refuse_image(bench, None, "No such file")


def unreadable_image(bench):
    refuse_image(bench, b"BM no picture that anyone reads", "PNG, JPEG, WebP or GIF")


def broken_image(bench):
    """Its header is whole, its end is missing."""
    with open(bench.fixture("images/0.png"), "rb") as file:
        content = file.read()[:200]
    refuse_image(bench, content, "truncated PNG")


def empty_image_file(bench):
    refuse_image(bench, b"", "0 bytes")


def png(width, height):
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) +
            chunk(b"IEND", b""))


def zero_size_image(bench):
    refuse_image(bench, png(0, 16), "0x16")


def huge_image(bench):
    refuse_image(bench, png(100_000, 100_000), "100000x100000")


def refuse_setting(bench, setting, *named):
    check_refused(bench, tiny_run(bench, bench.path("run"), setting), setting.split("=")[0], *named)


def threshold_outside(bench):
    for p in ("0", "1.5", "-0.1", "nan"):
        refuse_setting(bench, f"rollout.thresholds=[.9, {p}]")
        refuse_setting(bench, f"eval.thresholds=[{p}]")
        check_refused(bench, ["logprobs", bench.fixture("tiny"), bench.fixture("rows.jsonl"), f"--p={p}"], "p")
        check_refused(bench, ["generate", bench.fixture("tiny"), "--prompt", "a", f"--p={p}"], "p")


def group_of_one(bench):
    refuse_setting(bench, "rollout.n=1", "1")


def unknown_key(bench):
    refuse_setting(bench, "rollout.tresholds=[.9]", "the nearest is 'rollout.thresholds'")
    refuse_setting(bench, "algorithm.sparsity=stochastik", "'stochastic'")


def broken_yaml(bench):
    for text, line in (("trainer:\n  seed: 1\n  max_steps: [1\n", 4), ("trainer:\n  seed: 1\n  sed: 2\n", 3),
                       ("trainer:\n  seed: one\n", 2)):
        with open(bench.path("run.yaml"), "w") as file:
            file.write(text)
        check_refused(bench, ["train", bench.path("run.yaml")], f"run.yaml:{line}")
        check_refused(bench, ["config", bench.path("run.yaml")], f"run.yaml:{line}")


def another_run(bench):
    run = bench.path("run")
    bench.run(*tiny_run(bench, run, "trainer.max_steps=1"))
    check_refused(bench, tiny_run(bench, run, "trainer.seed=5"), "trainer.output_dir", "another run", "trainer.seed")
    check_refused(bench, tiny_run(bench, run, "trainer.max_steps=1", "trainer.resume=never"), "trainer.output_dir")
    check_refused(bench, ["export", f"{run}/step_1", run], run, "not empty")
    os.makedirs(bench.path("taken"))
    write_rows(bench.path("taken/metrics.jsonl"), [{"step": 1}])
    check_refused(bench, tiny_run(bench, bench.path("taken")), "taken", "metrics.jsonl")


def overlong_prompt(bench):
    """Skipped and counted, never cut."""
    rows = rows_with(bench, lambda row: row.update(problem=row["problem"] + " very" * 100))
    bench.run(*in_order(bench, rows), "data.max_prompt_length=150", "trainer.max_steps=1",
              "trainer.logger=[jsonl]", "rollout.log_completions=true")
    step, = read_json_lines(bench.path("run/metrics.jsonl"))
    check(step["data/skipped_overlong"] == 1, step["data/skipped_overlong"], "rows skipped")
    check(step["prompt_length/max"] <= 150, "a prompt of", step["prompt_length/max"])
    check(" very very" not in open(bench.path("run/completions.jsonl")).read(), "the long row was used")
    shutil.rmtree(bench.path("run"))
    check_refused(bench, [*in_order(bench, rows), "data.max_prompt_length=10"], "data.max_prompt_length=10")


def disk_full(bench):
    """No file may grow beyond what half a checkpoint takes: the first one is refused, whole."""
    run = bench.path("run")
    half = os.path.getsize(bench.fixture("tiny/model.safetensors")) // 2 // 1024
    limited = ["bash", "-c", f"trap '' XFSZ; ulimit -f {half}; exec \"$@\"", "limited"]
    done = bench.call(*tiny_run(bench, run, "trainer.max_steps=1"), prefix=limited)
    check(done.returncode == 1, "exit code", done.returncode, done.stderr)
    check("safetensors" in done.stderr and "File too large" in done.stderr, done.stderr)
    left = [name for name in os.listdir(run) if "step_" in name or name == "latest" or "tmp" in name]
    check(not left, "a part of a checkpoint stays:", left)
    done = bench.call("export", bench.fixture("tiny"), bench.path("exported"), prefix=limited)
    check(done.returncode == 1 and "File too large" in done.stderr, done.returncode, done.stderr)
    check(os.listdir(bench.work) == ["run"], os.listdir(bench.work))


def unknown_command(bench):
    check_refused(bench, ["trian"], "unknown command 'trian'", code=2)
    check_refused(bench, [], "no command", code=2)
    check_refused(bench, ["train", bench.path("absent.yaml")], "absent.yaml")
    check_refused(bench, ["eval"], "config", code=2)
    check_refused(bench, ["generate", bench.fixture("tiny"), "--prompt", "a", "--promt", "a"], "--promt", code=2)


def bad_response_row(bench):
    """Of logprobs: the good rows before it are answered, then it stops with the row's number."""
    good = dict(messages=[dict(role="user", content="Is the disc red?")], response="yes")
    for bad, named in ((dict(good, response=3), "response"), (dict(problem="a"), "response"), ([1], "object"),
                       (dict(good, messages=[]), "messages"), (dict(problem="<image>", response="a"), "image"),
                       (dict(good, messages=[dict(role="judge", content="a")]), "judge")):
        write_rows(bench.path("rows.jsonl"), [good, bad, good])
        done = bench.call("logprobs", bench.fixture("tiny"), bench.path("rows.jsonl"))
        check(done.returncode == 1, "exit code", done.returncode)
        check("row 2" in done.stderr and named in done.stderr, bad, done.stderr)
        check(len(done.stdout.splitlines()) == 1, "stdout:", done.stdout)


CASES = [missing_tensor, extra_tensor, misshaped_tensor, non_finite_weights, unsupported_architecture,
         unknown_option,
         truncated_safetensors, empty_safetensors, header_length_lies, broken_config_json, missing_model,
         broken_json_row, missing_problem, missing_answer, too_many_marks, too_few_marks, absent_image,
         unreadable_image, broken_image, empty_image_file, zero_size_image, huge_image, threshold_outside,
         group_of_one, unknown_key, broken_yaml, another_run, overlong_prompt, disk_full, unknown_command,
         bad_response_row]

if __name__ == "__main__":
    workbench.main({case.__name__: case for case in CASES})
