"""config.json, parameter names and safetensors against transformers. Usage: judge_architecture.py PROBE WORK_DIR CASE"""
import json
import os
import shutil
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


HERE = os.path.dirname(os.path.abspath(__file__))
FAMILIES = ("Qwen2VL", "Qwen2_5_VL")


def tiny(family="Qwen2_5_VL", tied=False, heads=4, kv_heads=2, head_dim=16, depth=2, eos=(601, 600)):
    vision = dict(depth=depth, num_heads=3, patch_size=8)
    if family == "Qwen2VL":
        vision.update(embed_dim=48, mlp_ratio=3, hidden_size=heads * head_dim)
    else:
        vision.update(hidden_size=48, intermediate_size=80, window_size=48, out_hidden_size=heads * head_dim,
                      fullatt_block_indexes=[depth - 1], tokens_per_second=2)
    config = getattr(transformers, family + "Config")(
        text_config=dict(vocab_size=700, hidden_size=heads * head_dim, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=512,
                         rms_norm_eps=1e-6, bos_token_id=600, eos_token_id=601,
                         rope_parameters=dict(rope_type="default", rope_theta=12345.5,
                                              mrope_section=[head_dim // 8, head_dim // 8, head_dim // 4])),
        vision_config=vision,
        image_token_id=610, video_token_id=611, vision_start_token_id=612, vision_end_token_id=613,
        tie_word_embeddings=tied)
    model = getattr(transformers, family + "ForConditionalGeneration")(config)
    model.generation_config.eos_token_id = list(eos)
    model.generation_config.pad_token_id = 600
    return model


def variants():
    return [tiny(family, **options) for family in FAMILIES
            for options in (dict(tied=True), dict(heads=6, kv_heads=3, depth=3, eos=(5,)))]


def described(directory):
    return json.loads(probe(PROBE, "config", directory)[0])


def write_export(directory, answer):
    os.makedirs(directory, exist_ok=True)
    for name, key in (("config.json", "config"), ("generation_config.json", "generation")):
        with open(os.path.join(directory, name), "w") as file:
            file.write(answer[key])


def meaning(directory):
    """What transformers reads from a config.json, a line each, but for where it came from, tokens of generation and
    keys that it does not read."""
    config = transformers.AutoConfig.from_pretrained(directory).to_dict()
    text, vision = config.pop("text_config"), config.pop("vision_config")
    text["rope_parameters"].pop("type", None)
    unread = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "max_window_layers", "sliding_window",
              "use_sliding_window", "bos_token_id", "eos_token_id", "pad_token_id", "vision_token_id", "in_chans",
              "spatial_patch_size", "tie_word_embeddings")
    lines = [f"tied: {config['tie_word_embeddings']}"]
    for name, part in (("root", config), ("text", text), ("vision", vision)):
        lines += [f"{name}.{key}: {json.dumps(part[key], sort_keys=True)}" for key in sorted(part) if key not in unread]
    return lines


def round_trip():
    """Our config.json means the same to transformers, and reading it again writes the same bytes."""
    for number, model in enumerate(variants()):
        source = os.path.join(DIR, f"source_{number}")
        model.save_pretrained(source)
        answer = described(source)
        export = os.path.join(DIR, f"export_{number}")
        write_export(export, answer)
        check_equal("export, import, export", [described(export)], [answer])
        check_equal("config", meaning(export), meaning(source))
        generation = transformers.GenerationConfig.from_pretrained(export)
        check_equal("end tokens", np.atleast_1d(generation.eos_token_id).tolist(),
                    np.atleast_1d(model.generation_config.eos_token_id).tolist())


def parameter_names():
    """ParamSpecs are the tensors save_pretrained writes; module names map onto them."""
    for number, model in enumerate(variants()):
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
    for family in FAMILIES:
        old_layout_of(family)


def old_layout_of(family):
    """The flat config.json of the first checkpoints gives what the nested one gives."""
    model = tiny(family, tied=True)
    source = os.path.join(DIR, family, "nested")
    model.save_pretrained(source)
    want = described(source)
    nested = json.load(open(os.path.join(source, "config.json")))
    text = nested.pop("text_config")
    rope = text.pop("rope_parameters")
    flat = {**text, **nested, "torch_dtype": nested.pop("dtype"), "rope_theta": rope["rope_theta"],
            "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
            "use_sliding_window": False, "sliding_window": 32768, "max_window_layers": 70,
            "vision_token_id": 614, "model_type": model.config.model_type}
    for key in ("layer_types", "dtype"):
        flat.pop(key, None)
    flat["vision_config"] = {**nested["vision_config"], "model_type": model.config.model_type, "in_chans": 3,
                             "spatial_patch_size": 8}
    flat["vision_config"].pop("rope_parameters")
    old = os.path.join(DIR, family, "flat")
    write_export(old, want)
    write_json(os.path.join(old, "config.json"), flat)
    check_equal("flat layout", [described(old)], [want])
    check_equal("to transformers as well", [transformers.AutoConfig.from_pretrained(old).text_config.rope_parameters],
                [{**rope, "type": "mrope"}] if "type" in transformers.AutoConfig.from_pretrained(old)
                .text_config.rope_parameters else [rope])


def published():
    """The published sizes: their config.json, every parameter's name and shape, and what we write of them."""
    files = sorted(os.listdir(os.path.join(HERE, "published")))
    check_equal("published", [len(files)], [7])
    for file in files:
        source, export = (os.path.join(DIR, part, file[:-5]) for part in ("source", "export"))
        os.makedirs(source, exist_ok=True)
        shutil.copy(os.path.join(HERE, "published", file), os.path.join(source, "config.json"))
        answer = described(source)
        with torch.device("meta"):
            model = transformers.AutoModelForImageTextToText.from_config(transformers.AutoConfig.from_pretrained(source))
        # state_dict keeps the head of a tied model, save_pretrained does not.
        want = {name: list(p.shape) for name, p in model.named_parameters()}
        mapped = probe(PROBE, "names", lines=list(want))
        check_equal(f"{file}: parameters", sorted(answer["specs"]), sorted(map(list, zip(mapped, want.values()))))
        print(f"{file}: {sum(p.numel() for p in model.parameters()):,} parameters")
        write_export(export, answer)
        check_equal(f"{file}: config", meaning(export), meaning(source))
        check_equal(f"{file}: export again", [described(export)], [answer])


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


CASES = {f.__name__: f for f in (round_trip, parameter_names, old_layout, published, safetensors_files)}
CASES[CASE]()
