"""transformers loads what SaveModelDirectory wrote, offline, and computes the same.

usage: check_export.py HF_DIRECTORY_TEST PARITY_DIR
"""

import json
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from make_parity_fixtures import forward, logprobs_of


def check(parity, name):
    directory = f"{parity}/exported/{name}"
    model, info = AutoModelForImageTextToText.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind, names in info.items():
        assert not names, f"{name}: {kind}: {names}"
    expected = load_file(f"{parity}/{name}.expected.safetensors")
    inputs = {k: expected[k].long() if k != "patches" else expected[k]
              for k in ("ids", "grids", "patches") if k in expected}
    with torch.no_grad():
        logits = forward(model.eval(), inputs)
    assert torch.equal(logits, expected["logits"]), f"{name}: logits differ by {(logits - expected['logits']).abs().max()}"
    assert torch.equal(logprobs_of(logits, inputs["ids"]), expected["logprobs"])
    original = AutoProcessor.from_pretrained(f"{parity}/{name}")
    processor = AutoProcessor.from_pretrained(directory)
    assert type(processor) is type(original)
    text = "what colour is the shape<|im_end|>"
    assert processor.tokenizer(text).input_ids == original.tokenizer(text).input_ids
    assert processor.chat_template == original.chat_template
    assert processor.image_processor.to_dict() == original.image_processor.to_dict()
    before, after = (json.load(open(f"{d}/config.json")) for d in (f"{parity}/{name}", directory))
    for key in ("image_token_id", "video_token_id", "vision_start_token_id", "tie_word_embeddings"):
        assert before[key] == after[key], f"{name}: {key}: {before[key]} became {after[key]}"
    for part in ("text_config", "vision_config"):
        for key, value in after[part].items():
            if key == "pad_token_id":  # stands in the generation config, as in the published checkpoints
                continue
            assert before[part].get(key, value) == value, f"{name}: {part}.{key}: {before[part][key]} became {value}"
    assert model.generation_config.pad_token_id == before["text_config"]["pad_token_id"]
    assert model.generation_config.eos_token_id is not None
    print(f"{name}: loaded by transformers, logits equal")


def main(test, parity):
    subprocess.run([test, "--gtest_filter=ExportTest.*"], check=True)
    torch.set_num_threads(1)
    for name in ("base", "odd", "windows", "qwen2_base", "qwen2_odd"):
        check(parity, name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
