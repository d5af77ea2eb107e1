"""Faults at random on a run whose roles are jobs of their own; at the end the run's books are audited.

usage: chaos.py ZIPRL FIXTURES WORK MINUTES [SEED]

Rollout workers and reward services are killed, stopped and ended, the coordinator is restarted, the learner is killed,
some of it while weights are on their way, groups are pushed or a checkpoint is written; launch/local.sh starts
roles again, and this script starts launch/local.sh again when the learner was killed. When the time is up the run is
asked to stop, and then every prompt must have been trained on exactly once, in order, under its own version.
The last line is the verdict with the number of faults; the exit code is 0 only if nothing was violated.
"""

import glob
import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

from jobs import Job
from workbench import Bench, read_json_lines

BATCH, SAMPLES, ROLLOUTS, REWARDS = 2, 4, 2, 2
KILL, STOP, TERM = signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM
SPARED_S = 10  # after its start: launch/local.sh gives a role up that ends early five times in a row
GRACE_S = 280  # for the last step, when the time is up


class Violation(Exception):
    pass


def chaos_job(bench):
    return Job(bench, bench.path("run"), "trainer.max_steps=1000000", "trainer.save_freq=5", "trainer.save_limit=2",
               f"cluster.rollout={ROLLOUTS}", f"cluster.reward={REWARDS}", "cluster.deadline_s=12",
               "reward.timeout_s=5", "reward.max_failed_frac=1", f"actor.global_batch_size={BATCH}")


class Chaos:
    def __init__(self, bench, seed):
        self.bench, self.random = bench, random.Random(seed)
        self.out = bench.path("run")
        self.job = chaos_job(bench)
        self.faults = {}
        self.restarts = 0

    def alive_long_enough(self, role):
        """Its pid, or nothing."""
        path = pathlib.Path(f"{self.out}.logs/{role}.pid")
        try:
            pid, born = int(path.read_text()), path.stat().st_mtime
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        return pid if time.time() - born > SPARED_S and state not in "TZ" else None

    def strike(self, role, blow, moment):
        pid = self.alive_long_enough(role)
        if pid is None:
            return
        try:
            os.kill(pid, blow)
        except ProcessLookupError:
            return
        kind = f"{role.split('-')[0]} {blow.name}{moment}"
        self.faults[kind] = self.faults.get(kind, 0) + 1

    def wait_until(self, happens, limit_s):
        deadline = time.monotonic() + limit_s
        while not happens() and time.monotonic() < deadline:
            time.sleep(0.002)

    def fault(self):
        choose = self.random.choice
        rollout = f"rollout-{self.random.randrange(ROLLOUTS)}"
        moment = self.random.random()
        if moment < 0.25:  # a new version is on its way to the workers
            size = self.size_of("metrics.jsonl")
            self.wait_until(lambda: self.size_of("metrics.jsonl") != size, 5)
            time.sleep(self.random.random() * 0.1)
            self.strike(rollout, choose([KILL, STOP]), " in a transfer or a push")
        elif moment < 0.35:  # a checkpoint is being written
            self.wait_until(lambda: glob.glob(f"{self.out}/.tmp_*"), 15)
            self.strike("learner", KILL, " while it saves")
        elif moment < 0.50:
            self.strike("coordinator", choose([KILL, TERM, STOP]), "")
        elif moment < 0.75:
            self.strike(f"reward-{self.random.randrange(REWARDS)}", choose([KILL, TERM, STOP]), "")
        else:
            self.strike(rollout, choose([KILL, TERM, STOP]), "")

    def size_of(self, name):
        try:
            return os.path.getsize(f"{self.out}/{name}")
        except FileNotFoundError:
            return 0

    def revive(self):
        """The same command again when the learner's death ended the job."""
        code = self.job.process.poll()
        if code is None:
            return
        if "learner ended" not in self.job.said():
            raise Violation(f"launch/local.sh ended by itself ({code}): {self.job.said()[-2000:]}")
        self.restarts += 1
        self.job = chaos_job(self.bench)

    def run(self, minutes):
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            time.sleep(min(self.random.uniform(0.3, 2.5), max(0.0, end - time.monotonic())))
            self.revive()
            self.fault()
        self.wait_until(lambda: self.job.process.poll() is not None, 2)
        self.revive()
        # A job that has only just been started again knows no signals yet; one that trains does.
        size = self.size_of("metrics.jsonl")
        self.wait_until(lambda: self.size_of("metrics.jsonl") > size, GRACE_S)
        if self.size_of("metrics.jsonl") <= size:
            raise Violation(f"no step within {GRACE_S} s of the last fault: {self.job.said()[-2000:]}")
        self.job.process.send_signal(signal.SIGTERM)
        try:
            self.job.process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            raise Violation(f"does not end within {GRACE_S} s of SIGTERM") from None
        if self.job.process.returncode != 0:
            raise Violation(f"the last start exits with {self.job.process.returncode}: "
                            f"{self.job.said()[-2000:]}")

    def audit(self):
        """Steps trained; a Violation when the books do not agree."""
        metrics = read_json_lines(f"{self.out}/metrics.jsonl")
        for i, line in enumerate(metrics):
            if line["step"] != i + 1:
                raise Violation(f"step {line['step']} follows step {i}")
            bad = [k for k, v in line.items() if not math.isfinite(v)]
            if bad:
                raise Violation(f"step {i + 1}: not finite: {bad}")
        rows = len(read_json_lines(self.bench.fixture("rows.jsonl")))
        seen = {}
        for sample in read_json_lines(f"{self.out}/completions.jsonl"):
            seen.setdefault((sample["step"], sample["prompt"]), []).append(sample)
        expected = [(step + 1, step * BATCH + i) for step in range(len(metrics)) for i in range(BATCH)]
        if sorted(seen) != expected:
            raise Violation(f"prompts trained on, and not once in order: {set(seen) ^ set(expected)}")
        for (step, prompt), samples in seen.items():
            if [sample["sample"] for sample in samples] != list(range(SAMPLES)):
                raise Violation(f"step {step}, prompt {prompt}: samples {[s['sample'] for s in samples]}")
            stale = [sample["version"] for sample in samples if sample["version"] != step - 1]
            if stale:
                raise Violation(f"step {step}, prompt {prompt}: sampled under {stale}")
        epochs = len(metrics) * BATCH // rows
        for epoch in range(epochs):
            trained = sorted(samples[0]["row"] for (_, prompt), samples in seen.items() if prompt // rows == epoch)
            if trained != list(range(rows)):
                raise Violation(f"epoch {epoch}: rows {trained}")
        if epochs < 1:
            raise Violation(f"{len(metrics)} steps are no epoch of {rows} rows")
        return len(metrics), epochs


def main():
    program, fixtures, work, minutes, *seed = sys.argv[1:]
    bench = Bench(program, fixtures, work)
    seed = int(seed[0]) if seed else random.randrange(1 << 30)
    chaos = Chaos(bench, seed)
    verdict = "OK"
    try:
        chaos.run(float(minutes))
        steps, epochs = chaos.audit()
        verdict = f"OK: {steps} steps, {epochs} epochs, every prompt once"
    except Violation as violation:
        verdict = f"VIOLATION: {violation}"
        for log in sorted(pathlib.Path(f"{chaos.out}.logs").glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}")
    finally:
        if chaos.job.process.poll() is None:
            os.killpg(chaos.job.process.pid, KILL)
    for kind, count in sorted(chaos.faults.items()):
        print(f"{count:5} x {kind}")
    print(f"chaos: {verdict}; {sum(chaos.faults.values())} faults, {chaos.restarts} restarts of the learner, "
          f"seed {seed}")
    sys.exit(not verdict.startswith("OK"))


if __name__ == "__main__":
    main()
