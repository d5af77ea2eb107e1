"""Generation against transformers' `generate`: the same random model and easy-VQA prompts, 64 forced tokens sampled at
temperature 1, dense, one thread. usage: generate.py SIZE PYTHON, from the repository's root

Cases: generate_SIZE_b1, _group8 (one prompt, 8 samples), _b32 (32 prompts); tokens/s, prompt and image processing
included.
"""
import sys
import tempfile

from comparison import HERE, ROUNDS, Side, prepare, report

TOKENS = 64
CASES = {"b1": (1, 1), "group8": (1, 8), "b32": (32, 1)}
TARGET = {"tiny_b1": 5, "tiny_group8": None, "tiny_b32": 3, "100m_b1": 2, "100m_group8": 3, "100m_b32": 1.4}


def rate(side, prompts, samples):
    return prompts * samples * TOKENS / side.ask(f"{prompts} {samples} {TOKENS}")[0]


def main(size, python):
    with tempfile.TemporaryDirectory() as work:
        prepare(work, size)
        arguments = [f"{work}/model", f"{work}/data/train.jsonl", "fp32"]
        ours = Side(["build/bin/bench_generate"] + arguments)
        rival = Side([python, "-B", f"{HERE}/rival_transformers.py"] + arguments)
        for case, (prompts, samples) in CASES.items():
            for side in (ours, rival):
                rate(side, prompts, samples)  # warms up
            pairs = [(rate(ours, prompts, samples), rate(rival, prompts, samples)) for _ in range(ROUNDS)]
            report(f"generate_{size}_{case}", pairs, TARGET[f"{size}_{case}"], "tokens/s")
        ours.end()
        rival.end()


main(*sys.argv[1:])
