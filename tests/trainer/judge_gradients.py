"""The learner's and sft's loss and gradients against transformers' autograd.

usage: judge_gradients.py grpo|sft PROBE TINY_MODELS WORK_DIR
"""

import json
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

DIALOGUES = [
    [dict(role="user", content="<image>What colour is the shape?"), dict(role="assistant", content="red")],
    [dict(role="system", content="Be brief."), dict(role="user", content="one\ntwo"),
     dict(role="assistant", content="\nthree "), dict(role="user", content="<image>and <image>?"),
     dict(role="assistant", content="a circle, I think.")],
    [dict(role="user", content="Is there a red circle?"), dict(role="assistant", content="no"),
     dict(role="user", content="this turn has no answer")],
]


def forward(model, processor, ids, images):
    ids = torch.tensor([ids])
    kwargs = {}
    if images:
        patches = processor.image_processor([Image.open(f) for f in images], return_tensors="pt")
        kwargs = dict(pixel_values=patches["pixel_values"], image_grid_thw=patches["image_grid_thw"],
                      mm_token_type_ids=(ids == model.config.image_token_id).int())
    return model(input_ids=ids, **kwargs).logits[0].float()


def check_gradients(model, path):
    ours = load_file(path)
    compared = 0
    for name, p in model.named_parameters():
        canonical = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        theirs = torch.zeros_like(p) if p.grad is None else p.grad
        norm = theirs.norm().item()
        # The gradient of a key bias is zero but for rounding.
        allowed = 1e-3 * norm + (1e-6 if "k_proj.bias" in name else 0)
        difference = (ours[canonical] - theirs).norm().item()
        assert difference <= allowed, (name, difference, norm)
        compared += norm > 1e-6
    assert compared > 40
    print(f"{compared} gradients agree with transformers")


def grpo(model, processor, probe, directory, out):
    subprocess.run([probe, "grpo", os.path.basename(directory), out], check=True)
    about = json.load(open(out + ".json"))
    suppressed = torch.tensor(about["suppressed"], dtype=torch.bool)
    total = sum(len(s["response"]) for s in about["samples"])
    loss = 0
    for s in about["samples"]:
        n = len(s["prompt"])
        logits = forward(model, processor, s["prompt"] + s["response"][:-1], [s["image"]])[n - 1:]
        logits = logits.masked_fill(suppressed, -torch.inf)
        lp = torch.log_softmax(logits, -1).gather(1, torch.tensor(s["response"])[:, None])[:, 0]
        ratio = torch.exp(lp - torch.tensor(s["logprobs"]))
        clipped = ratio.clamp(0.8, 1.28)
        loss = loss - torch.min(ratio * s["advantage"], clipped * s["advantage"]).sum() / total
    loss.backward()
    assert abs(loss.item() - about["loss"]) <= 1e-5, (loss.item(), about["loss"])
    check_gradients(model, out + ".safetensors")


def as_items(content):
    items = []
    for i, part in enumerate(content.split("<image>")):
        items += [dict(type="image")] * (i > 0) + ([dict(type="text", text=part)] if part else [])
    return items


def expected_targets(processor, messages, images):
    """Ids of the whole dialogue and which of them are an assistant's content or its end token."""
    tokenizer = processor.tokenizer
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    header = tokenizer.encode("assistant\n", add_special_tokens=False)
    turns = [dict(role=m["role"], content=as_items(m["content"])) for m in messages]
    text = processor.apply_chat_template(turns, tokenize=False)
    pictures = [Image.open(f) for f in images] or None
    ids = processor(text=[text], images=pictures)["input_ids"][0]
    mask, inside, i = [0] * len(ids), False, 0
    while i < len(ids):
        if ids[i] == start:
            inside = list(ids[i + 1:i + 1 + len(header)]) == header
            i += 1 + len(header) if inside else 1
            continue
        mask[i] = int(inside)
        inside = inside and ids[i] != end
        i += 1
    return list(ids), mask


def sft(model, processor, probe, directory, out):
    images = [f"{directory}/image_{i}.png" for i in range(2)]
    used = [images[:1], [images[1], images[0]], []]
    rows = [dict(messages=d, images=[os.path.abspath(f) for f in u]) for d, u in zip(DIALOGUES, used)]
    rows.append(dict(problem="<image>Which shape?", answer="circle", images=[os.path.abspath(images[1])]))
    path = out + ".rows.jsonl"
    with open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    subprocess.run([probe, "sft", os.path.basename(directory), out, path], check=True)
    about = json.load(open(out + ".json"))
    dialogues = DIALOGUES + [[dict(role="user", content=rows[3]["problem"]), dict(role="assistant", content="circle")]]
    expected = [expected_targets(processor, d, u) for d, u in zip(dialogues, used + [[images[1]]])]
    found = []
    for row in about["rows"]:
        whole = row["ids"] + [row["target_ids"][-1]]
        marks = {r + 1: t for r, t in zip(row["target_rows"], row["target_ids"])}
        assert all(whole[place] == t for place, t in marks.items())
        match = [i for i, (ids, mask) in enumerate(expected)
                 if ids[:len(whole)] == whole and {j for j, m in enumerate(mask) if m} == set(marks)]
        assert len(match) == 1, processor.tokenizer.decode(whole)
        found.append(match[0])
    assert sorted(found) == [0, 1, 2, 3]
    total = sum(len(row["target_ids"]) for row in about["rows"])
    loss = 0
    for i, row in zip(found, about["rows"]):
        pictures = (used + [[images[1]]])[i]
        logits = forward(model, processor, row["ids"], pictures)[row["target_rows"]]
        lp = torch.log_softmax(logits, -1).gather(1, torch.tensor(row["target_ids"])[:, None])
        loss = loss - lp.sum() / total
    loss.backward()
    assert abs(loss.item() - about["loss"]) <= 1e-5 * loss.item(), (loss.item(), about["loss"])
    check_gradients(model, out + ".safetensors")


def main(mode, probe, tiny_models, work):
    torch.set_num_threads(1)
    os.makedirs(work, exist_ok=True)
    for name in ["base", "odd"]:
        directory = os.path.join(tiny_models, name)
        model = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
        processor = AutoProcessor.from_pretrained(directory)
        # torch's embedding drops the gradient of the pad token's row; a sampled response may hold that token.
        model.get_input_embeddings().padding_idx = None
        dict(grpo=grpo, sft=sft)[mode](model, processor, probe, directory, f"{work}/{mode}_{name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
