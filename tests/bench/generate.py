"""Generation against transformers' `generate`: the same random model and easy-VQA prompts, 64 forced tokens sampled at
temperature 1, dense, one thread. usage: generate.py SIZE PYTHON, from the repository's root

Cases: generate_SIZE_b1, _group8 (one prompt, 8 samples), _b32 (32 prompts); tokens/s, prompt and image processing
included. generate_tiny_uneven: 128 prompts whose responses end by themselves, at any of a fortieth of the tokens: whoever
is done makes room for others here, and waits for the longest of its batch there.
"""
import json
import shutil
import sys
import tempfile

from comparison import HERE, ROUNDS, Side, prepare, report

TOKENS = 64
CASES = {"b1": (1, 1), "group8": (1, 8), "b32": (32, 1)}
TARGET = {"tiny_b1": 5, "tiny_group8": None, "tiny_b32": 3, "100m_b1": 2, "100m_group8": 3, "100m_b32": 1.4}


def rate(side, prompts, samples):
    seconds, tokens = side.ask(f"{prompts} {samples} {TOKENS} forced")
    assert tokens == prompts * samples * TOKENS, tokens
    return tokens / seconds


def uneven(work, sides):
    prompts, longest = 128, 256
    shutil.copytree(f"{work}/model", f"{work}/uneven")
    with open(f"{work}/uneven/generation_config.json") as file:
        config = json.load(file)
    config["eos_token_id"] = list(range(0, config["bos_token_id"], 40))  # ordinary tokens come first
    with open(f"{work}/uneven/generation_config.json", "w") as file:
        json.dump(config, file)
    ours, rival = sides(f"{work}/uneven")
    pairs, lengths = [], []
    for _ in range(ROUNDS + 1):
        answers = [side.ask(f"{prompts} 1 {longest} uneven") for side in (ours, rival)]
        pairs.append([tokens / seconds for seconds, tokens in answers])
        lengths.append([tokens / prompts for _, tokens in answers])
    mean = [sum(column) / len(column) for column in zip(*lengths)]
    report("generate_tiny_uneven", pairs[1:], None,
           f"tokens/s; {mean[0]:.0f} and {mean[1]:.0f} tokens a response")
    for side in (ours, rival):
        side.end()


def main(size, python):
    with tempfile.TemporaryDirectory() as work:
        prepare(work, size)

        def sides(model):
            arguments = [model, f"{work}/data/train.jsonl", "fp32"]
            return (Side(["build/bin/bench_generate"] + arguments),
                    Side([python, "-B", f"{HERE}/rival_transformers.py"] + arguments))

        ours, rival = sides(f"{work}/model")
        for case, (prompts, samples) in CASES.items():
            for side in (ours, rival):
                rate(side, prompts, samples)  # warms up
            pairs = [(rate(ours, prompts, samples), rate(rival, prompts, samples)) for _ in range(ROUNDS)]
            report(f"generate_{size}_{case}", pairs, TARGET[f"{size}_{case}"], "tokens/s")
        ours.end()
        rival.end()
        if size == "tiny":
            uneven(work, sides)


main(*sys.argv[1:])
