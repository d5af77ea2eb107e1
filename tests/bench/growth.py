"""How time and memory of GRPO steps grow: by prompt length, group size, model width, learner ranks and rollout workers.
usage: growth.py PYTHON [AXIS...], from the repository's root; writes build/growth/AXIS.csv and .png

Groups begin at 2: one sample has no advantage, and the config refuses it.

Small models, text prompts, p = 0.9, 32 forced tokens, one thread a process. Seconds: medians over the steps behind the
first one; memory: the largest process. Ranks and workers are processes of this one machine: beyond its cores they only
show what they cost.
"""
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

from comparison import HERE, ZIPRL, environment, run

OUT, STEPS = "build/growth", 3
BASE = {"prompt": 512, "group": 8, "width": 128, "ranks": 1, "workers": 1, "prompts": 4}
AXES = {"prompt": [256, 512, 1024, 2048, 4096, 8192, 16384], "group": [2, 4, 8, 16, 32],
        "width": [64, 128, 256, 512, 768], "ranks": [1, 2, 3, 4], "workers": [1, 2, 3, 4]}
SMALLER = {"prompt": {"group": 2, "prompts": 1}}  # what else an axis sets, so that its largest point ends in time
COLUMNS = ["step_s", "generate_s", "learn_s", "peak_mib"]
PLOT = """set terminal pngcairo noenhanced size 900,600
set output '{path}.png'
set datafile separator ','
set logscale xy 2
set format y '%g'
set grid
set key top left
set xlabel '{axis}'
set ylabel 'seconds a step'
set y2label 'MiB of the largest process'
set logscale y2 2
set y2tics
set ytics nomirror
plot for [column=2:4] '{path}.csv' using 1:column with linespoints title columnheader(column), \\
  '{path}.csv' using 1:5 axes x1y2 with linespoints dashtype 2 title columnheader(5)
"""


def architecture(path, width):
    with open(f"{HERE}/models/tiny.json") as file:
        model = json.load(file)
    heads = width // 32
    model["config"]["text_config"].update(hidden_size=width, intermediate_size=2 * width, num_attention_heads=heads,
                                          num_key_value_heads=heads // 2)
    model["config"]["vision_config"]["out_hidden_size"] = width
    with open(path, "w") as file:
        json.dump(model, file)


def prepare(work, prompt, width):
    letters = random.Random(1)
    with open(f"{work}/rows.jsonl", "w") as file:
        for _ in range(8):
            text = "".join(letters.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(prompt - 32))  # a token each
            print(json.dumps({"problem": text, "answer": "yes"}), file=file)
    architecture(f"{work}/architecture.json", width)
    with open(f"{work}/corpus.jsonl", "w") as file:
        print(json.dumps({"text": "what shape is in the image? is there a circle? what color is it?"}), file=file)
    run([ZIPRL, "init", f"{work}/architecture.json", f"{work}/model", "--corpus", f"{work}/corpus.jsonl", "--seed", "1"])


def settings(work, point):
    return [f"{key}={value}" for key, value in {
        "model.path": f"{work}/model", "data.train_files": f"[{work}/rows.jsonl]", "data.max_prompt_length": 32768,
        "data.max_response_length": 32, "rollout.n": point["group"], "rollout.ignore_eos": "true",
        "rollout.thresholds": "[0.9]", "algorithm.sparsity": "paper", "actor.global_batch_size": point["prompts"],
        "actor.max_tokens_per_micro_batch": 32768,  # a group stays together, and computes its prompt once
        "trainer.threads": 1, "trainer.max_steps": STEPS, "trainer.logger": "[jsonl]",
        "trainer.output_dir": f"{work}/run", "cluster.learner": point["ranks"],
        "cluster.rollout": point["workers"]}.items()]


def measure(point, launcher):
    with tempfile.TemporaryDirectory() as work:
        prepare(work, point["prompt"], point["width"])
        open(f"{work}/config.yaml", "w").close()
        with open(f"{work}/log", "w") as log:
            child = subprocess.Popen(launcher + [f"{work}/config.yaml"] + settings(work, point), stdout=log, stderr=log,
                                     env=dict(environment(), MPIRUN_OPTIONS="--oversubscribe"))
            _, status, usage = os.wait4(child.pid, 0)
        if status != 0:
            sys.exit(f"failed at {point}:\n{open(f'{work}/log').read()[-2000:]}")
        with open(f"{work}/run/metrics.jsonl") as file:
            rows = [row for row in map(json.loads, file) if "timing_s/step" in row][1:]
        seconds = [statistics.median(row[f"timing_s/{name}"] for row in rows)
                   for name in ("step", "gen", "update_actor")]
        return [round(value, 4) for value in seconds] + [round(usage.ru_maxrss / 1024)]


def main():
    os.makedirs(OUT, exist_ok=True)
    for axis in sys.argv[2:] or AXES:
        path = f"{OUT}/{axis}"
        launcher = ["launch/mpirun.sh"] if axis in ("ranks", "workers") else [ZIPRL, "train"]
        with open(f"{path}.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow([axis] + COLUMNS)
            for value in AXES[axis]:
                table.writerow([value] + measure({**BASE, **SMALLER.get(axis, {}), axis: value}, launcher))
                file.flush()
        with open(f"{path}.gp", "w") as file:
            file.write(PLOT.format(path=path, axis=axis))
        run(["gnuplot", f"{path}.gp"])
        with open(f"{path}.csv") as file:
            print(file.read(), end="", flush=True)


main()
