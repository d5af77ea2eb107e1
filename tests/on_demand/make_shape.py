"""A published configuration with random bf16 weights, written shard by shard: no more than one tensor is held.

usage: make_shape.py CONFIG.json OUT_DIR [SHARD_BYTES]

Weights are scaled by their inputs, so that activations neither vanish nor explode; biases are not zero, norms not one.
Names and shapes are those of transformers' model on the meta device.
"""
import json
import os
import shutil
import struct
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{ROOT}/tests/model")

import torch
import transformers
from qwen_vocabulary import write_qwen_tokenizer
from transformers import AutoConfig, Qwen2TokenizerFast, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

def model_class(config):
    return getattr(transformers, config.architectures[0])


def stored_name(name):
    """As the published files name it."""
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def random_tensor(name, shape, generator):
    tensor = torch.empty(shape, dtype=torch.bfloat16)
    if len(shape) == 1:
        tensor.normal_(0 if name.endswith("bias") else 1, 0.1, generator=generator)
        return tensor
    std = 0.05 if "embed_tokens" in name or "lm_head" in name else 0.9 / tensor[0].numel() ** 0.5
    return tensor.normal_(0, 2 * std if ".q_proj." in name else std, generator=generator)


def shards_of(shapes, limit):
    shards, filled = [[]], 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def write_shard(path, names, shapes, generator):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        end = offset + 2 * torch.Size(shapes[name]).numel()
        header[name] = {"dtype": "BF16", "shape": list(shapes[name]), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(random_tensor(name, shapes[name], generator).view(torch.int16).numpy())
    return offset


def write_processor(out, config):
    with open(f"{ROOT}/configs/models/easy-vqa-warm-start/chat_template.jinja") as file:  # Qwen2.5-VL's
        template = file.read()
    write_qwen_tokenizer(f"{out}/tokenizer.json")
    tokenizer = Qwen2TokenizerFast(tokenizer_file=f"{out}/tokenizer.json", eos_token="<|im_end|>",
                                   pad_token="<|endoftext|>")
    vision = config.vision_config
    sizes = dict(patch_size=vision.patch_size, temporal_patch_size=vision.temporal_patch_size,
                 merge_size=vision.spatial_merge_size)
    processor = getattr(transformers, config.architectures[0].replace("ForConditionalGeneration", "Processor"))
    processor(image_processor=Qwen2VLImageProcessor(**sizes), video_processor=Qwen2VLVideoProcessor(**sizes),
              tokenizer=tokenizer, chat_template=template).save_pretrained(out)


def main(config_file, out, limit):
    os.makedirs(out)
    shutil.copy(config_file, f"{out}/config.json")
    config = AutoConfig.from_pretrained(out)
    with torch.device("meta"):
        model = model_class(config)(config)
    shapes = {stored_name(name): tuple(p.shape) for name, p in model.named_parameters()}
    shards, total, weight_map = shards_of(shapes, limit), 0, {}
    generator = torch.Generator().manual_seed(1)
    for i, names in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        total += write_shard(f"{out}/{file}", names, shapes, generator)
        weight_map.update(dict.fromkeys(names, file))
    with open(f"{out}/model.safetensors.index.json", "w") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, file)
    write_processor(out, config)
    print(json.dumps({"shards": len(shards), "bytes": total, "parameters": total // 2}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(float(sys.argv[3])) if len(sys.argv) > 3 else 2 * 10**9)
