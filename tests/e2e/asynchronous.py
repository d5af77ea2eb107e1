"""rollout.max_staleness: 1 with the recipe `stochastic`: samples of an older version, whose selection is measured
against what that version recorded.

usage: asynchronous.py ZIPRL FIXTURES WORK CASE
"""

import workbench
from jobs import Job, finish
from workbench import check, check_finite, read_json_lines, tiny_run

STEPS = 6
ASYNCHRONOUS = ["rollout.max_staleness=1", f"trainer.max_steps={STEPS}", "data.max_response_length=2"]


def check_run(out):
    """Its steps; a decision's log-prob differs from the one it was taken with where the version does."""
    steps = read_json_lines(f"{out}/metrics.jsonl")
    check(len(steps) == STEPS, len(steps), "steps")
    check_finite(steps)
    for step in steps:
        check(step["staleness/max"] <= 1, "staleness", step["staleness/max"])
        drift = step["actor/selection_drift_max"]
        check((drift > 0) == (step["staleness/max"] > 0), "step", step["step"], "staleness", step["staleness/max"],
              "and drift", drift)
        check(0 <= step["actor/selection_clipfrac"] <= 1, step["actor/selection_clipfrac"])
    return steps


def one_process(bench):
    out = bench.path("run")
    bench.run(*tiny_run(bench, out, *ASYNCHRONOUS))
    check_run(out)


def over_jobs(bench):
    """A worker, the coordinator and two learner ranks as processes: the worker samples while the learner trains."""
    job = Job(bench, bench.path("run"), *ASYNCHRONOUS, "cluster.rollout=1", "cluster.learner=2")
    finish(job)
    steps = check_run(bench.path("run"))
    check(any(step["staleness/mean"] > 0 for step in steps), "no stale sample in", STEPS, "steps")
    print("staleness", [step["staleness/mean"] for step in steps],
          "largest drift", max(step["actor/selection_drift_max"] for step in steps))


if __name__ == "__main__":
    workbench.main({"one_process": one_process, "over_jobs": over_jobs})
