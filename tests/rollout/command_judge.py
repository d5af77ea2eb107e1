"""Judges `ziprl logprobs` and `ziprl generate` with transformers' processor and model.

usage: command_judge.py ZIPRL TINY_MODELS WORK_DIR
"""

import json
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import oracle
import torch
from PIL import Image
from transformers import AttentionInterface, AttentionMaskInterface, AutoProcessor
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.masking_utils import sdpa_mask

KEYS = ["prompt_ids", "response_ids", "logprobs", "kept_per_layer", "kept_ratio", "probes"]
PROBE_STREAM = 1
SYSTEM = "Be brief."

# Each row with the conversation and images that transformers is given for it.
IMAGE, TEXT = {"type": "image"}, lambda text: {"type": "text", "text": text}
ROWS = [
    (dict(problem="<image>What colour is the shape?", images=["image_0.png"], answer="red", response="a red circle"),
     [{"role": "user", "content": [IMAGE, TEXT("What colour is the shape?")]}]),
    (dict(problem="first <image> then <image>\nequal?", images=["image_1.png", "image_0.png"],
          response="Non, c'est \u00e9gal \U0001f7e5!\n"),
     [{"role": "user", "content": [TEXT("first "), IMAGE, TEXT(" then "), IMAGE, TEXT("\nequal?")]}]),
    (dict(messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": "is there a circle?"},
                    {"role": "assistant", "content": "yes"}, {"role": "user", "content": "sure?" * 40}],
          response="x" * 30),
     [{"role": "system", "content": [TEXT(SYSTEM)]}, {"role": "user", "content": [TEXT("is there a circle?")]},
      {"role": "assistant", "content": [TEXT("yes")]}, {"role": "user", "content": [TEXT("sure?" * 40)]}]),
    (dict(messages=[{"role": "user", "content": [dict(IMAGE), TEXT("shape")]}], images=[{"path": "image_0.png"}],
          response="7"),
     [{"role": "user", "content": [IMAGE, TEXT("shape")]}]),
]


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def logprobs(ziprl, model, rows, *options):
    result = run(ziprl, "logprobs", model, rows, *options)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def wanted_probes(n, seed):
    recent = min(64, n)
    hashes = []
    for j in range(n - recent):
        c = oracle.philox(seed, (j, 0, 0, PROBE_STREAM))
        hashes.append((c[0] << 32 | c[1], j))
    return sorted(j for _, j in sorted(hashes)[:64]) + list(range(n - recent, n))


def judge_row(model, processor, directory, row, messages, given, p, seed):
    assert list(given) == KEYS, list(given)
    images = [Image.open(f"{directory}/{i['path'] if isinstance(i, dict) else i}") for i in row.get("images", [])]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=images or None, return_tensors="pt")
    assert given["prompt_ids"] == inputs["input_ids"][0].tolist(), "prompt ids"
    response = processor.tokenizer(row["response"], add_special_tokens=False)["input_ids"]
    assert given["response_ids"] == response, "response ids"
    n = len(given["prompt_ids"])
    assert given["probes"] == wanted_probes(n, seed), "probes"

    record = dict(prompt_ids=given["prompt_ids"], response=response, force_keep=["last"], p=p, seed=seed,
                  stochastic=False, rescore_interval=100, probes=given["probes"], kept=None)
    oracle.CURRENT = oracle.Sample(record, model.config.image_token_id, model.config.video_token_id)
    ids = torch.tensor([given["prompt_ids"] + response[:-1]])
    vision = {k: inputs[k] for k in ("pixel_values", "image_grid_thw") if k in inputs}
    if vision:
        vision["mm_token_type_ids"] = (ids == model.config.image_token_id).int()
    with torch.no_grad():
        logits = model(input_ids=ids, **vision).logits[0, n - 1:].double()
    wanted = torch.log_softmax(logits, -1).gather(1, torch.tensor(response)[:, None])[:, 0].tolist()
    worst = oracle.close("log-probs", given["logprobs"], wanted, oracle.LOGPROB_TOLERANCE)
    kept = oracle.CURRENT.kept_counts
    assert given["kept_per_layer"] == kept, f"kept {given['kept_per_layer']}, {kept} wanted"
    oracle.close("kept_ratio", [given["kept_ratio"]], [sum(kept) / n / len(kept)], 1e-12)
    print(f"p={p} seed={seed} n={n} T={len(response)} kept={kept} max|dlp|={worst:.2e}")


def judge_logprobs(ziprl, directory, work, model, processor):
    rows = f"{directory}/rows.jsonl"  # image paths are relative to it
    with open(rows, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row, _ in ROWS)
    for p, seed in [(1.0, 0), (0.9, 0), (0.6, 12345678901234567)]:
        given = logprobs(ziprl, directory, rows, "--p", str(p), "--seed", str(seed))
        assert len(given) == len(ROWS)
        for (row, messages), line in zip(ROWS, given):
            judge_row(model, processor, directory, row, messages, line, p, seed)


def judge_bad_rows(ziprl, directory):
    good = json.dumps(ROWS[0][0])
    bad = [
        ("not json", "JSON"), ('{"problem": "x"}', "response"), ('{"response": "x"}', "problem"),
        ('{"problem": "<image><image>", "images": ["image_0.png"], "response": "x"}', "image"),
        ('{"problem": "<image>", "images": ["absent.png"], "response": "x"}', "absent.png"),
        ('{"problem": "<image>", "images": ["rows.jsonl"], "response": "x"}', "rows.jsonl"),
        ('{"problem": "x", "response": 3}', "string"),
    ]
    for line, word in bad:
        with open(f"{directory}/bad.jsonl", "w") as file:
            file.write(f"{good}\n{line}\n{good}\n")
        result = run(ziprl, "logprobs", directory, f"{directory}/bad.jsonl")
        assert result.returncode == 1, f"{line}: exit code {result.returncode}"
        assert "row 2" in result.stderr and word in result.stderr, f"{line}: {result.stderr}"
        assert len(result.stdout.splitlines()) == 1, f"{line}: rows after the bad one were printed"
    for p in ("0", "1.5", "-1"):
        result = run(ziprl, "logprobs", directory, f"{directory}/rows.jsonl", "--p", p)
        assert result.returncode == 1 and "(0, 1]" in result.stderr, result.stderr


def judge_generate(ziprl, directory, model, processor):
    image = f"{directory}/image_0.png"
    messages = [{"role": "user", "content": [IMAGE, TEXT("which shape?")]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=[Image.open(image)], return_tensors="pt")
    suppressed = sorted(range(len(processor.tokenizer), model.config.text_config.vocab_size))
    suppressed += [processor.tokenizer.convert_tokens_to_ids(t) for t in (
        "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")]
    model.config.text_config._attn_implementation = "eager"
    output = model.generate(**inputs, do_sample=False, max_new_tokens=12, suppress_tokens=suppressed)
    model.config.text_config._attn_implementation = "oracle"
    wanted = processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
    result = run(ziprl, "generate", directory, "--image", image, "--prompt", "which shape?", "--p", "1",
                 "--max-response-length", "12")
    assert result.returncode == 0, result.stderr
    answer, kept, time = result.stdout.rsplit("\n", 3)[:3]
    assert answer == wanted, f"{answer!r}, {wanted!r} wanted"
    assert kept.startswith(f"kept: 100.0 % of {inputs['input_ids'].shape[1]} prompt tokens at p = 1"), kept
    assert time.startswith("time: ") and time.endswith(" 12 tokens"), time
    result = run(ziprl, "generate", directory, "--image", image, "--prompt", "which shape?", "--p", "0.5")
    assert result.returncode == 0 and "100.0 %" not in result.stdout, result.stdout
    result = run(ziprl, "generate", directory, "--image", f"{directory}/absent.png", "--prompt", "which shape?")
    assert result.returncode == 1 and "absent.png" in result.stderr, result.stderr


def main(ziprl, models, work):
    torch.set_num_threads(1)
    AttentionInterface.register("oracle", oracle.oracle_attention)
    AttentionMaskInterface.register("oracle", sdpa_mask)
    for name in ("base", "odd"):
        directory = f"{work}/{name}"
        subprocess.run(["rm", "-rf", directory], check=True)
        subprocess.run(["cp", "-r", f"{models}/{name}", directory], check=True)
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(directory, attn_implementation="eager")
        model = model.float().eval()
        model.config.text_config._attn_implementation = "oracle"
        processor = AutoProcessor.from_pretrained(directory)
        judge_logprobs(ziprl, directory, work, model, processor)
        if name == "base":
            judge_bad_rows(ziprl, directory)
        judge_generate(ziprl, directory, model, processor)


if __name__ == "__main__":
    os.makedirs(sys.argv[3], exist_ok=True)
    main(*sys.argv[1:])
