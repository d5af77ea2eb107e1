"""Independent judge of the engine's log-probs and kept sets: SPARSE_GRPO section 1 on transformers' attention.

usage: oracle.py ROLLOUTS.jsonl        (lines of dump_rollouts.cc)

One teacher-forced forward of transformers' model with an attention function that selects as the method page
says, in fp64 from the layer's own q and k; the probes are handed over. A recorded kept set may differ from
the oracle's only by near-ties (section 1, What is bit-equal, (b)); the oracle then goes on with the
recorded one.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from PIL import Image
from transformers import AttentionInterface, AttentionMaskInterface, AutoImageProcessor
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.masking_utils import sdpa_mask

LOGPROB_TOLERANCE = 1e-4
LOG_SCORE_TIE = 1e-4
MASS_TIE = 1e-5  # times the number of probes
MAX_TIE_SHARE = 0.01
KEEP_STREAM = 2


def philox(key, counter):
    """Philox4x32-10 (Salmon et al., SC'11)."""
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    c = list(counter)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k1, a & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def descending(values):
    return torch.sort(values, descending=True, stable=True).indices


def budgets(mass, p, num_probes):
    """The budget b of step 3, first, then those that near-ties at the threshold would also allow."""
    running = mass[descending(mass)].cumsum(0)
    target, slack = p * mass.sum(), MASS_TIE * num_probes
    exact = int((running < target).sum()) + 1
    low = int((running < target - slack).sum()) + 1
    high = int((running < target + slack).sum()) + 1
    n = len(mass)
    return [min(exact, n)] + [b for b in range(low, min(high, n) + 1) if b != exact]


def deterministic_set(score, forced, budget):
    kept = forced.clone()
    for j in descending(score).tolist():
        if int(kept.sum()) >= budget:
            break
        kept[j] = True
    return kept


def tied_to_rank(score, budget, differing):
    threshold = score[descending(score)[budget - 1]]
    return bool(((score[differing].log() - threshold.log()).abs() < LOG_SCORE_TIE).all())


class Sample:
    """Who sees whom in each layer for one recorded sample; counts what it checked."""

    def __init__(self, row, image_token, video_token):
        self.row = row
        self.n = len(row["prompt_ids"])
        visual = [t in (image_token, video_token) for t in row["prompt_ids"]]
        self.visual = torch.tensor(visual + [False] * len(row["response"]))
        self.kept_mass, self.kept_counts, self.decisions, self.ties, self.cache_sizes = [], [], 0, 0, []

    def forced(self, entries):
        force = torch.zeros(len(entries), dtype=torch.bool)
        if "last" in self.row["force_keep"]:
            force[-1] = True
        if "first" in self.row["force_keep"]:
            force[0] = True
        if "text" in self.row["force_keep"]:
            force |= ~self.visual[entries]
        return force

    def choose(self, scores, probes, entries, recorded, layer, sampled):
        """Steps 2-5 over `entries` (rows of the sequence). Returns the set to go on with."""
        heads = scores.shape[0]
        mass, seen = torch.zeros(len(entries), dtype=torch.float64), torch.zeros(len(entries))
        for c in probes:
            below = entries <= c
            mass[below] += torch.softmax(scores[:, c, entries[below]], -1).sum(0) / heads
            seen += below
        score = mass / seen.clamp(min=1)
        p, forced = self.row["p"], self.forced(entries)
        self.decisions += 1
        if p == 1:
            assert recorded is None or recorded.all(), "p = 1 dropped a token"
            return torch.ones(len(entries), dtype=torch.bool), mass
        allowed = budgets(mass, p, len(probes))
        if recorded is None:  # the sets are the oracle's own
            return deterministic_set(score, forced, max(allowed[0], int(forced.sum()))), mass
        for place, budget in enumerate(allowed):
            if sampled:
                explained = self.sampled_set_agrees(score, forced, budget, recorded, layer)
            else:
                own = deterministic_set(score, forced, max(budget, int(forced.sum())))
                if place == 0 and bool((own == recorded).all()):
                    return recorded, mass
                explained = tied_to_rank(score, budget, own != recorded)
            if explained:
                self.ties += explained != "exactly" or place > 0
                return recorded, mass
        raise AssertionError(
            f"layer {layer}, p {p}: recorded set keeps {int(recorded.sum())}, budgets {allowed}, "
            f"{len(entries)} entries: no near-tie explains it")

    def sampled_set_agrees(self, score, forced, budget, recorded, layer):
        epsilon = 1e-6 / len(score)
        threshold = score[descending(score)[budget - 1]]
        z = ((score + epsilon).log() - (threshold + epsilon).log()) / self.row["selection_temperature"]
        uniform = torch.tensor(
            [(philox(self.row["seed"], (j, layer, 0, KEEP_STREAM))[0] >> 8) / 2**24 for j in range(len(score))],
            dtype=torch.float64)
        differing = (forced | (uniform < z.sigmoid())) != recorded
        if not differing.any():
            return "exactly"
        return bool(((z.sigmoid() - uniform).abs()[differing] < 1e-4).all())

    def recorded(self, event, layer):
        if self.row["kept"] is None:
            return None
        return torch.tensor([bit == "1" for bit in self.row["kept"][event][layer]])

    def visibility(self, layer, scores):
        total, n, interval = scores.shape[1], self.n, self.row["rescore_interval"]
        visible = torch.zeros(total, total, dtype=torch.bool)
        kept, mass = self.choose(scores, self.row["probes"], torch.arange(n), self.recorded(0, layer), layer,
                                 self.row["stochastic"])
        self.kept_counts.append(int(kept.sum()))
        self.kept_mass.append(float(mass[kept].sum()) / len(self.row["probes"]))
        visible[:n, :n] = (kept[:, None] & kept[None, :]).tril()
        cache = torch.arange(n)[kept]
        for t in range(total - n):
            cache = torch.cat([cache, torch.tensor([n + t])])
            visible[n + t, cache] = True
            if interval and (t + 1) % interval == 0:
                probes = range(n + t + 1 - interval, n + t + 1)
                survivors, _ = self.choose(scores, probes, cache, self.recorded((t + 1) // interval, layer), layer,
                                           False)
                cache = cache[survivors]
        self.cache_sizes.append(len(cache))
        return visible


CURRENT = None


def oracle_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    groups = query.shape[1] // key.shape[1]
    q, k, v = (x[0].double() for x in (query, key, value))
    k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
    scores = q @ k.transpose(1, 2) * scaling
    visible = CURRENT.visibility(module.layer_idx, scores)
    weights = torch.softmax(scores.masked_fill(~visible, -torch.inf), -1).nan_to_num(0.0)
    return (weights @ v).transpose(0, 1)[None].to(query.dtype), None


def model_inputs(model, directory, row, ids):
    ids = torch.tensor([ids])
    inputs = {"input_ids": ids}
    if row["images"]:
        processor = AutoImageProcessor.from_pretrained(directory)
        pixels = processor(images=[Image.open(path) for path in row["images"]], return_tensors="pt")
        inputs.update(pixel_values=pixels["pixel_values"], image_grid_thw=pixels["image_grid_thw"],
                      mm_token_type_ids=(ids == model.config.image_token_id).int())
    return inputs


def close(name, given, wanted, tolerance):
    worst = (torch.tensor(given, dtype=torch.float64) - torch.tensor(wanted, dtype=torch.float64)).abs().max()
    assert worst <= tolerance, f"{name}: differs by {worst:.3g}, {tolerance:g} is allowed"
    return float(worst)


def judge_sample(model, row):
    global CURRENT
    CURRENT = sample = Sample(row, model.config.image_token_id, model.config.video_token_id)
    response = row["response"]
    with torch.no_grad():
        logits = model(**model_inputs(model, row["model"], row, row["prompt_ids"] + response[:-1])).logits[0]
    logits = logits[sample.n - 1:].double() / row["temperature"]
    logits[:, row["suppressed"]] = -torch.inf
    wanted = torch.log_softmax(logits, -1).gather(1, torch.tensor(response)[:, None])[:, 0].tolist()

    worst = close("log-probs", row["logprobs"], wanted, LOGPROB_TOLERANCE)
    worst = max(worst, close("scored log-probs", row["scored_logprobs"], wanted, LOGPROB_TOLERANCE))
    assert row["scored_kept"] == row["kept"], "generated and teacher-forced kept sets differ"
    interval = row["rescore_interval"]
    events = 1 + (len(response) - 1) // interval
    assert len(row["kept"]) == events, f"{len(row['kept'])} events, {events} expected"
    check_ratios(row, sample)
    return sample, worst


def check_ratios(row, sample):
    layers, n = row["kept"][0], sample.n
    close("kept_ratio", [row["kept_ratio"]], [sum(b.count("1") for b in layers) / n / len(layers)], 1e-12)
    visual = [j for j in range(n) if sample.visual[j]]
    if visual:
        share = sum(b[j] == "1" for b in layers for j in visual) / len(visual) / len(layers)
        close("visual_kept_ratio", [row["visual_kept_ratio"]], [share], 1e-12)
    close("kept_mass", [row["kept_mass"]], [sum(sample.kept_mass) / len(layers)], 1e-5)
    held = sum(sample.cache_sizes) / len(layers) / (n + len(row["response"]) - 1)
    close("kv_kept_ratio", [row["kv_kept_ratio"]], [held], 1e-12)
    close("scored kv_kept_ratio", [row["scored_kv_kept_ratio"]], [held], 1e-12)


def judge_greedy(model, row):
    model.config.text_config._attn_implementation = "eager"
    output = model.generate(**model_inputs(model, row["model"], row, row["prompt_ids"]), do_sample=False,
                            max_new_tokens=row["max_response_length"])
    model.config.text_config._attn_implementation = "oracle"
    ids = output[0, len(row["prompt_ids"]):].tolist()
    assert ids == row["response"], f"greedy ids differ from transformers: {row['response']} against {ids}"


def main(path):
    torch.set_num_threads(1)
    AttentionInterface.register("oracle", oracle_attention)
    AttentionMaskInterface.register("oracle", sdpa_mask)
    models, decisions, ties, dropped = {}, 0, 0, 0
    for number, line in enumerate(open(path), 1):
        row = json.loads(line)
        if row["model"] not in models:
            model = Qwen2_5_VLForConditionalGeneration.from_pretrained(row["model"], attn_implementation="eager")
            model.config.text_config._attn_implementation = "oracle"
            models[row["model"]] = model.float().eval()
        model = models[row["model"]]
        sample, worst = judge_sample(model, row)
        if row["greedy"]:
            judge_greedy(model, row)
        decisions, ties = decisions + sample.decisions, ties + sample.ties
        dropped += row["kept_ratio"] < 0.9
        print(f"{number}: {os.path.basename(row['model'])} n={sample.n} T={len(row['response'])} p={row['p']} "
              f"tau={row['kept_ratio']:.3f} kv={row['kv_kept_ratio']:.3f} events={len(row['kept'])} "
              f"max|dlp|={worst:.2e} near-ties={sample.ties}")
    print(f"{decisions} kept sets, {ties} explained by near-ties")
    assert decisions > 0 and dropped > 0, "nothing sparse was judged"
    assert ties <= MAX_TIE_SHARE * decisions, f"{ties} near-ties in {decisions} kept sets"


if __name__ == "__main__":
    main(sys.argv[1])
