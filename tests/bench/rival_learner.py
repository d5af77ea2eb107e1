"""Eager PyTorch's side of learner.py: the first row's prompt with SAMPLES random responses of TOKENS tokens, GRPO's
clipped loss, AdamW (fused). The image is encoded once for the group, only the responses' logits are computed, no layer
runs twice. Every line "SAMPLES TOKENS" on standard input is answered by a step's seconds.
usage: rival_learner.py MODEL ROWS DTYPE"""
import itertools
import sys
import time

import torch
from rival_transformers import inputs_of
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration


def loss_of(model, inputs, ids, old, advantages):
    samples, tokens = old.shape
    grid = inputs["image_grid_thw"]
    features = torch.cat(model.model.get_image_features(inputs["pixel_values"], grid, return_dict=True).pooler_output)
    embeddings = model.get_input_embeddings()(ids)
    mask = (ids == model.config.image_token_id).unsqueeze(-1)
    embeddings = embeddings.masked_scatter(mask, features.to(embeddings.dtype).repeat(samples, 1))
    kinds = torch.cat([inputs["mm_token_type_ids"][0], torch.zeros(tokens, dtype=torch.int)]).expand(samples, -1)
    positions, _ = model.model.get_rope_index(ids, kinds, image_grid_thw=grid.expand(samples, -1))
    hidden = model.model.language_model(inputs_embeds=embeddings[:, :-1], position_ids=positions[:, :, :-1],
                                        use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, -tokens:]).float()
    logprobs = logits.log_softmax(-1).gather(-1, ids[:, -tokens:, None]).squeeze(-1)
    ratio = (logprobs - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.28) * advantages).mean()


def main(model_path, rows, dtype):
    torch.set_num_threads(1)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        model_path, dtype=torch.bfloat16 if dtype == "bf16" else torch.float32).train()
    texts, images = inputs_of(AutoProcessor.from_pretrained(model_path), rows, 1)
    inputs = AutoProcessor.from_pretrained(model_path)(text=texts, images=images, return_tensors="pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
    for line in sys.stdin:
        samples, tokens = map(int, line.split())
        responses = torch.randint(0, 256, (samples, tokens), generator=torch.Generator().manual_seed(1))
        ids = torch.cat([inputs["input_ids"].expand(samples, -1), responses], 1)
        advantages = torch.tensor(list(itertools.islice(itertools.cycle([1.0, -1.0]), samples)))[:, None]
        start = time.perf_counter()
        loss_of(model, inputs, ids, torch.full((samples, tokens), -6.0), advantages).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
