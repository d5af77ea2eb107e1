"""Random tiny Qwen2-VL and Qwen2.5-VL models and what transformers computes with them, as judges of model/.

usage: make_parity_fixtures.py OUT_DIR

OUT_DIR/<case>/ is a Hugging Face directory as transformers writes it; OUT_DIR/<case>.expected.safetensors
holds inputs, logits, log-probs and the gradient of every parameter.
"""

import json
import os
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# vocab, hidden, intermediate, layers, heads, kv heads, mrope sections, tied,
# vision (hidden, intermediate, heads, depth, patch, window, full-attention blocks), grids of the images. Names begin
# with "qwen2_" where the family is Qwen2-VL; there vision is (embed_dim, mlp_ratio, heads, depth, patch).
CASES = {
    "base": dict(vocab=512, hidden=128, inter=344, layers=4, heads=4, kv=2, sections=[4, 6, 6], tied=True,
                 vision=(96, 256, 4, 3, 4, 16, [1]), grids=[(1, 16, 16)]),
    "odd": dict(vocab=700, hidden=96, inter=208, layers=3, heads=6, kv=3, sections=[2, 3, 3], tied=False,
                vision=(48, 120, 3, 4, 14, 112, [1, 3]), grids=[(1, 10, 14), (1, 8, 18)]),
    "windows": dict(vocab=400, hidden=64, inter=160, layers=2, heads=4, kv=1, sections=[2, 3, 3], tied=False,
                    vision=(64, 128, 2, 2, 8, 48, [0]), grids=[(1, 6, 6), (1, 14, 8), (2, 10, 4)]),
    "text": dict(vocab=300, hidden=64, inter=96, layers=2, heads=2, kv=2, sections=[4, 6, 6], tied=True,
                 vision=(32, 64, 2, 1, 4, 16, [0]), grids=[]),
    "qwen2_base": dict(vocab=512, hidden=128, inter=344, layers=4, heads=4, kv=2, sections=[4, 6, 6], tied=True,
                       vision=(96, 4, 4, 3, 4), grids=[(1, 16, 16)]),
    "qwen2_odd": dict(vocab=700, hidden=96, inter=208, layers=3, heads=6, kv=3, sections=[2, 3, 3], tied=False,
                      vision=(60, 2, 3, 4, 14), grids=[(1, 10, 14), (1, 8, 18)]),
    "qwen2_frames": dict(vocab=400, hidden=64, inter=160, layers=2, heads=4, kv=1, sections=[3, 3, 2], tied=False,
                         vision=(64, 3, 2, 2, 8), grids=[(1, 6, 6), (1, 14, 8), (2, 10, 4)]),
}


def family_class(case, kind):
    """transformers' class of the case's family: kind is Config, ForConditionalGeneration or Processor."""
    return getattr(transformers, ("Qwen2_5_VL" if len(case["vision"]) == 7 else "Qwen2VL") + kind)


def vision_config(case):
    common = dict(spatial_merge_size=2, temporal_patch_size=2, in_channels=3)
    if family_class(case, "Config").model_type == "qwen2_vl":
        embed, ratio, heads, depth, patch = case["vision"]
        return dict(common, depth=depth, embed_dim=embed, mlp_ratio=ratio, num_heads=heads, patch_size=patch,
                    hidden_size=case["hidden"])
    hidden, inter, heads, depth, patch, window, full = case["vision"]
    return dict(common, depth=depth, hidden_size=hidden, intermediate_size=inter, num_heads=heads, patch_size=patch,
                window_size=window, fullatt_block_indexes=full, out_hidden_size=case["hidden"], tokens_per_second=2)


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=264, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(["what colour is the shape", "is there a red circle"], trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return Qwen2TokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def make_config(case, tokenizer):
    ids = {t: tokenizer.convert_tokens_to_ids(t) for t in SPECIAL}
    ends = dict(bos_token_id=ids["<|endoftext|>"], eos_token_id=ids["<|im_end|>"],
                pad_token_id=ids["<|endoftext|>"])
    text = dict(
        vocab_size=case["vocab"], hidden_size=case["hidden"], intermediate_size=case["inter"],
        num_hidden_layers=case["layers"], num_attention_heads=case["heads"], num_key_value_heads=case["kv"],
        max_position_embeddings=4096, rms_norm_eps=1e-6, tie_word_embeddings=case["tied"],
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, mrope_section=case["sections"]), **ends)
    return family_class(case, "Config")(
        text_config=text, vision_config=vision_config(case), tie_word_embeddings=case["tied"],
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"], **ends)


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim == 1:
                p.copy_(0.1 * noise if name.endswith("bias") else 1 + 0.1 * noise)
            else:
                fan_in = p[0].numel()
                p.copy_(noise * (0.5 if "embed_tokens" in name else 0.9 / fan_in**0.5))


def make_inputs(case, config, tokenizer, seed):
    generator = torch.Generator().manual_seed(seed)
    text = lambda n: torch.randint(0, 256, (n,), generator=generator).tolist()
    vision = config.vision_config
    ids, patches = text(7), []
    for t, h, w in case["grids"]:
        ids += [config.vision_start_token_id] + [config.image_token_id] * (t * h * w // 4)
        ids += [config.vision_end_token_id] + text(5)
        patches.append(torch.randn(t * h * w, 3 * 2 * vision.patch_size**2, generator=generator))
    ids += text(20)
    inputs = {"ids": torch.tensor(ids)}
    if case["grids"]:
        inputs["grids"] = torch.tensor(case["grids"])
        inputs["patches"] = torch.cat(patches)
    return inputs


def forward(model, inputs):
    ids = inputs["ids"][None]
    if "grids" not in inputs:
        return model(input_ids=ids).logits[0]
    types = (ids == model.config.image_token_id).int()
    return model(input_ids=ids, pixel_values=inputs["patches"], image_grid_thw=inputs["grids"],
                 mm_token_type_ids=types).logits[0]


def logprobs_of(logits, ids):
    return torch.log_softmax(logits[:-1].float(), -1).gather(1, ids[1:, None])[:, 0]


def expected(model, inputs, with_gradients):
    logits = forward(model, inputs)
    logprobs = logprobs_of(logits, inputs["ids"])
    n = len(inputs["ids"])
    result = {k: v.to(torch.int32) if v.dtype == torch.int64 else v for k, v in inputs.items()}
    if "grids" in inputs:
        positions = model.model.get_rope_index(
            inputs["ids"][None], (inputs["ids"][None] == model.config.image_token_id).int(), inputs["grids"])[0][:, 0]
    else:
        positions = torch.arange(n).expand(3, n)
    result["positions"] = positions.to(torch.int32).contiguous()
    result["weights"] = torch.linspace(-1, 2, n - 1)
    result["logits"], result["logprobs"] = logits.detach().float(), logprobs.detach()
    if with_gradients:
        (logprobs * result["weights"]).mean().backward()
        for name, p in model.named_parameters():
            result["grad." + name] = p.grad if p.grad is not None else torch.zeros_like(p)
    return {k: v.contiguous() for k, v in result.items()}


def greedy(model, inputs, count):
    ids = inputs["ids"]
    for _ in range(count):
        with torch.no_grad():
            ids = torch.cat([ids, forward(model, dict(inputs, ids=ids))[-1].argmax()[None]])
    return ids[len(inputs["ids"]):].to(torch.int32)


def save_processor(out, case, tokenizer):
    patch = case["vision"][4]
    sizes = dict(shortest_edge=(2 * patch) ** 2, longest_edge=(64 * patch) ** 2)
    common = dict(patch_size=patch, merge_size=2, temporal_patch_size=2, size=sizes)
    family_class(case, "Processor")(
        image_processor=Qwen2VLImageProcessor(**common), tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**common), chat_template=TEMPLATE).save_pretrained(out)


def flat_layout(source, out):
    """The same checkpoint with config.json as releases before the nested text_config wrote it."""
    shutil.copytree(source, out)
    config = json.load(open(f"{source}/config.json"))
    text = config.pop("text_config")
    flat = {k: v for k, v in text.items() if k not in ("model_type", "rope_parameters", "layer_types", "dtype")}
    rope = text["rope_parameters"]
    flat.update({k: v for k, v in config.items() if k != "dtype"})
    flat.update(rope_theta=rope["rope_theta"], torch_dtype="float32",
                rope_scaling={"type": "mrope", "mrope_section": rope["mrope_section"]})
    flat["vision_config"] = {k: v for k, v in config["vision_config"].items() if k not in ("rope_parameters",)}
    flat["vision_config"]["in_chans"] = flat["vision_config"].pop("in_channels")
    json.dump(flat, open(f"{out}/config.json", "w"), indent=2)


def nested_names(source, out):
    """The same checkpoint under the parameter names of the modules."""
    shutil.copytree(source, out)
    rename = lambda k: ("model." + k if k.startswith("visual.") else
                        k.replace("model.", "model.language_model.", 1) if k.startswith("model.") else k)
    tensors = load_file(f"{source}/model.safetensors")
    save_file({rename(k): v for k, v in tensors.items()}, f"{out}/model.safetensors", metadata={"format": "pt"})


def make_case(out, name, case, seed):
    tokenizer = make_tokenizer()
    config = make_config(case, tokenizer)
    model_class = family_class(case, "ForConditionalGeneration")
    model = model_class._from_config(config, attn_implementation="eager").float().eval()
    randomise(model, seed)
    inputs = make_inputs(case, config, tokenizer, seed)
    result = expected(model, inputs, with_gradients=True)
    result["greedy"] = greedy(model, inputs, 8)
    save_file(result, f"{out}/{name}.expected.safetensors")
    model.save_pretrained(f"{out}/{name}")
    save_processor(f"{out}/{name}", case, tokenizer)
    return model, inputs


def bf16_variant(out, name, model, inputs):
    """The same weights rounded to bf16, and what transformers says of them in bf16 and in fp32."""
    model.bfloat16().save_pretrained(f"{out}/{name}_bf16")
    # Loaded again: a cast model has rounded its rotary frequencies too.
    load = lambda dtype: type(model).from_pretrained(
        f"{out}/{name}_bf16", dtype=dtype, attn_implementation="eager").eval()
    narrow = forward(load(torch.bfloat16), inputs).detach()
    result = expected(load(torch.float32), inputs, with_gradients=False)
    result["logits_bf16"] = narrow.float()
    result["logprobs_bf16"] = logprobs_of(narrow, inputs["ids"]).float()
    save_file(result, f"{out}/{name}_bf16.expected.safetensors")


def main(out):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    torch.set_num_threads(1)
    for seed, (name, case) in enumerate(CASES.items()):
        model, inputs = make_case(out, name, case, seed + 1)
        if name in ("odd", "qwen2_odd"):
            model.save_pretrained(f"{out}/{name}_sharded", max_shard_size="200KB")
        if name in ("base", "qwen2_base"):
            flat_layout(f"{out}/{name}", f"{out}/{name}_flat")
            nested_names(f"{out}/{name}", f"{out}/{name}_nested_names")
        if name in ("base", "odd", "qwen2_base", "qwen2_odd"):
            bf16_variant(out, name, model, inputs)


if __name__ == "__main__":
    main(sys.argv[1])
