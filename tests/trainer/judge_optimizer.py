"""The optimizer against torch.optim.AdamW with torch's own clipping.

usage: judge_optimizer.py OPTIMIZER_PROBE WORK_DIR
"""

import os
import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file

STEPS, LR, BETAS, DECAY, MAX_NORM = 12, 3e-2, (0.9, 0.98), 0.1, 4.0


def main(probe, work):
    os.makedirs(work, exist_ok=True)
    generator = torch.Generator().manual_seed(3)
    shapes = {"linear": (37, 19), "bias": (19,), "norm": (64,), "conv": (4, 3, 2, 2)}
    params = {k: torch.randn(s, generator=generator) for k, s in shapes.items()}
    # A bf16 parameter has an fp32 master copy: it moves like the fp32 one that starts from the same values, although
    # most single steps are smaller than half a unit of its last place.
    shapes["bf16"] = (40, 50)
    params["bf16"] = (4 + torch.rand(shapes["bf16"], generator=generator)).bfloat16().float()
    # Some steps are clipped, some are not.
    grads = [{k: torch.randn(s, generator=generator) * (0.02 if t % 3 else 1.0) for k, s in shapes.items()}
             for t in range(STEPS)]
    tensors = {f"param.{k}": p.bfloat16() if k == "bf16" else p for k, p in params.items()}
    tensors.update({f"grad.{t}.{k}": g for t in range(STEPS) for k, g in grads[t].items()})
    settings = dict(lr=LR, beta1=BETAS[0], beta2=BETAS[1], weight_decay=DECAY, max_norm=MAX_NORM)
    source, result = os.path.join(work, "optimizer_in.safetensors"), os.path.join(work, "optimizer_out.safetensors")
    save_file(tensors, source, metadata={k: str(v) for k, v in settings.items()})
    subprocess.run([probe, source, result], check=True)
    ours = load_file(result)

    leaves = {k: torch.nn.Parameter(p.clone()) for k, p in params.items()}
    decayed = [p for p in leaves.values() if p.dim() > 1]
    plain = [p for p in leaves.values() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed, weight_decay=DECAY), dict(params=plain, weight_decay=0.0)], lr=LR, betas=BETAS)
    clipped = 0
    for t in range(STEPS):
        for k, p in leaves.items():
            p.grad = grads[t][k].clone()
        norm = torch.nn.utils.clip_grad_norm_(list(leaves.values()), MAX_NORM)
        clipped += norm.item() > MAX_NORM
        assert abs(norm.item() - ours["norm"][t].item()) <= 1e-5 * norm.item(), t
        for group in optimizer.param_groups:
            group["lr"] = LR / (t + 1)
        optimizer.step()
    assert 0 < clipped < STEPS
    for k, p in leaves.items():
        moved = (p.detach() - params[k]).abs().max().item()
        got = ours[f"param.{k}"]
        if k == "bf16":
            assert got.dtype == torch.bfloat16
            equal = (got == p.detach().bfloat16()).float().mean().item()
            assert moved > 1e-2 and equal > 0.999, (moved, equal)
            continue
        difference = (p.detach() - got).abs().max().item()
        assert moved > 1e-2 and difference <= 1e-6, (k, moved, difference)
    print(f"{STEPS} steps agree with torch.optim.AdamW")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
