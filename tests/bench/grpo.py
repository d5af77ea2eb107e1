"""Whole GRPO steps against TRL's GRPOTrainer: the same random model, easy-VQA rows, 4 prompts x 8 samples, 32 forced
tokens, beta 0, p = 1, one thread. usage: grpo.py SIZE DTYPE RIVAL_DTYPE PYTHON, from the repository's root
DTYPE best: ours in bf16 where the processor multiplies it (TRL's bf16 on a CPU is slower than its fp32); elsewhere that
is the comparison in fp32, which reports it too.

Cases: grpo_SIZE (completions/s over whole steps, the first left out), startup (seconds to the end of the first
step, tiny only), memory_SIZE (peak resident bytes), plan_memory_SIZE (`ziprl plan` against it: the smaller of the two over
the larger).
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from comparison import HERE, ROUNDS, ZIPRL, Side, environment, prepare, report, report_ratios, run

PROMPTS, SAMPLES, TOKENS, WARM_UP = 4, 8, 32, 1
STEPS = {"tiny": 11, "100m": 2}
TARGET = {"tiny": 5, "100m": 2.5, "100m_best": 4}


class Ours:
    def __init__(self, work, size, dtype):
        self.work, self.size = work, size
        self.settings = {
            "model.path": f"{work}/model", "model.dtype": dtype, "data.train_files": f"[{work}/data/train.jsonl]",
            "data.max_response_length": TOKENS, "data.shuffle": "false", "rollout.n": SAMPLES,
            "rollout.ignore_eos": "true", "rollout.thresholds": "[1]", "rollout.rescore_interval": 0,
            "algorithm.sparsity": "paper", "actor.global_batch_size": PROMPTS, "actor.optim.lr": "1e-5",
            "trainer.threads": 1, "trainer.max_steps": STEPS[size], "trainer.logger": "[jsonl]"}

    def __call__(self):
        out = tempfile.mkdtemp(dir=self.work)
        config, metrics = f"{out}/config.yaml", f"{out}/run/metrics.jsonl"
        open(config, "w").close()
        settings = [f"{key}={value}" for key, value in self.settings.items()] + [f"trainer.output_dir={out}/run"]
        begun = time.perf_counter()
        with open(f"{out}/log", "w") as log:
            child = subprocess.Popen([ZIPRL, "train", config] + settings, env=environment(), stdout=log, stderr=log)
        startup, ended = None, 0
        while not ended:
            ended, status, usage = os.wait4(child.pid, os.WNOHANG if startup is None else 0)
            if startup is None and os.path.exists(metrics) and os.path.getsize(metrics):
                startup = time.perf_counter() - begun
            time.sleep(0.002)
        if status != 0:
            sys.exit(f"ziprl train failed:\n{open(f'{out}/log').read()[-2000:]}")
        with open(metrics) as file:
            rows = [row for row in map(json.loads, file) if "timing_s/step" in row]
        assert len(rows) == STEPS[self.size], rows
        planned = self.planned([config] + settings, rows[-1])
        shutil.rmtree(out)
        return {"step": statistics.median(row["timing_s/step"] for row in rows[WARM_UP:]), "startup": startup,
                "peak": usage.ru_maxrss * 1024, "planned": planned}

    @staticmethod
    def planned(args, metrics):
        """Peak bytes of the run as `ziprl plan` foretells it, given the lengths that its samples had."""
        prompt = round(metrics["prompt_length/mean"])
        plan = run([ZIPRL, "plan", "--json"] + args + [
            "--machine", "cpu", "--prompt-tokens", str(prompt), "--visual-tokens", str(prompt // 2),
            "--response-tokens", str(TOKENS), "--kept-ratio", str(metrics["tokens/kept_ratio/mean"])])
        return json.loads(plan)["memory"][0]["peak_bytes"]


class Trl:
    """One process; its first step is the start-up, then so many more with each call."""

    def __init__(self, work, size, dtype, python, steps):
        self.side = Side([python, "-B", f"{HERE}/rival_trl.py", f"{work}/model", f"{work}/data/train.jsonl",
                          str(1 + steps), str(TOKENS), dtype, "1"])
        self.startup = self.side.ask("1")[2]

    def __call__(self, steps):
        seconds, peak, _ = self.side.ask(steps)
        return {"step": seconds, "peak": peak, "startup": self.startup}

    def end(self):
        self.side.end()


def rounds(work, size, dtype, rival_dtype, python):
    """Ours is a new process each time. TRL's start-up is measured at the small size and left out at the large one, where
    it would take longer than the step."""
    ours, steps = Ours(work, size, dtype), STEPS[size] - WARM_UP
    if size == "tiny":
        for _ in range(ROUNDS):
            a, trl = ours(), Trl(work, size, rival_dtype, python, steps)
            yield a, trl(steps)
            trl.end()
        return
    trl = Trl(work, size, rival_dtype, python, ROUNDS * steps)
    for _ in range(ROUNDS):
        yield ours(), trl(steps)
    trl.end()


def main(size, dtype, rival_dtype, python):
    bf16 = "avx512_bf16" in open("/proc/cpuinfo").read()
    if dtype == "best" and not bf16:
        return print(f"grpo_{size}_best: no bf16 products on this processor, grpo_{size} reports it", file=sys.stderr)
    names = [f"{size}_best" if dtype == "best" else size]
    if not bf16 and f"{size}_best" in TARGET:
        names.append(f"{size}_best")
    with tempfile.TemporaryDirectory() as work:
        prepare(work, size)
        pairs = list(rounds(work, size, "bf16" if dtype == "best" else dtype, rival_dtype, python))
    completions = PROMPTS * SAMPLES
    for name in names:
        report(f"grpo_{name}", [(completions / a["step"], completions / b["step"]) for a, b in pairs], TARGET[name],
               "completions/s")
    report(f"memory_{names[0]}", [(a["peak"] / 2**20, b["peak"] / 2**20) for a, b in pairs], 2, "MiB")
    memory = [(a["planned"] / 2**20, a["peak"] / 2**20) for a, _ in pairs]
    report_ratios(f"plan_memory_{names[0]}", memory, [min(pair) / max(pair) for pair in memory], 0.9,
                  "MiB, foretold and measured", limit=1)
    if size == "tiny":
        report("startup", [(a["startup"], b["startup"]) for a, b in pairs], 4, "s")


main(*sys.argv[1:])
