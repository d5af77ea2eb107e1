"""What transformers makes of a large model: inputs of a prompt, logits in bf16, and in fp32 one layer at a time.

usage: judge_shape.py inputs MODEL_DIR IMAGE PROMPT OUT      prompt -> the tensors that logits_probe reads
       judge_shape.py bf16   MODEL_DIR INPUTS OUT THREADS    the whole model in memory
       judge_shape.py fp32   MODEL_DIR INPUTS OUT THREADS    the same weights in fp32, never more than one layer in memory
"""
import json
import os
import resource
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch
import transformers
from accelerate import init_empty_weights
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoProcessor


def model_class(config):
    return getattr(transformers, config.architectures[0])


def write_inputs(directory, image, prompt, out):
    processor = AutoProcessor.from_pretrained(directory)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=[Image.open(image)], return_tensors="pt")
    config = AutoConfig.from_pretrained(directory)
    with torch.device("meta"):
        model = model_class(config)(config)
    ids, grids = inputs["input_ids"], inputs["image_grid_thw"]
    positions = model.model.get_rope_index(ids, (ids == config.image_token_id).int(), grids)[0][:, 0]
    n = ids.shape[1]
    rows = sorted({*range(0, n, 7), *range(n - 64, n)})
    tensors = dict(ids=ids[0], positions=positions, grids=grids, rows=torch.tensor(rows))
    tensors = {k: v.to(torch.int32).contiguous() for k, v in tensors.items()}
    save_file({**tensors, "patches": inputs["pixel_values"].float()}, out)
    print(json.dumps({"tokens": n, "visual_tokens": int((ids == config.image_token_id).sum()), "rows": len(rows)}))


def stored_tensors(directory):
    """name -> a function that reads it, whatever shard holds it."""
    with open(f"{directory}/model.safetensors.index.json") as file:
        weight_map = json.load(file)["weight_map"]
    files = {shard: safe_open(f"{directory}/{shard}", "pt") for shard in set(weight_map.values())}
    return lambda name: files[weight_map[name]].get_tensor(name)


def set_parameters(module, prefix, read):
    for name, _ in list(module.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        value = torch.nn.Parameter(read(prefix + name).float(), requires_grad=False)
        setattr(module.get_submodule(owner), leaf, value)


def drop_parameters(module):
    for name, p in list(module.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        empty = torch.nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False)
        setattr(module.get_submodule(owner), leaf, empty)


def streamed_model(directory):
    """Layers and blocks get their parameters when they are entered and lose them when they are left."""
    config, read = AutoConfig.from_pretrained(directory), stored_tensors(directory)
    with init_empty_weights(include_buffers=False):
        model = model_class(config)(config)
    model.to(torch.float32)
    streamed = [(f"visual.blocks.{i}.", block) for i, block in enumerate(model.model.visual.blocks)]
    streamed += [(f"model.layers.{i}.", layer) for i, layer in enumerate(model.model.language_model.layers)]
    for prefix, module in streamed:
        module.register_forward_pre_hook(lambda m, _, prefix=prefix: set_parameters(m, prefix, read))
        module.register_forward_hook(lambda m, *_: drop_parameters(m))
    visual, language = model.model.visual, model.model.language_model
    for module, prefix in ((visual.patch_embed, "visual.patch_embed."), (visual.merger, "visual.merger."),
                           (language.embed_tokens, "model.embed_tokens."), (language.norm, "model.norm.")):
        set_parameters(module, prefix, read)
    if config.tie_word_embeddings:
        model.lm_head.weight = language.embed_tokens.weight
    else:
        set_parameters(model.lm_head, "lm_head.", read)
    return model.eval()


def load(directory, precision):
    if precision == "fp32":
        return streamed_model(directory)
    config = AutoConfig.from_pretrained(directory)
    return model_class(config).from_pretrained(directory, dtype=torch.bfloat16).eval()


def first_token(tokenizer, logits):
    """The most probable token behind the prompt of those that may be sampled, and how far before the next."""
    logits[len(tokenizer):] = -torch.inf
    for name in ("vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"):
        logits[tokenizer.convert_tokens_to_ids(f"<|{name}|>")] = -torch.inf
    values, ids = logits.topk(2)
    return {"first_token": tokenizer.decode([ids[0]], skip_special_tokens=True), "lead": (values[0] - values[1]).item()}


def write_logits(precision, directory, inputs, out, threads):
    torch.set_num_threads(int(threads))
    start = time.time()
    model = load(directory, precision)
    loaded, inputs = time.time() - start, load_file(inputs)
    ids = inputs["ids"].long()[None]
    start = time.time()
    with torch.no_grad():
        logits = model(input_ids=ids, pixel_values=inputs["patches"], image_grid_thw=inputs["grids"].long(),
                       mm_token_type_ids=(ids == model.config.image_token_id).int(), use_cache=False,
                       logits_to_keep=inputs["rows"].long()).logits[0]
    first = first_token(AutoProcessor.from_pretrained(directory).tokenizer, logits[-1].float().clone())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    save_file({"logits": logits.float().contiguous()}, out)
    print(json.dumps({"load_s": round(loaded, 2), "forward_s": round(time.time() - start, 2), "peak": peak,
                      **first}))


if __name__ == "__main__":
    write_inputs(*sys.argv[2:]) if sys.argv[1] == "inputs" else write_logits(*sys.argv[1:])
