"""`ziprl plan` against what runs take, and what it says of the published models. Usage: workbench.py says how."""

import json
import os
import subprocess

import workbench
from workbench import check, read_json_lines, tiny_run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WITHIN = 0.10


def plan(bench, *args, fits=True):
    done = bench.call("plan", "--json", *args)
    check(done.returncode == (0 if fits else 1), "plan", *args, "exits", done.returncode, done.stderr)
    return json.loads(done.stdout), done.stderr


def measured(bench, args):
    """Peak of resident memory of a run, mapped files included."""
    with open(bench.path("run.log"), "w") as log:
        process = subprocess.Popen([bench.program, *map(str, args)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    with open(bench.path("run.log")) as log:
        check(process.returncode == 0, *args, "exits", process.returncode, log.read()[-2000:])
    return usage.ru_maxrss * 1024


def compare(bench, args, out):
    """A run of two steps and its plan, given the lengths that its samples had."""
    peak = measured(bench, args)
    metrics = read_json_lines(os.path.join(out, "metrics.jsonl"))[-1]
    lengths = {"--prompt-tokens": round(metrics["prompt_length/mean"]), "--kept-ratio": metrics["tokens/kept_ratio/mean"],
               "--response-tokens": round(metrics["response_length/mean"])}
    visual = round(0.5 * lengths["--prompt-tokens"])
    made, _ = plan(bench, *args[1:], "--machine", "cpu", "--visual-tokens", visual,
                   *(str(part) for pair in lengths.items() for part in pair))
    planned = made["memory"][0]["peak_bytes"]
    print(f"planned {planned / 1e6:.1f} MB ({made['memory'][0]['peak_phase']}), measured {peak / 1e6:.1f} MB: "
          f"{100 * (planned / peak - 1):+.1f} %")
    check(abs(planned / peak - 1) <= WITHIN, made["memory"], peak)


def memory_tiny(bench):
    out = bench.path("out")
    compare(bench, [*tiny_run(bench, out), "trainer.threads=2", "trainer.max_steps=2"], out)


def compare_wide(bench, text, *settings):
    """A model of the shape in tiny.json but for `text`: most of the memory is its."""
    with open(os.path.join(ROOT, "configs", "models", "tiny.json")) as file:
        shape = json.load(file)
    shape["config"]["text_config"].update(
        text, rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]})
    shape["config"]["vision_config"]["out_hidden_size"] = text["hidden_size"]
    with open(bench.path("shape.json"), "w") as file:
        json.dump(shape, file)
    bench.run("init", bench.path("shape.json"), bench.path("model"), "--corpus", bench.fixture("rows.jsonl"))
    out = bench.path("out")
    compare(bench, [*tiny_run(bench, out), f"model.path={bench.path('model')}", "trainer.max_steps=2",
                    "trainer.deterministic=false", *settings], out)


def memory_20m(bench):
    """17 million parameters."""
    compare_wide(bench, {"hidden_size": 384, "num_hidden_layers": 8, "num_attention_heads": 6, "intermediate_size": 1024},
                 "trainer.threads=2")


def memory_wide(bench):
    """Half as deep and twice as wide, on one thread."""
    compare_wide(bench, {"hidden_size": 768, "num_hidden_layers": 4, "num_attention_heads": 12, "intermediate_size": 2048},
                 "trainer.threads=1")


def published(bench):
    for name, parameters in (("Qwen2.5-VL-3B", 3754622976), ("Qwen/Qwen2.5-VL-7B-Instruct", 8292166656),
                             ("Qwen2-VL-72B", 73405560320)):
        made, _ = plan(bench, f"model.path={name}", "model.dtype=bf16", "cluster.learner=64", "cluster.rollout=8",
                       "actor.zero=3", "--memory-gb", "640")
        check(made["parameters"] == parameters, name, made["parameters"])
        check(made["fits"] and not made["remedy"], made)
        check([role["role"] for role in made["memory"]] == ["learner", "rollout"], made["memory"])
        check(made["step"]["seconds"] > 0 and made["weight_bytes"] == 2 * parameters, made)
    table = bench.run("plan", "model.path=3B", "model.dtype=bf16", "cluster.learner=8", "actor.zero=2")
    for words in ("3.75 billion parameters", "memory of learner (8 ranks)", "<- peak", "reduce-scatter", "\nfits\n"):
        check(words in table, words, "is not in", table)


def refused(bench):
    done = bench.call("plan", "model.path=Qwen9-VL-5B")
    check(done.returncode == 1 and "Qwen2.5-VL-32B" in done.stderr, done.stderr)
    made, error = plan(bench, "model.path=7B", "model.dtype=bf16", "cluster.learner=2", "cluster.rollout=2", fits=False)
    check(not made["fits"] and made["remedy"].startswith("actor.zero=3 cluster.learner="), made["remedy"])
    check("cannot hold" in error and made["remedy"] in error, error)
    ranks = made["remedy"].split("=")[-1]
    plan(bench, "model.path=7B", "model.dtype=bf16", "actor.zero=3", f"cluster.learner={ranks}", "cluster.rollout=2")
    plan(bench, "model.path=7B", "model.dtype=bf16", "actor.zero=3", f"cluster.learner={int(ranks) - 1}",
         "cluster.rollout=2", fits=False)
    for args, words in ((["--kept-ratio", "1.5"], "1.5"), (["--visual-tokens", "9999"], "9999"),
                        (["cluster.learner=0"], "cluster.learner")):
        done = bench.call("plan", "model.path=3B", *args)
        check(done.returncode == 1 and words in done.stderr, args, done.stderr)


CASES = [memory_tiny, memory_20m, memory_wide, published, refused]

if __name__ == "__main__":
    workbench.main({case.__name__: case for case in CASES})
