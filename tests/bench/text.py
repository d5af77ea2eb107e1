"""The text tower against llama.cpp with the same weights, 94 M parameters, one thread, fp32 and bf16 (caches: ours
fp32; llama.cpp's in the weights' type). usage: text.py CASE PYTHON, from the repository's root

text_prefill    a prompt of 1,024 tokens; tokens/s
text_decode     steps of b1, b8 and b32 sequences of 64 tokens; tokens/s. llama.cpp samples nothing: it is given tokens.
"""
import sys
import tempfile

from comparison import HERE, ROUNDS, Side, prepare, report

DTYPES, BATCHES = ("fp32", "bf16"), (1, 8, 32)
PROMPT, CONTEXT, STEPS = 1024, 64, 32
TARGET = {"text_prefill": 1.2, 1: 1.05, 8: 1.3, 32: 1.3}


def compare(name, sides, question, tokens, target):
    pairs = [tuple(tokens / side.ask(question)[0] for side in sides) for _ in range(ROUNDS + 1)]
    report(name, pairs[1:], target, "tokens/s")  # the first one warms up


def main(case, python):
    with tempfile.TemporaryDirectory() as work:
        prepare(work, "100m")
        for dtype in DTYPES:
            sides = [Side(["build/bin/bench_text", f"{work}/model", dtype]),
                     Side([python, "-B", f"{HERE}/rival_llama.py", f"{work}/model", dtype, f"{work}/{dtype}.gguf"])]
            if case == "text_prefill":
                compare(f"text_prefill_{dtype}", sides, f"prefill {PROMPT}", PROMPT, TARGET[case])
            else:
                for batch in BATCHES:
                    compare(f"text_decode_b{batch}_{dtype}", sides, f"decode {batch} {CONTEXT} {STEPS}", batch * STEPS,
                            TARGET[batch])
            for side in sides:
                side.end()


main(*sys.argv[1:])
