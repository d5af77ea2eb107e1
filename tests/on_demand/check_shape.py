"""A published configuration at its real size, on this machine: what launch/check-3b runs.

usage: check_shape.py BUILD_BIN CONFIG.json WORK_DIR FREE_GIB

Makes random bf16 weights, answers an image prompt of about 1,000 tokens with `ziprl generate`, exports, computes logits
with ours and then with transformers in bf16 (on the export) and fp32, one after the other, never two in memory. WORK_DIR
is deleted at the end. The last line is the verdict; exit code 0 only if everything was within bounds.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LOADED = 1.15         # peak of memory over the bytes of the weights, behind loading
ANSWERED = 1.15       # the same for the whole of `ziprl generate`
EXPORTED = 1.5e9      # bytes that a copy of the model may hold: one tensor and the tokenizer
SHARD = 5_000_000_000
AS_CLOSE = 1.1        # our error to fp32 over transformers' own, both in bf16
APART = 1.5           # ours to transformers' bf16, over the same
SAME_TOP = 0.8        # of the rows, the most probable token as in fp32 over transformers' share of that
TOKENS = 17


def wait_for_memory(gib):
    for _ in range(240):
        with open("/proc/meminfo") as file:
            available = int(re.search(r"MemAvailable:\s+(\d+)", file.read()).group(1)) / 2**20
        if available >= gib:
            return
        print(f"waiting: {available:.1f} GiB of memory are free, {gib:g} are needed", file=sys.stderr)
        time.sleep(15)
    sys.exit(f"check: FAILED, no {gib:g} GiB of memory became free within an hour")


def run(*command, free=0):
    """Standard output, seconds of the clock and of the cores, and peak of resident memory (mapped files included)."""
    wait_for_memory(free)
    start = time.time()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"check: FAILED, exit code {process.returncode} of {' '.join(map(str, command))}")
    return out, time.time() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def python(script, *arguments, free=0):
    out, _, _, _ = run(sys.executable, "-B", f"{HERE}/{script}", *arguments, free=free)
    return json.loads(out.splitlines()[-1])


def make_image(path):
    """Smooth noise of 840 x 896 pixels: 960 visual tokens at patch 14, merge 2."""
    import numpy
    from PIL import Image
    small = numpy.random.default_rng(0).integers(0, 256, (30, 32, 3), dtype=numpy.uint8)
    Image.fromarray(small).resize((896, 840), Image.BICUBIC).save(path)


def answer(ziprl, model, image, p, tokens, free):
    out, _, cores, peak = run(ziprl, "generate", model, "--image", image, "--prompt", "What is shown here?", "--p", p,
                       "--dtype", "bf16", "--threads", os.cpu_count(), "--max-response-length", tokens, free=free)
    kept, seconds = re.search(r"kept: ([\d.]+) %", out).group(1), re.search(r"time: ([\d.]+) s", out).group(1)
    prompt, made = re.search(r"of (\d+) prompt tokens", out).group(1), re.search(r" s, (\d+) tokens", out).group(1)
    return dict(p=p, answer=out.rsplit("\nkept: ", 1)[0], prompt_tokens=int(prompt), tokens=int(made), kept=float(kept) / 100, seconds=float(seconds),
                core_seconds=round(cores, 1), peak=peak)


def compare_exports(model, export):
    """Every tensor of the copy as in the original, read by safetensors through its index."""
    import torch
    from safetensors import safe_open
    maps = []
    for directory in (model, export):
        with open(f"{directory}/model.safetensors.index.json") as file:
            maps.append(json.load(file)["weight_map"])
    if sorted(maps[0]) != sorted(maps[1]):
        return "other tensors"
    for shard in set(maps[1].values()):
        if os.path.getsize(f"{export}/{shard}") > SHARD + 2**20:
            return f"{shard} is too large"
        with safe_open(f"{export}/{shard}", "pt") as copied:
            for name in copied.keys():
                with safe_open(f"{model}/{maps[0][name]}", "pt") as original:
                    if not torch.equal(original.get_tensor(name), copied.get_tensor(name)):
                        return f"{name} differs"
    return ""


def compare_logits(work):
    import torch
    from safetensors.torch import load_file
    ours, theirs, truth = (load_file(f"{work}/{name}.safetensors")["logits"] for name in ("ours", "bf16", "fp32"))

    def apart(a, b):
        logprobs = (torch.log_softmax(a, -1) - torch.log_softmax(b, -1)).gather(1, truth.argmax(-1, True)).abs()
        return dict(rms=(a - b).square().mean().sqrt().item(), max=(a - b).abs().max().item(),
                    logprob_mean=logprobs.mean().item(), same_top=(a.argmax(-1) == b.argmax(-1)).float().mean().item())
    return dict(logits_std=truth.std().item(), ours_to_fp32=apart(ours, truth), theirs_to_fp32=apart(theirs, truth),
                ours_to_theirs=apart(ours, theirs))


def problems_of(figures):
    weights, logits = figures["weights"]["bytes"], figures["logits"]
    own, theirs, between = (logits[k] for k in ("ours_to_fp32", "theirs_to_fp32", "ours_to_theirs"))
    ratios = [
        ("peak behind loading / weights", figures["forward"]["loaded_peak"] / weights, LOADED),
        *((f"peak of generate at p = {a['p']} / weights", a["peak"] / weights, ANSWERED) for a in figures["answers"]),
        ("peak of export in bytes", figures["export"]["peak"], EXPORTED),
        ("logits: ours to fp32 / transformers' bf16 to fp32", own["rms"] / theirs["rms"], AS_CLOSE),
        ("logits: ours to transformers' bf16 / that to fp32", between["rms"] / theirs["rms"], APART),
        ("top tokens: transformers' share / ours", theirs["same_top"] / max(own["same_top"], 1e-9), 1 / SAME_TOP),
    ]
    for what, value, limit in ratios:
        print(f"{what}: {value:.4g}, at most {limit:.4g}")
    found = [f"{what} is {value:.4g}, at most {limit:.4g} allowed" for what, value, limit in ratios if not value <= limit]
    wanted, given = figures["transformers_fp32"], figures["answers"][0]["answer"]
    print(f"first token: {given!r}, of transformers in fp32: {wanted['first_token']!r} by {wanted['lead']:.3g}")
    if given != wanted["first_token"] and wanted["lead"] > own["max"] * 2:  # no error of ours explains it
        found.append(f"the answer begins with {given!r}, that of transformers with {wanted['first_token']!r}")
    if figures["export"]["problem"]:
        found.append("export: " + figures["export"]["problem"])
    return found


def check(programs, config, work, free):
    model, export, image = f"{work}/model", f"{work}/export", f"{work}/image.png"
    figures = dict(weights=python("make_shape.py", config, model))
    print(f"weights: {figures['weights']['bytes'] / 1e9:.2f} GB", file=sys.stderr)
    make_image(image)
    ziprl = f"{programs}/ziprl"
    figures["answers"] = [answer(ziprl, model, image, p, tokens, free) for p, tokens in
                          ((1, 1), (1, TOKENS), (0.975, TOKENS))]
    _, seconds, _, peak = run(ziprl, "export", model, export)
    figures["export"] = dict(seconds=round(seconds, 1), peak=peak, files=sorted(
        f for f in os.listdir(export) if f.endswith(".safetensors")), problem=compare_exports(model, export))
    inputs = python("judge_shape.py", "inputs", model, image, "What is shown here?", f"{work}/inputs.safetensors")
    shutil.rmtree(model)
    out, _, _, _ = run(f"{programs}/logits_probe", export, f"{work}/inputs.safetensors", f"{work}/ours.safetensors",
                    os.cpu_count(), free=free)
    figures["forward"] = {**inputs, **json.loads(out)}
    for precision in ("bf16", "fp32"):
        figures["transformers_" + precision] = python(
            "judge_shape.py", precision, export, f"{work}/inputs.safetensors", f"{work}/{precision}.safetensors",
            os.cpu_count(), free=free)
    figures["logits"] = compare_logits(work)
    print(json.dumps(figures, indent=1))
    return problems_of(figures)


def main(programs, config, work, free):
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    try:
        problems = check(programs, config, work, float(free))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("check: FAILED, " + "; ".join(problems) if problems else "check: passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
