"""transformers' side of generate.py, spoken to as bench_generate is. usage: rival_transformers.py MODEL ROWS DTYPE"""
import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration


def inputs_of(processor, path, count):
    texts, images = [], []
    with open(path) as file:
        for _, line in zip(range(count), file):
            row = json.loads(line)
            content = [{"type": "image"}, {"type": "text", "text": row["problem"].replace("<image>", "")}]
            texts.append(processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False,
                                                       add_generation_prompt=True))
            images.append(Image.open(os.path.join(os.path.dirname(path), row["images"][0])).convert("RGB"))
    return texts, images


def count(responses, ends):
    """Tokens of all responses, each up to its first end."""
    ends = torch.tensor(ends if isinstance(ends, list) else [ends])
    total = 0
    for row in responses:
        end = torch.isin(row, ends).nonzero()
        total += len(row) if len(end) == 0 else int(end[0]) + 1
    return total


@torch.no_grad()
def main(model_path, rows, dtype):
    torch.set_num_threads(1)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        model_path, dtype=torch.bfloat16 if dtype == "bf16" else torch.float32).eval()
    processor = AutoProcessor.from_pretrained(model_path, padding_side="left")
    for line in sys.stdin:
        prompts, samples, tokens = map(int, line.split()[:3])
        forced = line.split()[3] == "forced"
        texts, images = inputs_of(processor, rows, prompts)
        start = time.perf_counter()
        inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
        out = model.generate(**inputs, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                             min_new_tokens=tokens if forced else None, max_new_tokens=tokens,
                             num_return_sequences=samples)
        seconds = time.perf_counter() - start
        print(seconds, count(out[:, inputs["input_ids"].shape[1]:], model.generation_config.eos_token_id), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
