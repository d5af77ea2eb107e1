"""launch/local.sh: every role a job of its own, and what happens when one dies.

usage: jobs.py ZIPRL FIXTURES WORK CASE
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import workbench
from workbench import (check, check_same_files, check_same_metrics, read_json_lines, shared_memory_of, steps_of,
                       tiny_run)

LOCAL = str(pathlib.Path(__file__).resolve().parents[2] / "launch" / "local.sh")
LIMIT_S = 240


class Job:
    """A run of launch/local.sh in a session of its own."""

    def __init__(self, bench, out, *more):
        self.out = out
        with open(f"{out}.said", "w", encoding="utf-8") as said:
            self.process = subprocess.Popen(
                [LOCAL, *tiny_run(bench, out, "rollout.log_completions=true", "trainer.threads=1", *more)[1:]],
                stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, cwd=bench.work,
                start_new_session=True)

    def said(self):
        return pathlib.Path(f"{self.out}.said").read_text(encoding="utf-8", errors="replace")

    def pid(self, role):
        return int(pathlib.Path(f"{self.out}.logs/{role}.pid").read_text())

    def coordinator(self):
        """Its address."""
        return self.said().split("coordinator at ")[1].split(",")[0].strip()

    def wait_for(self, step):
        deadline = time.monotonic() + LIMIT_S
        while steps_of(self.out) < step:
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.fail(f"no step {step}")
            time.sleep(0.05)

    def end(self):
        """Its exit code."""
        try:
            return self.process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return self.fail("does not end")

    def fail(self, *what):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        logs = sorted(pathlib.Path(f"{self.out}.logs").glob("*.log"))
        check(False, *what, self.said()[-3000:], *(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs))


def finish(job):
    code = job.end()
    if code != 0:
        job.fail("exit code", code)


def check_like_local(bench, out, steps):
    """The samples, weights and metrics of the same run in one process."""
    local = bench.path("local")
    bench.run(*tiny_run(bench, local, "rollout.log_completions=true", "trainer.threads=1",
                        f"trainer.max_steps={steps}"))
    lines = [read_json_lines(f"{run}/completions.jsonl") for run in (local, out)]
    check(lines[0] == lines[1], "other samples or rewards than in one process")
    check_same_files(f"{local}/step_{steps}", f"{out}/step_{steps}", ["model.safetensors"])
    check_same_metrics(f"{local}/metrics.jsonl", f"{out}/metrics.jsonl")


def equals_local(bench):
    """A coordinator, a reward service, two workers and two learner ranks: the samples of one process."""
    job = Job(bench, bench.path("run"), "trainer.max_steps=3", "cluster.rollout=2", "cluster.reward=1")
    finish(job)
    check_like_local(bench, bench.path("run"), 3)


def colocated(bench):
    """Two learner ranks generate, both of them, for a coordinator elsewhere. A rollout worker is refused."""
    os.environ["MPIRUN_OPTIONS"] = "--oversubscribe"
    stray = tiny_run(bench, bench.path("stray"), "cluster.placement=colocated")[1:]
    done = bench.call("rollout", *stray, "--coordinator", "127.0.0.1:1")
    check(done.returncode != 0 and "cluster.placement = colocated" in done.stderr, done.stderr)
    out = bench.path("run")
    job = Job(bench, out, "trainer.max_steps=100000", "cluster.placement=colocated", "cluster.learner=2",
              "actor.zero=3", "cluster.reward=1")
    job.wait_for(2)
    deadline = time.monotonic() + LIMIT_S
    pushed = {}
    while not all(pushed.get(f"learner-{rank}", 0) > 0 for rank in range(2)):
        status = bench.call("status", "--json", "--coordinator", job.coordinator(), "--tls-dir", f"{out}.secrets",
                            "--token-file", f"{out}.secrets/token")
        if status.returncode != 0 or time.monotonic() > deadline:
            job.fail("not every rank generates", pushed, status.stderr)
        pushed = {worker["name"]: int(worker["pushed"]) for worker in json.loads(status.stdout)["workers"]}
    job.process.send_signal(signal.SIGTERM)
    job.end()  # mpirun's own code, which was ended too
    steps = steps_of(out)
    check(os.readlink(f"{out}/latest") == f"step_{steps}", os.readlink(f"{out}/latest"), steps)
    check(not os.path.exists(f"{out}.logs/rollout-0.log"), "a rollout worker was started")


def roles_die(bench):
    """Workers, the reward service and the coordinator are killed, stopped and ended: bit for bit the same run."""
    steps = 24
    job = Job(bench, bench.path("run"), f"trainer.max_steps={steps}", "cluster.rollout=2", "cluster.reward=2",
              "cluster.deadline_s=20")
    blows = [("rollout-0", signal.SIGKILL), ("coordinator", signal.SIGKILL), ("rollout-1", signal.SIGSTOP),
             ("reward-0", signal.SIGKILL), ("coordinator", signal.SIGTERM), ("rollout-0", signal.SIGTERM)]
    for i, (role, blow) in enumerate(blows):
        job.wait_for(2 + 3 * i)
        os.kill(job.pid(role), blow)
    finish(job)
    check_like_local(bench, bench.path("run"), steps)


def learner_dies(bench):
    """The learner is killed: the job says so and ends; the same command goes on exactly."""
    out = bench.path("run")
    more = ["trainer.max_steps=12", "trainer.save_freq=2", "cluster.rollout=1", "cluster.deadline_s=20"]
    job = Job(bench, out, *more)
    job.wait_for(5)
    learner = job.pid("learner")
    check(shared_memory_of(learner), "weights do not go through shared memory:", os.listdir("/dev/shm"))
    os.kill(learner, signal.SIGKILL)
    code = job.end()
    check(code != 0 and "the learner ended" in job.said(), code, job.said()[-2000:])
    finish(Job(bench, out, *more))
    check(not shared_memory_of(learner), "shared memory of a killed learner stays:", shared_memory_of(learner))
    check_like_local(bench, out, 12)


def asked_to_stop(bench):
    """SIGTERM: the step is finished, saved, everything ends with 0, and the same command goes on."""
    out = bench.path("run")
    job = Job(bench, out, "trainer.max_steps=400", "cluster.rollout=2")
    job.wait_for(2)
    job.process.send_signal(signal.SIGTERM)
    finish(job)
    steps = steps_of(out)
    check(os.readlink(f"{out}/latest") == f"step_{steps}", os.readlink(f"{out}/latest"), steps)
    finish(Job(bench, out, f"trainer.max_steps={steps + 2}", "cluster.rollout=2"))
    check_like_local(bench, out, steps + 2)


def refused(bench):
    """Another config, another token, nobody there, no free port: both sides' values, and an exit code."""
    done = bench.call("rollout", *tiny_run(bench, bench.path("run"), "cluster.deadline_s=2")[1:],
                      "--coordinator", "127.0.0.1:1")
    check(done.returncode != 0 and "coordinator 127.0.0.1:1 unreachable for 2 s" in done.stderr, done.stderr)
    job = Job(bench, bench.path("run"), "trainer.max_steps=400")
    job.wait_for(1)
    address = job.coordinator()
    secrets = f"{job.out}.secrets"
    own = tiny_run(bench, bench.path("other"), f"cluster.tls={secrets}", "cluster.deadline_s=5")[1:]
    token = [f"cluster.token_file={secrets}/token"]
    there = ["--coordinator", address]
    done = bench.call("rollout", *own, *token, "rollout.temperature=0.5", *there)
    check(done.returncode != 0 and "config hash: the coordinator has" in done.stderr, done.stderr)
    done = bench.call("rollout", *own, *token, f"model.path={bench.fixture('second')}", *there)
    check(done.returncode != 0 and "the coordinator has" in done.stderr, done.stderr)
    pathlib.Path(bench.path("token")).write_text("another\n", encoding="utf-8")
    done = bench.call("learn", *own, f"cluster.token_file={bench.path('token')}", *there)
    check(done.returncode != 0 and "token" in done.stderr, done.stderr)
    done = bench.call("learn", *own, *token, "cluster.weights=broadcast", *there)
    check(done.returncode != 0 and "no ranks of the learner's MPI job" in done.stderr, done.stderr)
    check(not os.path.exists(bench.path("other")), "a refused learner made its run directory")
    done = bench.call("coordinator", *own, *token, "--listen", address)
    check(done.returncode != 0 and address in done.stderr, done.stderr)
    job.process.send_signal(signal.SIGTERM)
    finish(job)


def no_learner(bench):
    """A coordinator that no learner comes to, or whose learner is gone: the worker says so and ends."""
    limit = 3 * 2
    arguments = tiny_run(bench, bench.path("run"), "cluster.deadline_s=2", "trainer.max_steps=100000")[1:]
    started = [bench.start("coordinator", *arguments, "--listen", "127.0.0.1:0")]
    try:
        address = started[0].stdout.readline().split("listening on ")[-1].strip()
        begin = time.monotonic()
        done = bench.call("rollout", *arguments, "--coordinator", address)
        check(done.returncode != 0, "exit code", done.returncode)
        check(f"coordinator {address}: no learner has come for {limit} s" in done.stderr, done.stderr[-2000:])
        check(f"ziprl learn CONFIG --coordinator {address}" in done.stderr, done.stderr[-2000:])
        check(time.monotonic() - begin >= limit, "did not wait for", limit, "s")
        # The learner is killed while a worker works for it.
        learner, worker = started[1:] = [bench.start(role, *arguments, "--coordinator", address)
                                         for role in ("learn", "rollout")]
        deadline = time.monotonic() + LIMIT_S
        while steps_of(bench.path("run")) < 1 and time.monotonic() < deadline and worker.poll() is None:
            time.sleep(0.05)
        check(steps_of(bench.path("run")) >= 1, "no step")
        learner.kill()
        _, errors = worker.communicate(timeout=LIMIT_S)
        check(worker.returncode != 0, "exit code", worker.returncode)
        # By the weights of a last version that it did not get any more, or by the learner's silence.
        check(f"coordinator {address}: the learner has been silent for" in errors or "weights 127.0.0.1" in errors,
              errors[-2000:])
    finally:
        for process in started:
            process.kill()


def workers_leave(bench):
    """Workers that are asked to stop leave a run that goes on, and are started again."""
    steps = 30
    job = Job(bench, bench.path("run"), f"trainer.max_steps={steps}", "cluster.rollout=2", "cluster.deadline_s=20")
    job.wait_for(3)
    for i in range(2):
        os.kill(job.pid(f"rollout-{i}"), signal.SIGTERM)
    finish(job)
    for i in range(2):
        check(f"rollout-{i} ended (143), starting it again" in job.said(), job.said()[-2000:])
    check_like_local(bench, bench.path("run"), steps)


def check_without_worker(said, last):
    """The learner waited for three times the deadline."""
    waited = re.search(r"no rollout worker for (\d+) s, since .* \((.*?)\)", said)
    check(waited is not None and int(waited[1]) >= 3 * 2 and waited[2] == last, said[-2000:])


def no_worker(bench):
    """A learner that no worker comes to, or whose workers are gone: it says so, saves and ends."""
    out = bench.path("run")
    arguments = tiny_run(bench, out, "cluster.deadline_s=2", "trainer.max_steps=100000")[1:]
    started = [bench.start("coordinator", *arguments, "--listen", "127.0.0.1:0")]
    try:
        address = started[0].stdout.readline().split("listening on ")[-1].strip()
        there = [*arguments, "--coordinator", address]
        done = bench.call("learn", *there)
        check(done.returncode != 0, "exit code", done.returncode)
        check_without_worker(done.stderr, "none has ever come")
        learner, worker = started[1:] = [bench.start("learn", *there),
                                         bench.start("rollout", *there, "--name", "the-last")]
        deadline = time.monotonic() + LIMIT_S
        while steps_of(out) < 2 and time.monotonic() < deadline and learner.poll() is None:
            time.sleep(0.05)
        check(steps_of(out) >= 2, "no steps")
        worker.kill()
        _, errors = learner.communicate(timeout=LIMIT_S)
        check(learner.returncode != 0, "exit code", learner.returncode)
        check_without_worker(errors, "'the-last' was the last")
        check(os.readlink(f"{out}/latest") == f"step_{steps_of(out)}", os.readlink(f"{out}/latest"), steps_of(out))
    finally:
        for process in started:
            process.kill()


CASES = [equals_local, colocated, roles_die, learner_dies, asked_to_stop, refused, no_learner, workers_leave,
         no_worker]

if __name__ == "__main__":
    workbench.main({case.__name__: case for case in CASES})
