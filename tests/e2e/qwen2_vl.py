"""Qwen2-VL through the whole pipeline: a random model of an architecture file, a few steps of sft, three of
reinforcement learning, evaluation, export, and transformers' opinion of what came out.

usage: qwen2_vl.py ZIPRL FIXTURES WORK CASE
"""

import json
import os

import workbench
from second_setup import check_agreement, check_with_transformers
from workbench import check, check_finite, read_json_lines

HERE = os.path.dirname(os.path.abspath(__file__))


def write_architecture(path):
    """The example's sizes as a Qwen2-VL."""
    with open(f"{HERE}/architecture.json", encoding="utf-8") as file:
        architecture = json.load(file)
    config = architecture["config"]
    config.update(model_type="qwen2_vl", architectures=["Qwen2VLForConditionalGeneration"])
    config["text_config"]["model_type"] = "qwen2_vl_text"
    config["vision_config"] = dict(
        model_type="qwen2_vl_vision", depth=2, embed_dim=32, mlp_ratio=2, num_heads=2, in_channels=3, patch_size=4,
        temporal_patch_size=2, spatial_merge_size=2, hidden_size=32, hidden_act="quick_gelu")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(architecture, file)


def pipeline(bench):
    rows = bench.fixture("rows.jsonl")
    write_architecture(bench.path("architecture.json"))
    bench.run("init", "architecture.json", bench.path("model"), "--corpus", rows, "--seed", "1")
    common = ["trainer.threads=2", "trainer.deterministic=true"]
    bench.run("sft", f"model.path={bench.path('model')}", f"sft.files={rows}", "sft.steps=3", "sft.batch_size=4",
              "sft.optim.lr=1e-3", f"trainer.output_dir={bench.path('sft')}", *common)
    run = bench.path("run")
    bench.run("train", f"model.path={bench.path('sft', 'latest')}", f"data.train_files={rows}",
              "data.max_response_length=4", "rollout.n=4", "actor.global_batch_size=2", "actor.optim.lr=1e-3",
              "reward.gate=none", "algorithm.sparsity=stochastic", "trainer.max_steps=3", f"trainer.output_dir={run}",
              *common)
    steps = read_json_lines(f"{run}/metrics.jsonl")
    check(len(steps) == 3, len(steps), "steps")
    check_finite(steps)
    check_agreement(steps)
    check(all(0 < step["tokens/kept_ratio/mean"] < 1 for step in steps), "kept ratio")
    check(steps[0]["actor/grad_norm"] > 0 and steps[0]["actor/grad_norm_selection"] > 0, "no gradient")
    summary = json.loads(bench.run("eval", f"model.path={run}/latest", f"eval.files={rows}", "eval.limit=3",
                                   "data.max_response_length=4", "eval.thresholds=[.9]"))
    print(summary)
    bench.run("export", f"{run}/latest", bench.path("exported"))
    check_with_transformers(bench, bench.path("exported"))


if __name__ == "__main__":
    workbench.main({"pipeline": pipeline})
