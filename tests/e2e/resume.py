"""Interrupted and repeated runs: what they leave is what an uninterrupted run leaves, bit for bit.

usage: resume.py ZIPRL FIXTURES WORK CASE
"""

import glob
import os
import signal
import time

import workbench
from workbench import check, check_finite, check_same_files, check_same_metrics, read_json_lines, tiny_run


def check_same_end(a, b, step):
    """Weights, optimizer shards and metrics of two runs' checkpoints."""
    shards = [os.path.relpath(p, f"{a}/step_{step}") for p in glob.glob(f"{a}/step_{step}/trainer_state/optimizer-*")]
    check(shards, "no optimizer shard in", a)
    check_same_files(f"{a}/step_{step}", f"{b}/step_{step}", ["model.safetensors", "config.json", *shards])
    check_same_metrics(f"{a}/metrics.jsonl", f"{b}/metrics.jsonl")
    check(len(read_json_lines(f"{a}/metrics.jsonl")) == step, "not", step, "steps")


def continued(bench):
    """Two steps, then two more, against four."""
    straight, parts = bench.path("straight"), bench.path("parts")
    bench.run(*tiny_run(bench, straight))
    bench.run(*tiny_run(bench, parts, "trainer.max_steps=2"))
    check(os.readlink(f"{parts}/latest") == "step_2", os.readlink(f"{parts}/latest"))
    bench.run(*tiny_run(bench, parts))
    check_same_end(straight, parts, 4)
    check_finite(read_json_lines(f"{parts}/metrics.jsonl"))


def terminated(bench):
    """SIGTERM in the middle: the step is finished and saved, and the next start goes on from there."""
    straight, parts = bench.path("straight"), bench.path("parts")
    more = ["trainer.max_steps=6"]
    process = bench.start(*tiny_run(bench, parts, *more))
    metrics = f"{parts}/metrics.jsonl"
    while process.poll() is None and not (os.path.exists(metrics) and os.path.getsize(metrics) > 0):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    check(process.returncode == 0, "exit code", process.returncode, errors)
    done = len(read_json_lines(metrics))
    check(1 <= done < 6, "stopped after", done, "of 6 steps", errors)
    check(os.readlink(f"{parts}/latest") == f"step_{done}", os.readlink(f"{parts}/latest"), done)
    bench.run(*tiny_run(bench, parts, *more))
    bench.run(*tiny_run(bench, straight, *more))
    check_same_end(straight, parts, 6)


def repeated(bench):
    """The same config twice gives the same; another seed does not."""
    a, b, c = (bench.path(name) for name in "abc")
    bench.run(*tiny_run(bench, a, "trainer.max_steps=2"))
    bench.run(*tiny_run(bench, b, "trainer.max_steps=2"))
    check_same_end(a, b, 2)
    bench.run(*tiny_run(bench, c, "trainer.max_steps=2", "trainer.seed=1"))
    first, other = read_json_lines(f"{a}/metrics.jsonl"), read_json_lines(f"{c}/metrics.jsonl")
    check(first[0]["actor/entropy"] != other[0]["actor/entropy"] or
          first[0]["tokens/kept_ratio/mean"] != other[0]["tokens/kept_ratio/mean"], "another seed changed nothing")


if __name__ == "__main__":
    workbench.main({"continued": continued, "terminated": terminated, "repeated": repeated})
