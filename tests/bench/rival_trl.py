"""TRL's GRPOTrainer for grpo.py: STEPS steps in all. Each line on standard input, a number, has it take so many more and
is answered by their median in seconds, the peak of memory in bytes and the seconds to the end of the first step.
usage: rival_trl.py MODEL ROWS STEPS TOKENS DTYPE THREADS"""
import json
import os
import resource
import statistics
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
started = time.perf_counter()

import torch
from datasets import Dataset
from PIL import Image as PilImage
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

PROMPTS, SAMPLES = 4, 8
answers, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed


def dataset(path, rows):
    folder, out = os.path.dirname(path), []
    with open(path) as file:
        for line in file:
            row = json.loads(line)
            if len(out) == rows:
                break
            text = row["problem"].replace("<image>", "")
            out.append({"prompt": [{"role": "user", "content": text}], "answer": row["answer"],
                        "image": PilImage.open(os.path.join(folder, row["images"][0])).convert("RGB")})
    return Dataset.from_list(out)


def reward(completions, answer, **_):
    return [float(answer_ in completion[0]["content"]) for completion, answer_ in zip(completions, answer)]


class Turns(TrainerCallback):
    """Takes steps when asked to."""

    def __init__(self):
        self.left, self.seconds, self.startup = 0, [], None

    def on_step_begin(self, args, state, control, **_):
        if self.left == 0:
            self.left = int(sys.stdin.readline())
            self.seconds = []
        self.begun = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        now = time.perf_counter()
        self.startup = self.startup or now - started
        self.seconds.append(now - self.begun)
        self.left -= 1
        if self.left == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(statistics.median(self.seconds), peak, self.startup, file=answers, flush=True)


def main(model_path, rows, steps, tokens, dtype, threads):
    steps, tokens = int(steps), int(tokens)
    torch.set_num_threads(int(threads))
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        model_path, dtype=torch.bfloat16 if dtype == "bf16" else torch.float32)
    processor = AutoProcessor.from_pretrained(model_path)
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=False, fp16=False, gradient_checkpointing=False,
        per_device_train_batch_size=PROMPTS * SAMPLES, gradient_accumulation_steps=1, num_generations=SAMPLES,
        max_completion_length=tokens, generation_kwargs={"min_new_tokens": tokens}, temperature=1.0, beta=0.0,
        max_steps=steps, learning_rate=1e-5, lr_scheduler_type="constant", report_to="none", save_strategy="no",
        logging_strategy="no", disable_tqdm=True, dataloader_num_workers=0, seed=1)
    trainer = GRPOTrainer(model=model, reward_funcs=reward, args=config, processing_class=processor,
                          train_dataset=dataset(rows, PROMPTS * (steps + 1)), callbacks=[Turns()])
    trainer.train()


main(*sys.argv[1:])
