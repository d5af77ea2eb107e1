"""`ziprl train` as ranks of mpirun, against the same run in one process.

usage: over_ranks.py ZIPRL FIXTURES WORK CASE
"""

import os
import pathlib
import signal
import subprocess
import time

import workbench
from workbench import (check, check_same_files, check_same_metrics, read_json_lines, shared_memory_of, steps_of,
                       tiny_run)

SCRIPT = str(pathlib.Path(__file__).resolve().parents[2] / "launch" / "mpirun.sh")
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none"]
ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_WAIT_POLICY": "passive",
       "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_btl": "self,vader,tcp"}


def ranks(learner, rollout, reward=0, coordinator=0):
    return [*MPIRUN, "-np", str(learner + rollout + reward + coordinator)], [
        f"cluster.learner={learner}", f"cluster.rollout={rollout}", f"cluster.reward={reward}",
        f"cluster.coordinator={coordinator}"]


def colocated(learner, reward=0, coordinator=0):
    """Learner ranks that generate themselves; cluster.rollout is left out."""
    return [*MPIRUN, "-np", str(learner + reward + coordinator)], [
        "cluster.placement=colocated", f"cluster.learner={learner}", f"cluster.reward={reward}",
        f"cluster.coordinator={coordinator}"]


def run_colocated(bench, out, learner, *more, reward=0, coordinator=0):
    prefix, cluster = colocated(learner, reward, coordinator)
    bench.run(*tiny_run(bench, out, "rollout.log_completions=true", *cluster, *more), prefix=prefix, env=ENV)
    return out


def run_over(bench, out, learner, rollout, *more, reward=0, coordinator=0):
    prefix, cluster = ranks(learner, rollout, reward, coordinator)
    done = bench.call(*tiny_run(bench, out, "rollout.log_completions=true", *cluster, *more), prefix=prefix, env=ENV)
    check(done.returncode == 0, "exit code", done.returncode, done.stderr[-2000:])
    check("instead of shared memory" not in done.stderr, done.stderr[-2000:])
    return out


def same_samples(a, b):
    """Tokens and rewards of every sample, in order."""
    lines = [read_json_lines(f"{run}/completions.jsonl") for run in (a, b)]
    check(lines[0] == lines[1], "other samples or rewards in", a, "and", b)


def check_like_local(bench, out):
    """The samples, weights and metrics of the three steps in one process, and metrics of the weights' way."""
    same_samples(bench.path("local"), out)
    check_same_files(bench.path("local", "step_3"), f"{out}/step_3",
                     ["model.safetensors", "trainer_state/optimizer-00001-of-00001.safetensors"])
    check_same_metrics(bench.path("local", "metrics.jsonl"), f"{out}/metrics.jsonl")
    sync = [{key: value for key, value in step.items() if key.startswith("sync/")}
            for step in read_json_lines(f"{out}/metrics.jsonl")]
    check([step.get("sync/version") for step in sync] == [1, 2, None], "versions sent behind the steps:", sync)
    check(all(step["sync/seconds"] > 0 and step["sync/gbps"] > 0 for step in sync[:2]), sync)


def equals_local(bench):
    """One process, and 1, 2 and 4 rollout ranks: the same tokens, rewards and weights, bit for bit."""
    steps = ["trainer.max_steps=3"]
    bench.run(*tiny_run(bench, bench.path("local"), "rollout.log_completions=true", *steps))
    for rollouts in (1, 2, 4):
        check_like_local(bench, run_over(bench, bench.path(f"over_{rollouts}"), 1, rollouts, *steps))
        print(f"1 learner, {rollouts} rollouts: the bits of one process")
    # "auto" above is shared memory; each way by its name, and what tells which way it was.
    for way, delta in (("shared_memory", False), ("broadcast", False), ("grpc", True)):
        out = run_over(bench, bench.path(way), 1, 2, f"cluster.weights={way}", *steps)
        check_like_local(bench, out)
        sync = read_json_lines(f"{out}/metrics.jsonl")[1]
        check((sync["sync/delta_bytes"] > 0) == delta, way, sync)
        print(f"weights over {way}: the bits of one process")


def service_ranks(bench):
    """Rewards from two ranks of their own, and the coordinator on one: the bits of one process."""
    steps = ["trainer.max_steps=3"]
    bench.run(*tiny_run(bench, bench.path("local"), "rollout.log_completions=true", *steps))
    for coordinator in (0, 1):
        out = run_over(bench, bench.path(f"over_{coordinator}"), 1, 1, *steps, reward=2, coordinator=coordinator)
        same_samples(bench.path("local"), out)
        check_same_files(bench.path("local", "step_3"), f"{out}/step_3", ["model.safetensors"])


def two_learners(bench):
    """Every ZeRO level gives the same bits, and the loss of one learner."""
    steps = ["trainer.max_steps=2"]
    bench.run(*tiny_run(bench, bench.path("local"), *steps))
    for level in (0, 1, 2, 3):
        run_over(bench, bench.path(f"zero_{level}"), 2, 1, f"actor.zero={level}", *steps)
        check_same_files(bench.path("zero_0", "step_2"), bench.path(f"zero_{level}", "step_2"), ["model.safetensors"])
        check_same_metrics(bench.path("zero_0", "metrics.jsonl"), bench.path(f"zero_{level}", "metrics.jsonl"))
    alone, both = (read_json_lines(bench.path(run, "metrics.jsonl"))[0] for run in ("local", "zero_3"))
    for name in ("actor/loss", "actor/grad_norm"):
        check(abs(alone[name] - both[name]) <= 1e-5 * abs(alone[name]), name, alone[name], both[name])
    # On another number of ranks, from the shards of two.
    run_over(bench, bench.path("zero_3"), 3, 1, "actor.zero=2", "trainer.max_steps=3")
    check(len(read_json_lines(bench.path("zero_3", "metrics.jsonl"))) == 3, "no third step")


def colocated_equals_separate(bench):
    """Rollouts on the learner's ranks: the bits of one process, and of as many learner ranks with rollouts apart."""
    steps = ["trainer.max_steps=3"]
    bench.run(*tiny_run(bench, bench.path("local"), "rollout.log_completions=true", *steps))
    apart = run_over(bench, bench.path("apart"), 2, 1, "actor.zero=0", *steps)
    one = run_colocated(bench, bench.path("one"), 1, *steps, reward=1, coordinator=1)
    two = [run_colocated(bench, bench.path(f"zero_{level}"), 2, f"actor.zero={level}", *steps) for level in (0, 3)]
    for like, out in ((bench.path("local"), one), (apart, two[0]), (apart, two[1])):
        same_samples(like, out)
        check_same_files(f"{like}/step_3", f"{out}/step_3", ["model.safetensors"])
        check_same_metrics(f"{like}/metrics.jsonl", f"{out}/metrics.jsonl")
    done = bench.call(*tiny_run(bench, bench.path("wrong"), "cluster.placement=colocated", "cluster.learner=3"),
                      prefix=colocated(2)[0], env=ENV)
    check(done.returncode != 0 and "2 ranks" in done.stderr and "every learner" in done.stderr, done.stderr[-2000:])


def colocated_lost(bench):
    """Either rank is killed, then the job is asked to stop: the run goes on exactly from what was saved."""
    out = bench.path("run")
    prefix, cluster = colocated(2)
    run = tiny_run(bench, out, "trainer.max_steps=400", "trainer.save_freq=1", "trainer.save_limit=2",
                   "cluster.deadline_s=10", "actor.zero=3", *cluster)
    done, _ = strike(bench, out, (0, 1), signal.SIGKILL, lambda: bench.start(*run, prefix=prefix, env=ENV))
    process = bench.start(*run, prefix=prefix, env=ENV)
    wait_for_step(process, out, done + 2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    last = steps_of(out)
    check(os.readlink(f"{out}/latest") == f"step_{last}", os.readlink(f"{out}/latest"), last, errors[-2000:])
    last += 2
    run_colocated(bench, out, 2, "actor.zero=3", f"trainer.max_steps={last}")
    straight = run_colocated(bench, bench.path("straight"), 2, f"trainer.max_steps={last}")
    check_same_files(f"{straight}/step_{last}", f"{out}/step_{last}", ["model.safetensors"])
    check_same_metrics(f"{straight}/metrics.jsonl", f"{out}/metrics.jsonl")


def colocated_worker_fails(bench):
    """A worker's error on either rank ends the job with its text."""
    prefix, cluster = colocated(2)
    rows = read_json_lines(bench.fixture("rows.jsonl"))
    broken = bench.path("broken.png")
    with open(bench.fixture(rows[0]["images"][0]), "rb") as whole, open(broken, "wb") as file:
        bits = bytearray(whole.read())
        bits[len(bits) // 2] ^= 0xFF  # only who decodes the picture, for a rollout, sees it
        file.write(bits)
    workbench.write_rows(bench.path("rows.jsonl"), [dict(row, images=[broken] * len(row["images"])) for row in rows])
    done = bench.call(*tiny_run(bench, bench.path("run"), f"data.train_files={bench.path('rows.jsonl')}", *cluster),
                      prefix=prefix, env=ENV)
    check(done.returncode != 0 and "broken.png" in done.stderr, done.stderr[-3000:])
    # Rank 1's config is another: the coordinator refuses its worker, while its learner waits in MPI.
    run = tiny_run(bench, bench.path("other"), *cluster)
    done = bench.call(*run, "rollout.temperature=0.5", env=ENV,
                      prefix=[*MPIRUN, "-np", "1", bench.program, *run, ":", "-np", "1"])
    check(done.returncode != 0 and "config hash: the coordinator has" in done.stderr, done.stderr[-3000:])


def across_epochs(bench):
    """Three rows, two a step: the shards of two learners go on bit for bit from the first prompt of an epoch, and from
    the middle of one through its end."""
    rows = read_json_lines(bench.fixture("rows.jsonl"))[:3]
    for row in rows:
        row["images"] = [bench.fixture(path) for path in row["images"]]
    workbench.write_rows(bench.path("rows.jsonl"), rows)

    def run(out, steps):
        return run_over(bench, bench.path(out), 2, 1, "actor.zero=3", f"data.train_files={bench.path('rows.jsonl')}",
                        f"trainer.max_steps={steps}")

    straight = run("straight", 6)
    check([step["data/epoch"] for step in read_json_lines(f"{straight}/metrics.jsonl")] ==
          [2 * (k + 1) / 3 for k in range(6)], "epochs")
    for steps in (3, 4, 6):  # prompts 6, 8 and 12: an epoch's end, the middle of the next, past its end
        parts = run("parts", steps)
    shards = sorted(name for name in os.listdir(f"{straight}/step_6/trainer_state") if name.startswith("optimizer-"))
    check(len(shards) == 2, "shards", shards)
    check_same_files(f"{straight}/step_6", f"{parts}/step_6",
                     ["model.safetensors", *(f"trainer_state/{name}" for name in shards)])
    same_samples(straight, parts)
    check_same_metrics(f"{straight}/metrics.jsonl", f"{parts}/metrics.jsonl")


def start_over(bench, out, learner, rollout, *more, options=(), env=ENV):
    prefix, cluster = ranks(learner, rollout)
    return bench.start(*tiny_run(bench, out, "trainer.max_steps=400", "trainer.save_freq=1", "trainer.save_limit=2",
                                 "cluster.deadline_s=10", *cluster, *more), prefix=[*prefix, *options], env=env)


def rank_pids(mpirun):
    """The program's processes under the mpirun of that pid, by rank."""
    pids = subprocess.run(["pgrep", "-P", str(mpirun)], capture_output=True, text=True).stdout.split()
    found = {}
    for pid in pids:
        with open(f"/proc/{pid}/environ", "rb") as file:
            env = dict(part.split(b"=", 1) for part in file.read().split(b"\0") if b"=" in part)
        found[int(env[b"OMPI_COMM_WORLD_RANK"])] = int(pid)
    return found


def wait_for_step(process, out, step):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if steps_of(out) >= step:
            return
        time.sleep(0.05)
    process.kill()
    check(False, "no step", step, process.communicate()[1][-2000:])


def strike(bench, out, victims, sig, start, way=None):
    """Each rank in turn is killed or stopped: the job names it and ends with an error. The last checkpoint's step, and
    the learners' process ids. `way`: of the weights."""
    done, learners = 0, []
    for victim in victims:
        process = start()
        wait_for_step(process, out, done + 2)
        pids = rank_pids(process.pid)
        learners.append(pids[0])
        check(bool(shared_memory_of(pids[0])) == (way == "shared_memory"), way, os.listdir("/dev/shm"))
        os.kill(pids[victim], sig)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            for pid in rank_pids(process.pid).values() if process.poll() is None else ():
                os.kill(pid, signal.SIGKILL)
            if process.poll() is None:
                process.kill()
        check(process.returncode != 0, "exit code", process.returncode)
        if sig != signal.SIGKILL:  # then mpirun may be faster, which ends the others
            check(f"rank {victim}" in errors, "nobody names rank", victim, errors[-3000:])
        done = int(os.readlink(f"{out}/latest").removeprefix("step_"))
    return done, learners


def lost(bench, sig, way):
    """Each rank in turn is killed or stopped, and the run goes on exactly."""
    out = bench.path("run")
    done, learners = strike(bench, out, (0, 1, 2), sig,
                            lambda: start_over(bench, out, 2, 1, f"cluster.weights={way}"), way)
    last = done + 2
    run_over(bench, out, 2, 1, f"trainer.max_steps={last}")
    # Segments of a learner that had no time for it are removed by whoever publishes next.
    straight = run_over(bench, bench.path("straight"), 2, 1, f"trainer.max_steps={last}")
    left = [name for pid in learners for name in shared_memory_of(pid)]
    check(not left, "shared memory of killed learners stays:", left)
    check_same_files(f"{straight}/step_{last}", f"{out}/step_{last}", ["model.safetensors"])
    check_same_metrics(f"{straight}/metrics.jsonl", f"{out}/metrics.jsonl")


def killed(bench):
    lost(bench, signal.SIGKILL, "shared_memory")


def stopped(bench):
    lost(bench, signal.SIGSTOP, "broadcast")


def terminated(bench):
    """SIGTERM to launch/mpirun.sh: the step is finished, saved, and the job ends with 0."""
    out = bench.path("run")
    _, cluster = ranks(1, 2)
    process = subprocess.Popen(
        [SCRIPT, *tiny_run(bench, out, "trainer.max_steps=400", "trainer.save_freq=1", "trainer.save_limit=2",
                           *cluster)[1:]],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=bench.work,
        env={**os.environ, **ENV, "MPIRUN_OPTIONS": "--oversubscribe"})
    wait_for_step(process, out, 2)
    mpirun = subprocess.run(["pgrep", "-x", "mpirun", "-P", str(process.pid)], capture_output=True, text=True).stdout
    learner = rank_pids(int(mpirun))[0]
    check(shared_memory_of(learner), "no shared memory in", os.listdir("/dev/shm"))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    check(process.returncode == 0, "exit code", process.returncode, errors[-2000:])
    check(not shared_memory_of(learner), "shared memory stays:", shared_memory_of(learner))
    steps = steps_of(out)
    check(os.readlink(f"{out}/latest") == f"step_{steps}", os.readlink(f"{out}/latest"), steps, errors[-2000:])


def wrong_ranks(bench):
    prefix, _ = ranks(1, 2)
    done = bench.call(*tiny_run(bench, bench.path("run"), "cluster.rollout=4"), prefix=prefix, env=ENV)
    check(done.returncode != 0 and "3 ranks" in done.stderr and "1 to 4" in done.stderr, done.stderr[-2000:])
    check(not os.path.exists(bench.path("run")), "a run directory was made")


def bad_row(bench):
    """An error of one role ends all of them, with its text."""
    prefix, cluster = ranks(1, 1)
    rows = read_json_lines(bench.fixture("rows.jsonl"))
    for row in rows:
        row["images"] = [bench.fixture(path) for path in row["images"]]
    rows[1].pop("answer")
    workbench.write_rows(bench.path("rows.jsonl"), rows)
    done = bench.call(*tiny_run(bench, bench.path("run"), f"data.train_files={bench.path('rows.jsonl')}",
                                "data.shuffle=false", *cluster), prefix=prefix, env=ENV)
    check(done.returncode != 0 and "rows.jsonl:2" in done.stderr, done.stderr[-2000:])


CASES = [equals_local, service_ranks, two_learners, colocated_equals_separate, colocated_lost, colocated_worker_fails,
         killed, stopped, terminated, wrong_ranks, bad_row, across_epochs]

if __name__ == "__main__":
    workbench.main({case.__name__: case for case in CASES})
