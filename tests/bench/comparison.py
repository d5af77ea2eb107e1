"""What the comparisons share: the model and rows that both sides get, one JSON line per case from rounds in which they
took turns.

A ratio says how many times better ours is: ours / rival of rates, rival / ours of seconds and bytes. The line gives the
medians of both sides and the median of the rounds' ratios.
"""
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ZIPRL = "build/bin/ziprl"
ROUNDS = 5


def machine():
    name = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                platform.machine())
    return f"{name}, {os.cpu_count()} cores"


def environment():
    return dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1")


def run(command):
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


class Side:
    """A process that answers each line it is asked with a line of numbers."""

    def __init__(self, command):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, env=environment())

    def ask(self, question):
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            sys.exit(f"ended: {' '.join(self.process.args)}\n{self.errors.read()[-2000:]}")
        return [float(word) for word in answer.split()]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def prepare(work, size):
    """The model and the rows; from here on both sides share one core, so that one thread each is one thread of work."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    easy_vqa = subprocess.check_output(
        [".venv/bin/python", "-c", "import easy_vqa, os; print(os.path.dirname(easy_vqa.__file__))"], text=True).strip()
    run([ZIPRL, "data", "import", "easy-vqa", "--from", f"{easy_vqa}/data", "--out", f"{work}/data"])
    run([ZIPRL, "init", f"{HERE}/models/{size}.json", f"{work}/model", "--corpus", f"{work}/data/train.jsonl",
         "--seed", "1"])


def report(name, pairs, target, unit, limit=None):
    """pairs: (ours, rival), of which less is better; a unit with "/s" is a rate, of which more is."""
    rate = "/s" in unit
    report_ratios(name, pairs, [(a / b if rate else b / a) for a, b in pairs], target, unit, limit)


def report_ratios(name, pairs, ratios, target, unit, limit=None):
    print(json.dumps({"name": name, "ours": round(statistics.median(a for a, _ in pairs), 5),
                      "rival": round(statistics.median(b for _, b in pairs), 5),
                      "ratio": round(statistics.median(ratios), 3), "target": target, "limit": limit, "unit": unit,
                      "machine": machine(), "date": str(datetime.date.today()),
                      "ratios": [round(r, 3) for r in ratios]}))
    sys.stdout.flush()
