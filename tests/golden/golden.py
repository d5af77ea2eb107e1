"""Ten deterministic steps from a random model on easy-VQA, against the metrics committed beside this file.

usage: golden.py ZIPRL WORK [--update]

ATen, oneDNN and MKL are held to one instruction set, so that the numbers are those of any machine that has it.
Everything but times must agree to 1e-3 relative; below 1e-6 a value is rounding noise around zero.
"""

import importlib.util
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
E2E = os.path.join(os.path.dirname(HERE), "e2e")
sys.path.insert(0, E2E)

from workbench import Bench, check, read_json_lines, without_times

GOLDEN = os.path.join(HERE, "metrics.jsonl")
HELD = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "MKL_CBWR": "COMPATIBLE"}
ROWS, STEPS = 200, 10


def prepare(bench):
    data = os.path.join(os.path.dirname(importlib.util.find_spec("easy_vqa").origin), "data")
    bench.run("data", "import", "easy-vqa", "--from", data, "--out", "data")
    with open(bench.path("data/train.jsonl")) as file, open(bench.path("data/rows.jsonl"), "w") as rows:
        rows.writelines(line for _, line in zip(range(ROWS), file))
    bench.run("init", f"{E2E}/architecture.json", "model", "--corpus", "data/rows.jsonl", "--seed", "3", env=HELD)


def train(bench):
    bench.run(
        "train", "model.path=model", "data.train_files=data/rows.jsonl", "data.max_response_length=4", "rollout.n=4",
        "rollout.probes=text", "actor.global_batch_size=4", "actor.optim.lr=1e-3", "actor.freeze_vision_tower=true",
        "reward.functions=[exact_match]", "reward.gate=none", "algorithm.sparsity=stochastic",
        "trainer.deterministic=true", "trainer.threads=2", f"trainer.max_steps={STEPS}", "trainer.seed=3",
        "trainer.output_dir=run", env=HELD)
    return without_times(read_json_lines(bench.path("run/metrics.jsonl")))


def main(program, work, *options):
    bench = Bench(program, "", os.path.abspath(work))
    prepare(bench)
    steps = train(bench)
    check(len(steps) == STEPS, len(steps), "steps")
    if "--update" in options:
        with open(GOLDEN, "w") as file:
            file.writelines(json.dumps(step) + "\n" for step in steps)
    differences = []
    for got, golden in zip(steps, read_json_lines(GOLDEN), strict=True):
        for name in sorted({*got, *golden}):
            a, b = got.get(name), golden.get(name)
            if a is None or b is None or abs(a - b) > 1e-3 * max(abs(a), abs(b)) + 1e-6:
                differences.append(f"step {golden['step']}: {name} is {a}, golden {b}")
    check(not differences, len(differences), "differences:\n" + "\n".join(differences[:20]))
    shutil.rmtree(bench.path("data"))
    print(f"{STEPS} steps of {len(steps[0])} metrics as in the golden file")


if __name__ == "__main__":
    main(*sys.argv[1:])
