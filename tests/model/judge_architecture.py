"""config.json, parameter names and safetensors against transformers. Usage: judge_architecture.py PROBE WORK_DIR CASE"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file

from judging import check_equal, probe, write_json

PROBE, WORK, CASE = sys.argv[1:4]
DIR = os.path.join(WORK, CASE)
os.makedirs(DIR, exist_ok=True)


def tiny(tied=False, heads=4, kv_heads=2, head_dim=16, depth=2, eos=(601, 600)):
    config = transformers.Qwen2_5_VLConfig(
        text_config=dict(vocab_size=700, hidden_size=heads * head_dim, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=512,
                         rms_norm_eps=1e-6, bos_token_id=600, eos_token_id=601,
                         rope_parameters=dict(rope_type="default", rope_theta=12345.5,
                                              mrope_section=[head_dim // 8, head_dim // 8, head_dim // 4])),
        vision_config=dict(depth=depth, hidden_size=48, intermediate_size=80, num_heads=3, patch_size=8,
                           window_size=48, out_hidden_size=heads * head_dim, fullatt_block_indexes=[depth - 1],
                           tokens_per_second=2),
        image_token_id=610, video_token_id=611, vision_start_token_id=612, vision_end_token_id=613,
        tie_word_embeddings=tied)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = list(eos)
    model.generation_config.pad_token_id = 600
    return model


def described(directory):
    return json.loads(probe(PROBE, "config", directory)[0])


def write_export(directory, answer):
    os.makedirs(directory, exist_ok=True)
    for name, key in (("config.json", "config"), ("generation_config.json", "generation")):
        with open(os.path.join(directory, name), "w") as file:
            file.write(answer[key])


def round_trip():
    """Our config.json means the same to transformers, and reading it again writes the same bytes."""
    for number, model in enumerate((tiny(), tiny(tied=True), tiny(heads=6, kv_heads=3, depth=3, eos=(5,)))):
        source = os.path.join(DIR, f"source_{number}")
        model.save_pretrained(source)
        answer = described(source)
        export = os.path.join(DIR, f"export_{number}")
        write_export(export, answer)
        check_equal("export, import, export", [described(export)], [answer])
        loaded = transformers.AutoConfig.from_pretrained(export).to_dict()
        original = transformers.AutoConfig.from_pretrained(source).to_dict()
        for config in (loaded, original):
            for key in ("_name_or_path", "transformers_version", "dtype"):
                config.pop(key, None)
                config["text_config"].pop(key, None)
                config["vision_config"].pop(key, None)
            for key in ("max_window_layers", "sliding_window", "eos_token_id", "pad_token_id"):
                config["text_config"].pop(key, None)
        check_equal("config", [loaded], [original])
        generation = transformers.GenerationConfig.from_pretrained(export)
        check_equal("end tokens", np.atleast_1d(generation.eos_token_id).tolist(),
                    np.atleast_1d(model.generation_config.eos_token_id).tolist())


def parameter_names():
    """ParamSpecs are the tensors save_pretrained writes; module names map onto them."""
    for number, model in enumerate((tiny(), tiny(tied=True), tiny(heads=6, kv_heads=3, depth=3))):
        source = os.path.join(DIR, f"names_{number}")
        model.save_pretrained(source)
        with safe_open(os.path.join(source, "model.safetensors"), "np") as file:
            want = sorted([name, list(file.get_slice(name).get_shape())] for name in file.keys())
        check_equal("specs", sorted(described(source)["specs"]), want)
        modules = [name for name, _ in model.named_parameters()]
        mapped = probe(PROBE, "names", lines=modules)
        check_equal("canonical names", sorted(mapped), sorted(name for name, _ in want))
        check_equal("canonical names of canonical names", probe(PROBE, "names", lines=mapped), mapped)


def old_layout():
    """The flat config.json of the first Qwen2.5-VL checkpoints gives what the nested one gives."""
    model = tiny(tied=True)
    source = os.path.join(DIR, "nested")
    model.save_pretrained(source)
    want = described(source)
    nested = json.load(open(os.path.join(source, "config.json")))
    text = nested.pop("text_config")
    rope = text.pop("rope_parameters")
    flat = {**text, **nested, "torch_dtype": nested.pop("dtype"), "rope_theta": rope["rope_theta"],
            "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
            "use_sliding_window": False, "sliding_window": 32768, "max_window_layers": 70,
            "vision_token_id": 614, "model_type": "qwen2_5_vl"}
    for key in ("layer_types", "dtype"):
        flat.pop(key, None)
    flat["vision_config"] = {**nested["vision_config"], "model_type": "qwen2_5_vl", "in_chans": 3,
                             "spatial_patch_size": 8}
    flat["vision_config"].pop("rope_parameters")
    old = os.path.join(DIR, "flat")
    write_export(old, want)
    write_json(os.path.join(old, "config.json"), flat)
    check_equal("flat layout", [described(old)], [want])
    check_equal("to transformers as well", [transformers.AutoConfig.from_pretrained(old).text_config.rope_parameters],
                [{**rope, "type": "mrope"}] if "type" in transformers.AutoConfig.from_pretrained(old)
                .text_config.rope_parameters else [rope])


def safetensors_files():
    """Files of the reference library pass through reader and writer unchanged."""
    rng = np.random.default_rng(1)
    tensors = {"f32": rng.normal(size=(3, 5)).astype(np.float32), "f16": rng.normal(size=(7,)).astype(np.float16),
               "i64": rng.integers(-9, 9, (2, 2, 2)), "u8": rng.integers(0, 255, (5,)).astype(np.uint8),
               "scalar": np.array(3.5, np.float32), "empty": np.zeros((0, 4), np.float32),
               "bool": np.array([True, False])}
    first, second = os.path.join(DIR, "first.safetensors"), os.path.join(DIR, "second.safetensors")
    save_file(tensors, first, metadata={"format": "pt", "x": "\u00e9"})
    probe(PROBE, "copy", first, second)
    with safe_open(second, "np") as file:
        check_equal("names", sorted(file.keys()), sorted(tensors))
        check_equal("metadata", [file.metadata()], [{"format": "pt", "x": "\u00e9"}])
        for name, value in tensors.items():
            got = file.get_tensor(name)
            if got.dtype != value.dtype or got.shape != value.shape or not np.array_equal(got, value):
                sys.exit(f"{name} changed: {got} from {value}")
    torch_file = os.path.join(DIR, "bf16.safetensors")
    from safetensors.torch import load_file, save_file as save_torch
    value = torch.randn(4, 6).to(torch.bfloat16)
    save_torch({"w": value}, torch_file)
    probe(PROBE, "copy", torch_file, second)
    if not torch.equal(load_file(second)["w"], value):
        sys.exit("bf16 tensor changed")
    print("safetensors: 8 tensors equal")


CASES = {f.__name__: f for f in (round_trip, parameter_names, old_layout, safetensors_files)}
CASES[CASE]()
