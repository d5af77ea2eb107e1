"""The learner's ranks over NCCL, without a GPU: tests/fake_nccl stands for NCCL and the CUDA runtime, and the CPU's
tensors for the device's. Its operations are deferred until somebody waits for them.

usage: over_nccl.py ZIPRL FIXTURES WORK CASE, the fake's path in ZIPRL_FAKE_NCCL
"""

import os
import re
import signal

import over_ranks
import workbench
from jobs import Job
from over_ranks import ENV, rank_pids, ranks, run_colocated, run_over, same_samples, start_over, wait_for_step
from workbench import check, check_same_files, check_same_metrics, tiny_run

CPU = "model.device=cpu"  # not auto: torch's CUDA half must not meet the fake
NCCL = (CPU, "cluster.collectives=nccl")


def fake(**more):
    """Environment of mpirun, which does not preload the fake itself."""
    return {**ENV, "ZIPRL_FAKE_CUDA_MEMORY": "all", **more}


def preloaded():
    return ["-x", f"LD_PRELOAD={os.environ['ZIPRL_FAKE_NCCL']}"]


def check_over_nccl(done, learner):
    check(done.returncode == 0, "exit code", done.returncode, done.stderr[-2000:])
    check(f"the learner's {learner} ranks work together over nccl" in done.stderr, done.stderr[-2000:])


def run_nccl(bench, out, learner, *more):
    prefix, cluster = ranks(learner, 1)
    done = bench.call(*tiny_run(bench, out, "rollout.log_completions=true", *cluster, *NCCL, *more),
                      prefix=[*prefix, *preloaded()], env=fake())
    check_over_nccl(done, learner)
    check("weights are broadcast over nccl, from GPU to GPU" in done.stderr, done.stderr[-2000:])
    return out


def levels(bench):
    """Every ZeRO level, on 2 and 3 learner ranks: the bits that MPI gives."""
    steps = ["trainer.max_steps=2"]
    for learners, zero_levels in ((2, (0, 1, 3)), (3, (3,))):
        mpi = run_over(bench, bench.path(f"mpi_{learners}"), learners, 1, CPU, "cluster.collectives=mpi", *steps)
        for level in zero_levels:
            out = run_nccl(bench, bench.path(f"nccl_{learners}_{level}"), learners, f"actor.zero={level}", *steps)
            check_same_files(f"{mpi}/step_2", f"{out}/step_2", ["model.safetensors"])
            check_same_metrics(f"{mpi}/metrics.jsonl", f"{out}/metrics.jsonl")
            print(f"{learners} learners over NCCL, zero {level}: the bits of MPI")


def run_weights(bench, out, rollouts, *more, env, ways=("nccl, from GPU to GPU",), last=()):
    """Three steps of one learner, whose weights must go the way that stderr says. `last`: mpirun's options of the last
    rank alone."""
    prefix, cluster = ranks(1, rollouts - (1 if last else 0))
    run = tiny_run(bench, bench.path(out), "rollout.log_completions=true", "trainer.max_steps=3", *cluster,
                   f"cluster.rollout={rollouts}", *NCCL, *more)
    prefix += preloaded()
    if last:
        prefix += [bench.program, *run, ":", "-np", "1", *preloaded(), *last]
    done = bench.call(*run, prefix=prefix, env=env)
    check(done.returncode == 0, "exit code", done.returncode, done.stderr[-2000:])
    check("weights are broadcast over " in done.stderr and all(way in done.stderr for way in ways), done.stderr[-2000:])
    over_ranks.check_like_local(bench, bench.path(out))


def weights(bench):
    """From the learner's GPU to those of 1 and 3 rollouts; over MPI where a rollout has no GPU or shares one. The bits of
    one process."""
    bench.run(*tiny_run(bench, bench.path("local"), "rollout.log_completions=true", CPU, "trainer.max_steps=3"))
    run_weights(bench, "one", 1, env=fake())
    run_weights(bench, "three", 3, "cluster.weights=broadcast", env=fake())
    mpi = "cluster.weights=broadcast"
    run_weights(bench, "shared", 2, mpi, env=fake(ZIPRL_FAKE_CUDA_DEVICES="2"),
                ways=("over mpi (not nccl: NCCL cannot start: rank 2: it would share GPU ", "with rank 0"))
    run_weights(bench, "cpu", 2, mpi, env=fake(), last=["-x", "ZIPRL_FAKE_CUDA_MEMORY=none"],
                ways=("over mpi (not nccl: rank 2: its model is on the CPU)",))


def learn(bench):
    """`ziprl learn`, a job of its own of two ranks over NCCL: the bits of two ranks of one world over MPI."""
    os.environ.update(fake(), MPIRUN_OPTIONS=" ".join(["--oversubscribe", *preloaded()]))
    settings = ["trainer.threads=1", "trainer.max_steps=2"]
    job = Job(bench, bench.path("learn"), *NCCL, "cluster.learner=2", "actor.zero=3", *settings)
    if job.end() != 0 or "the learner's 2 ranks work together over nccl" not in job.said():
        job.fail("does not learn over NCCL")
    mpi = run_over(bench, bench.path("mpi"), 2, 1, CPU, *settings)
    check_same_files(f"{mpi}/step_2", f"{job.out}/step_2", ["model.safetensors"])


def colocated(bench):
    """Rollouts on the learner's ranks, which work together over NCCL: the samples and bits of MPI."""
    steps = ["trainer.max_steps=3"]
    mpi = run_colocated(bench, bench.path("mpi"), 2, CPU, *steps)
    for level in (0, 3):
        out = bench.path(f"zero_{level}")
        prefix, cluster = over_ranks.colocated(2)
        run = tiny_run(bench, out, "rollout.log_completions=true", f"actor.zero={level}", *cluster, *NCCL, *steps)
        check_over_nccl(bench.call(*run, prefix=[*prefix, *preloaded()], env=fake()), 2)
        same_samples(mpi, out)
        check_same_files(f"{mpi}/step_3", f"{out}/step_3", ["model.safetensors"])
        check_same_metrics(f"{mpi}/metrics.jsonl", f"{out}/metrics.jsonl")


def killed(bench):
    """A learner rank that is gone is named within the deadline, and the run goes on exactly, over MPI too."""
    out = bench.path("run")
    process = start_over(bench, out, 2, 1, *NCCL, "actor.zero=3", "cluster.deadline_s=30", options=preloaded(),
                         env=fake())
    wait_for_step(process, out, 2)
    os.kill(rank_pids(process.pid)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    check(process.returncode != 0, "exit code", process.returncode)
    check("rank 1" in errors, "nobody names rank 1", errors[-3000:])
    last = int(os.readlink(f"{out}/latest").removeprefix("step_")) + 2
    run_over(bench, out, 2, 1, CPU, f"trainer.max_steps={last}", "actor.zero=3")
    straight = run_over(bench, bench.path("straight"), 2, 1, CPU, f"trainer.max_steps={last}", "actor.zero=3")
    check_same_files(f"{straight}/step_{last}", f"{out}/step_{last}", ["model.safetensors"])


def fails(bench, *more, options=(), env=ENV, learner=2):
    """stderr of a run that must fail and leave nothing."""
    prefix, cluster = ranks(learner, 1)
    done = bench.call(*tiny_run(bench, bench.path("run"), *cluster, *more), prefix=[*prefix, *options], env=env)
    check(done.returncode != 0, "exit code", done.returncode)
    check(not os.path.exists(bench.path("run", "step_1")), "a step was made")
    return done.stderr


def stalled(bench):
    """GPUs that never finish: every rank arrived, so NCCL is aborted at the deadline and says so."""
    errors = fails(bench, *NCCL, "cluster.weights=shared_memory", "cluster.deadline_s=20", options=preloaded(), env=fake(ZIPRL_FAKE_NCCL_STALL="1"))
    check(re.search(r"'gradients' #\d+ of 'learners', step 0, \d+ bytes: (every rank arrived, but the GPUs did not "
                    r"finish by the deadline; NCCL aborted|NCCL error)", errors), errors[-3000:])


def refused(bench):
    """No GPU, one GPU for two ranks, tensors of the CPU: said before anything is trained, with what to do."""
    alternative = "model.device=cpu cluster.collectives=mpi"
    for learner in (1, 2):
        errors = fails(bench, *NCCL, env={**ENV, "CUDA_VISIBLE_DEVICES": ""}, learner=learner)
        said = set(re.findall("NCCL cannot start: rank 0: .*?; the CPU.s alternative is MPI: .*?=mpi", errors))
        check(len(said) == 1 and alternative in next(iter(said)), errors[-3000:])
    errors = fails(bench, *NCCL, options=preloaded(), env=fake(ZIPRL_FAKE_CUDA_DEVICES="1"))
    check(re.search("rank 1: it would share GPU .* with rank 0, and NCCL needs one each", errors), errors[-3000:])
    errors = fails(bench, *NCCL, options=preloaded(), env=fake(ZIPRL_FAKE_CUDA_MEMORY=""))
    check(re.search("the learner's parameters: NCCL works on memory of GPU [01] here, this is host memory", errors) and
          alternative in errors, errors[-3000:])


CASES = [levels, weights, learn, colocated, killed, stalled, refused]

if __name__ == "__main__":
    workbench.main({case.__name__: case for case in CASES})
