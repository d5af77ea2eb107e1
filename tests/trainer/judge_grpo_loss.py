"""The loss against TRL's own GRPOTrainer._compute_loss, run live: one process, one micro-batch.

usage: judge_grpo_loss.py LOSS_PROBE WORK_DIR
"""

import collections
import itertools
import json
import os
import subprocess
import sys
import types

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from trl.trainer.grpo_trainer import GRPOTrainer

MAX_LENGTH = 40
LENGTHS = [1, 7, 23, 40, 12]


class OneProcess:
    num_processes = 1

    def gather(self, x):
        return x

    gather_for_metrics = gather

    def reduce(self, x, reduction="sum"):
        return x


def trainer(case, logps):
    self = GRPOTrainer.__new__(GRPOTrainer)
    self._get_per_token_logps_and_entropies = lambda *a, **k: (logps, torch.zeros_like(logps), None)
    self.aux_loss_enabled = False
    self.top_entropy_quantile = 1.0
    self.off_policy_mask_threshold = None
    self.importance_sampling_level = case["level"]
    self.beta = case["beta"]
    self.epsilon_low, self.epsilon_high = case["epsilon"], case["epsilon_high"]
    self.args = types.SimpleNamespace(
        use_bias_correction_kl=False, delta=case["delta"] or None, steps_per_generation=1)
    self.loss_type = case["loss_type"]
    self.use_vllm = self.vllm_importance_sampling_correction = True
    self.current_gradient_accumulation_steps = 1
    self.max_completion_length = case["max_response_length"]
    self._entropy_bonus_enabled = False
    self._metrics = {"train": collections.defaultdict(list)}
    self.model = types.SimpleNamespace(training=True)
    self.accelerator = OneProcess()
    return self


def padded(samples, key):
    rows = [torch.tensor(s[key], dtype=torch.float64) for s in samples]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def trl_answer(case):
    samples = case["samples"]
    logps = padded(samples, "lp").requires_grad_(True)
    mask = padded([dict(m=[1.0 if s["in_loss"] else 0.0] * len(s["lp"])) for s in samples], "m")
    old, roll = padded(samples, "old"), padded(samples, "roll")
    inputs = dict(
        prompt_ids=torch.zeros(len(samples), 1, dtype=torch.long), prompt_mask=torch.ones(len(samples), 1),
        completion_ids=torch.zeros(logps.shape, dtype=torch.long), completion_mask=mask,
        advantages=torch.tensor([s["advantage"] for s in samples], dtype=torch.float64),
        old_per_token_logps=old, ref_per_token_logps=padded(samples, "ref"),
        importance_sampling_ratio=torch.clamp(torch.exp(old - roll), max=case["tis_cap"]),
        num_items_in_batch=mask.sum())
    self = trainer(case, logps)
    loss = self._compute_loss(self.model, inputs)
    loss.backward()
    metrics = {k: v[0] for k, v in self._metrics["train"].items()}
    return loss.item(), logps.grad, metrics


def make_case(generator, loss_type, level, delta, beta, truncated):
    noise = lambda n, scale: torch.randn(n, generator=generator, dtype=torch.float64) * scale
    samples = []
    for i, n in enumerate(LENGTHS):
        roll = -noise(n, 1.0).abs() - 0.01
        old = roll + noise(n, 0.3)
        lp = old + noise(n, 0.35) + 0.1
        as_float = lambda x: x.float().tolist()
        samples.append(dict(
            lp=as_float(lp), old=as_float(old), roll=as_float(roll), ref=as_float(lp + noise(n, 0.4)),
            advantage=noise(1, 1.5).item() if i else 0.0, in_loss=not (truncated and i == 2)))
    return dict(loss_type=loss_type, level=level, delta=delta, beta=beta, epsilon=0.2, epsilon_high=0.28,
                tis_cap=1.4, max_response_length=MAX_LENGTH, samples=samples)


def main(probe, work):
    os.makedirs(work, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    cases = [make_case(generator, *settings) for settings in itertools.product(
        ["grpo", "dapo", "bnpo", "dr_grpo"], ["token", "sequence"], [0.0, 1.1], [0.0, 0.04], [False, True])]
    path = os.path.join(work, "loss_cases.json")
    json.dump(cases, open(path, "w"))
    lines = subprocess.run([probe, path], check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == len(cases)
    clipped = 0
    for case, line in zip(cases, lines):
        ours = json.loads(line)
        name = {k: v for k, v in case.items() if k != "samples"}
        loss, grad, metrics = trl_answer(case)
        assert abs(loss - ours["loss"]) <= 1e-6 * max(abs(loss), 1e-3), (name, loss, ours["loss"])
        for i, n in enumerate(LENGTHS):
            difference = (torch.tensor(ours["grads"][i], dtype=torch.float64) - grad[i, :n]).abs().max()
            assert difference <= 1e-6 * grad.abs().max(), (name, i, difference)
        if all(s["in_loss"] for s in case["samples"]):
            if case["level"] == "token" and not case["delta"]:
                assert abs(ours["low"] - metrics["clip_ratio/low_mean"]) < 1e-6, name
                assert abs(ours["high"] - metrics["clip_ratio/high_mean"]) < 1e-6, name
                clipped += ours["low"] > 0.01 and ours["high"] > 0.01
            if case["beta"]:
                assert abs(ours["kl"] - metrics["kl"]) < 1e-6, name
    assert clipped >= 4, "the cases must reach both clips"
    print(f"{len(cases)} cases agree with TRL")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
