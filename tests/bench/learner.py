"""The learner's steps, 94 M parameters, one thread. usage: learner.py CASE PYTHON, from the repository's root

learner_fp32, _bf16     forward, backward and AdamW as a fraction of the rate of a large matrix product in the same
                        process and type, bf16 on a processor without bf16 products in fp32 (8 prompts of one sample:
                        nothing to share)
learner_vs_torch        a group of 8 samples of one image prompt against eager PyTorch
shared_prefix_train     8 samples of 1,024 + 64 tokens in one group against 8 groups of one: seconds, and memory of
                        activations (the peak above that of a step of one short sample: gradients, optimizer)
"""
import sys
import tempfile

from comparison import HERE, ROUNDS, Side, prepare, report

GROUP, RESPONSE = 8, 32
PROMPTS, FRACTION = 8, {"fp32": 0.6, "bf16": 0.5}
LONG_PROMPT, LONG_RESPONSE = 1024, 64


def ours(work, dtype):
    return Side(["build/bin/bench_learner", f"{work}/model", f"{work}/data/train.jsonl", dtype])


def fraction(work, dtype):
    side, pairs = ours(work, dtype), []
    side.ask(f"rows {PROMPTS} 1 {RESPONSE}")  # warms up
    for _ in range(ROUNDS):
        seconds, gflop, _ = side.ask(f"rows {PROMPTS} 1 {RESPONSE}")
        pairs.append((gflop / seconds, side.ask("gemm")[0]))
    side.end()
    report(f"learner_{dtype}", pairs, FRACTION[dtype], "GFLOP/s", limit=1)


def vs_torch(work, python):
    us = ours(work, "fp32")
    rival = Side([python, "-B", f"{HERE}/rival_learner.py", f"{work}/model", f"{work}/data/train.jsonl", "fp32"])
    pairs = [(us.ask(f"rows 1 {GROUP} {RESPONSE}")[0], rival.ask(f"{GROUP} {RESPONSE}")[0]) for _ in range(ROUNDS + 1)]
    us.end()
    rival.end()
    report("learner_vs_torch", pairs[1:], 1.8, "s")


def shared_prefix(work):
    side = ours(work, "fp32")
    side.ask("text 1 1 16 16")  # makes the optimizer's state
    fixed = side.ask("text 1 1 16 16")[2]
    seconds, peaks = [], []
    for _ in range(ROUNDS):
        shared = side.ask(f"text 1 {GROUP} {LONG_PROMPT} {LONG_RESPONSE}")
        apart = side.ask(f"text {GROUP} 1 {LONG_PROMPT} {LONG_RESPONSE}")
        seconds.append((shared[0], apart[0]))
        peaks.append(tuple((answer[2] - fixed) / 2**20 for answer in (shared, apart)))
    side.end()
    limit = round(GROUP * (LONG_PROMPT + LONG_RESPONSE) / (LONG_PROMPT + GROUP * LONG_RESPONSE), 2)  # in tokens
    report("shared_prefix_train", seconds, 4, "s", limit)
    report("shared_prefix_train_memory", peaks, 4, "MiB", limit)


def main(case, python):
    with tempfile.TemporaryDirectory() as work:
        prepare(work, "100m")
        if case in ("learner_fp32", "learner_bf16"):
            fraction(work, case.removeprefix("learner_"))
        elif case == "learner_vs_torch":
            vs_torch(work, python)
        else:
            shared_prefix(work)


main(*sys.argv[1:])
