"""Shared by the end-to-end tests: running the program, small data sets, reading what a run wrote.

Every test script is called as: SCRIPT ZIPRL FIXTURES WORK CASE. FIXTURES is what make_fixtures.py wrote.
"""

import filecmp
import json
import math
import os
import random
import shutil
import subprocess
import sys

# Everything of a step that may differ between two runs that computed the same: times, and how weights travelled.
TIMES = ("timing_s/", "perf/throughput", "perf/time_per_step", "rollout/wait_ratio", "rollout/idle_ratio",
         "sync/")
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (20, 140, 40), "grey": (128, 128, 128)}


def check(condition, *what):
    if not condition:
        sys.exit("FAILED: " + " ".join(str(part) for part in what))


def read_json_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def draw(path, size, colour, seed):
    """A noisy picture with one disc."""
    import numpy as np
    from PIL import Image, ImageDraw

    noise = np.random.default_rng(seed).integers(200, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    width, height = size
    ImageDraw.Draw(image).ellipse((width // 5, height // 5, width * 3 // 4, height * 3 // 4), fill=COLOURS[colour])
    image.save(path, **({"quality": 92} if path.endswith(".jpg") else {}))


class Bench:
    def __init__(self, program, fixtures, work):
        self.program, self.fixtures, self.work = program, fixtures, work
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def fixture(self, *parts):
        return os.path.join(self.fixtures, *parts)

    def start(self, *args, env=None, prefix=()):
        return subprocess.Popen(
            [*prefix, self.program, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=self.work, env={**os.environ, **(env or {})})

    def call(self, *args, stdin="", env=None, prefix=()):
        """Whatever the exit code is: the finished process."""
        return subprocess.run(
            [*prefix, self.program, *map(str, args)], input=stdin, capture_output=True, text=True,
            encoding="utf-8", errors="replace", cwd=self.work, env={**os.environ, **(env or {})})

    def run(self, *args, **options):
        """A call that must succeed: its stdout."""
        done = self.call(*args, **options)
        check(done.returncode == 0, "ziprl", *args, "exits", done.returncode, done.stderr[-2000:])
        return done.stdout


def tiny_run(bench, out, *more):
    """Arguments of a training run of a second or two on the first data set."""
    return ["train", f"model.path={bench.fixture('tiny')}", f"data.train_files={bench.fixture('rows.jsonl')}",
            "data.max_response_length=4", "rollout.n=4", "actor.global_batch_size=2", "actor.optim.lr=1e-3",
            "reward.gate=none", "algorithm.sparsity=stochastic", "trainer.deterministic=true", "trainer.threads=2",
            "trainer.max_steps=4", f"trainer.output_dir={out}", *more]


def steps_of(run):
    """How many steps a run, perhaps under way, has logged."""
    try:
        return len(read_json_lines(f"{run}/metrics.jsonl"))
    except (FileNotFoundError, ValueError):
        return 0


def shared_memory_of(pid):
    """The shared-memory objects that the process made for weights."""
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"ziprl.{pid}-")]


def without_times(steps):
    return [{k: v for k, v in step.items() if not k.startswith(TIMES)} for step in steps]


def check_same_metrics(a, b):
    a, b = without_times(read_json_lines(a)), without_times(read_json_lines(b))
    check(len(a) == len(b), len(a), "steps and", len(b))
    for step_a, step_b in zip(a, b):
        different = [k for k in sorted({*step_a, *step_b}) if step_a.get(k) != step_b.get(k)]
        check(not different, "step", step_a["step"], "differs in",
              [(k, step_a.get(k), step_b.get(k)) for k in different[:5]])


def check_same_files(a, b, names):
    """Byte for byte."""
    for name in names:
        check(filecmp.cmp(os.path.join(a, name), os.path.join(b, name), shallow=False), name, "differs:", a, b)


def check_finite(steps):
    for step in steps:
        bad = [k for k, v in step.items() if not isinstance(v, (int, float)) or not math.isfinite(v)]
        check(not bad, "step", step["step"], "not finite:", {k: step[k] for k in bad})


def yes_no_rows(folder, count, seed):
    """One image a row, a word for an answer, a kind."""
    os.makedirs(os.path.join(folder, "images"), exist_ok=True)
    rng, rows = random.Random(seed), []
    for i in range(count):
        colour, asked = rng.choice(list(COLOURS)), rng.choice(list(COLOURS))
        draw(os.path.join(folder, f"images/{i}.png"), (32, 32), colour, i)
        if i % 3 == 0:
            row = dict(problem="<image>What colour is the disc?", answer=colour, kind="colour")
        else:
            row = dict(problem=f"<image>Is the disc {asked}?", answer="yes" if asked == colour else "no", kind="yes/no")
        rows.append(dict(row, images=[f"images/{i}.png"]))
    return rows


def main(cases):
    program, fixtures, work, case = sys.argv[1:]
    cases[case](Bench(program, fixtures, os.path.join(work, case)))
    print(f"{case}: as it should be")
