"""Three steps on a model and data of other shapes than the example's: hidden 96, 6/3 heads, patch 14, vocabulary
700, untied, as transformers wrote it; two pictures of odd sizes a row, numeric answers, prompts over 300 tokens,
responses over 100.

usage: second_setup.py ZIPRL FIXTURES WORK CASE
"""

import os

import workbench
from workbench import check, check_finite, read_json_lines


def train(bench, sparsity, *more):
    run = bench.path("run")
    bench.run(
        "train", f"model.path={bench.fixture('second')}", f"data.train_files={bench.fixture('second.jsonl')}",
        "data.max_prompt_length=600", "data.max_response_length=108", "rollout.n=2", "actor.global_batch_size=2",
        "actor.optim.lr=1e-3", "reward.functions=[numeric]", "reward.gate=none", "reward.max_failed_frac=1",
        f"algorithm.sparsity={sparsity}", "trainer.threads=2", "trainer.max_steps=3", f"trainer.output_dir={run}",
        *more)
    steps = read_json_lines(f"{run}/metrics.jsonl")
    check(len(steps) == 3, len(steps), "steps")
    check_finite(steps)
    for step in steps:
        check(step["prompt_length/min"] > 300, "a prompt of", step["prompt_length/min"], "tokens")
        check(step["response_length/max"] > 100, "no response beyond", step["response_length/max"], "tokens")
        check(0 < step["tokens/kept_ratio/mean"] < 1, "kept", step["tokens/kept_ratio/mean"])
        check(step["mismatch/digest_equal_frac"] == 1, "digests", step["mismatch/digest_equal_frac"])
    check(steps[0]["actor/grad_norm"] > 0, "no gradient")
    print({k: v for k, v in steps[0].items() if k.startswith(("mismatch", "prompt_l", "response_l", "tokens/kept"))})
    return steps, f"{run}/step_3"


def check_agreement(steps):
    """fp32: what rollout and learner say of the same tokens."""
    for step in steps:
        check(step["mismatch/logp_abs_max"] <= 1e-4, "step", step["step"], step["mismatch/logp_abs_max"])
        check(step["mismatch/selection_jaccard"] >= 0.999, step["mismatch/selection_jaccard"])
        check(step["actor/pg_clipfrac"] == 0, "clip fraction", step["actor/pg_clipfrac"])


def check_with_transformers(bench, checkpoint):
    """The checkpoint loads there, and says the same: log-probs of an answer, and greedy ids."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    torch.set_num_threads(2)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(checkpoint)
    row = read_json_lines(bench.fixture("second.jsonl"))[1]
    images = [bench.fixture(path) for path in row["images"]]
    texts = row["problem"].split("<image>")
    content = [{"type": "text", "text": texts[0]}] if texts[0] else []
    for text in texts[1:]:
        content += [{"type": "image"}, {"type": "text", "text": text}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=[prompt], images=[Image.open(p) for p in images], return_tensors="pt")
    length = inputs["input_ids"].shape[1]

    special = [model.config.image_token_id, model.config.video_token_id, model.config.vision_start_token_id,
               model.config.vision_end_token_id, processor.tokenizer.convert_tokens_to_ids("<|vision_pad|>")]
    with torch.no_grad():
        out = model.generate(**inputs, do_sample=False, max_new_tokens=10, suppress_tokens=special,
                             return_dict_in_generate=True, output_logits=True)
    greedy = out.sequences[0, length:]
    printed = bench.run("generate", checkpoint, "--prompt", row["problem"], "--image", images[0], "--image", images[1],
                        "--p", "1", "--max-response-length", "10")
    check(f"of {length} prompt tokens" in printed, "another count of prompt tokens than", length, printed)
    text = processor.tokenizer.decode(greedy, skip_special_tokens=True)
    check(printed.startswith(text), repr(printed), "and", repr(text))

    response = "two discs, so 2"
    workbench.write_rows(bench.path("rows.jsonl"), [dict(problem=row["problem"], images=images, response=response)])
    line, = [workbench.json.loads(l) for l in bench.run("logprobs", checkpoint, "rows.jsonl").splitlines()]
    ids = processor.tokenizer(response)["input_ids"]
    check(line["prompt_ids"] == inputs["input_ids"][0].tolist(), "prompt ids differ")
    check(line["response_ids"] == ids, line["response_ids"], ids)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([ids])], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in inputs:
        types = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.cat([types, types.new_zeros(1, len(ids))], 1)
    with torch.no_grad():
        logits = model(**inputs).logits[0, length - 1:-1]
    expected = torch.log_softmax(logits.float(), -1).gather(1, torch.tensor(ids)[:, None])[:, 0]
    worst = (expected - torch.tensor(line["logprobs"])).abs().max().item()
    check(worst <= 1e-4, "log-probs differ by", worst)
    print(f"{len(ids)} log-probs within {worst:.1e}, {len(greedy)} greedy ids equal")


def stochastic(bench):
    steps, checkpoint = train(bench, "stochastic", "trainer.deterministic=true")
    check_agreement(steps)
    check(steps[0]["actor/grad_norm_selection"] > 0, "the selection has no gradient")  # measured every 20 steps
    check_with_transformers(bench, checkpoint)


def paper(bench):
    """Without the promise of equal bits, layers computed again, the prompt's probes its text tokens."""
    steps, _ = train(bench, "paper", "trainer.deterministic=false", "actor.recompute=layer", "rollout.probes=text")
    for step in steps:
        check(step["mismatch/logp_abs_mean"] < 5e-3, "step", step["step"], step["mismatch/logp_abs_mean"])


def surrogate(bench):
    check_agreement(train(bench, "surrogate", "trainer.deterministic=true")[0])


def budget(bench):
    steps, checkpoint = train(bench, "budget", "trainer.deterministic=true")
    check_agreement(steps)
    check(os.path.exists(f"{checkpoint}/trainer_state/budget_head.safetensors"), "no budget head saved")
    # Evaluated at its own thresholds too, which need the head.
    evaluate = ["eval", f"eval.files={bench.fixture('second.jsonl')}", "data.max_response_length=4", "eval.limit=3",
                "eval.thresholds=[.9]", "reward.functions=[numeric]", "algorithm.sparsity=budget"]
    summary = workbench.json.loads(bench.run(*evaluate, f"model.path={checkpoint}"))
    check(0.2 <= summary["own_p"]["p"] <= 0.975, summary["own_p"])
    check(0 < summary["own_p"]["kept_ratio"] < 1, summary["own_p"])
    refused = bench.call(*evaluate, f"model.path={bench.fixture('second')}")
    check(refused.returncode == 1 and "budget_head.safetensors" in refused.stderr, refused.stderr)


def bf16(bench):
    steps, _ = train(bench, "stochastic", "trainer.deterministic=true", "model.dtype=bf16")
    for step in steps:
        check(step["mismatch/logp_abs_mean"] <= 5e-3, "step", step["step"], step["mismatch/logp_abs_mean"])


if __name__ == "__main__":
    workbench.main({"stochastic": stochastic, "paper": paper, "surrogate": surrogate, "budget": budget, "bf16": bf16})
