"""Rows with videos beside rows with images, both and neither, for each family: what `logprobs` and `generate` say
against transformers, then sft, training, data check and preview on the same rows.

usage: video.py ZIPRL FIXTURES WORK CASE
"""

import base64
import json
import os
import sys

import workbench
from data import Page
from qwen2_vl import write_architecture
from second_setup import check_agreement
from workbench import check, check_finite, read_json_lines, write_rows

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "model"))
from video_clips import H264, VP8, ffmpeg, frames_per_second, read_frames, source

# name: size, frames a second, seconds, encoder
CLIPS = {"a.mp4": ((48, 32, 25, 2), H264), "b.webm": ((37, 45, 12, 3), VP8), "c.gif": ((32, 32, 5, 1), []),
         "d.avi": ((40, 24, 10, 0.5), ["-c:v", "mjpeg"])}


def rows_of(bench):
    """Each row with its images and clips in order; paths are relative to the rows."""
    for name, (shape, encoder) in CLIPS.items():
        ffmpeg(*source(*shape), *encoder, bench.path(name))
    workbench.draw(bench.path("p.png"), (40, 28), "red", 1)
    workbench.draw(bench.path("q.png"), (24, 50), "blue", 2)
    with open(bench.path("b.webm"), "rb") as file:
        inline = "data:video/webm;base64," + base64.b64encode(file.read()).decode()
    return [(dict(problem="<video>What happens?", videos=["a.mp4"]), [], ["a.mp4"]),
            (dict(problem="<image>Is it in <video>?", images=["p.png"], videos=["b.webm"]), ["p.png"], ["b.webm"]),
            (dict(problem="<video><image> or <image><video> ?", images=["q.png", "p.png"], videos=["c.gif", "a.mp4"]),
             ["q.png", "p.png"], ["c.gif", "a.mp4"]),
            (dict(problem="No picture at all?"), [], []),
            (dict(problem="<image>Only a picture.", images=["q.png"]), ["q.png"], []),
            (dict(problem="<video>Short", videos=["d.avi"]), [], ["d.avi"]),
            (dict(problem="<video>In the row itself", videos=[inline]), [], ["b.webm"])]


def content_of(problem):
    parts = []
    for piece in problem.replace("<image>", "\0image\0").replace("<video>", "\0video\0").split("\0"):
        if piece in ("image", "video"):
            parts.append({"type": piece})
        elif piece:
            parts.append({"type": "text", "text": piece})
    return parts


class Judge:
    """transformers' model and processor of a checkpoint; frames come from the ffmpeg program."""

    def __init__(self, bench, checkpoint):
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        torch.set_num_threads(2)
        self.bench = bench
        self.model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(checkpoint)

    def inputs(self, problem, images, clips):
        import torch
        from PIL import Image
        from transformers.video_utils import VideoMetadata

        prompt = self.processor.apply_chat_template([{"role": "user", "content": content_of(problem)}],
                                                    add_generation_prompt=True)
        more = {}
        if images:
            more["images"] = [Image.open(self.bench.path(name)) for name in images]
        if clips:
            frames = [read_frames(self.bench.path(name)) for name in clips]
            more.update(
                videos=[torch.from_numpy(clip.copy()).permute(0, 3, 1, 2) for clip in frames],
                video_metadata=[VideoMetadata(total_num_frames=len(clip), fps=frames_per_second(
                    self.bench.path(name), len(clip))) for name, clip in zip(clips, frames)],
                do_sample_frames=True, fps=2.0)
        return self.processor(text=[prompt], return_tensors="pt", **more)

    def judge_logprobs(self, line, response, problem, images, clips):
        import torch

        inputs = self.inputs(problem, images, clips)
        ids = self.processor.tokenizer(response)["input_ids"]
        check(line["prompt_ids"] == inputs["input_ids"][0].tolist(), "prompt ids of", problem)
        length = len(line["prompt_ids"])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([ids])], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        types = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.cat([types, types.new_zeros(1, len(ids))], 1)
        with torch.no_grad():
            logits = self.model(**inputs).logits[0, length - 1:-1]
        wanted = torch.log_softmax(logits.float(), -1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        worst = (wanted - torch.tensor(line["logprobs"])).abs().max().item()
        check(worst <= 1e-4, problem, ": log-probs differ by", worst)
        return worst

    def greedy(self, inputs, tokens):
        import torch

        special = [self.model.config.image_token_id, self.model.config.video_token_id,
                   self.model.config.vision_start_token_id, self.model.config.vision_end_token_id,
                   self.processor.tokenizer.convert_tokens_to_ids("<|vision_pad|>")]
        special += list(range(len(self.processor.tokenizer), self.model.config.get_text_config().vocab_size))
        with torch.no_grad():
            out = self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens, suppress_tokens=special)
        return self.processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)


def check_with_transformers(bench, checkpoint, rows):
    judge = Judge(bench, checkpoint)
    # `logprobs` takes files.
    told = [dict(row, videos=clips, response="first red, then blue") for row, _, clips in rows]
    write_rows(bench.path("told.jsonl"), told)
    lines = bench.run("logprobs", checkpoint, bench.path("told.jsonl")).splitlines()
    worst = [judge.judge_logprobs(json.loads(line), row["response"], row["problem"], images, clips)
             for line, row, (_, images, clips) in zip(lines, told, rows, strict=True)]
    problem, images, clips = "<image>which is <video>", ["p.png"], ["b.webm"]
    inputs = judge.inputs(problem, images, clips)
    printed = bench.run("generate", checkpoint, "--prompt", problem, "--image", bench.path("p.png"), "--video",
                        bench.path("b.webm"), "--p", "1", "--max-response-length", "10")
    text = judge.greedy(inputs, 10)
    check(printed.startswith(text + "\n"), repr(printed), "and", repr(text))
    check(f"of {inputs['input_ids'].shape[1]} prompt tokens" in printed, printed)
    print(f"log-probs of {len(worst)} rows within {max(worst):.1e}, greedy text equal")


def check_data_commands(bench, checkpoint):
    bench.run("data", "check", bench.path("rows.jsonl"), "--model", checkpoint)
    bench.run("data", "preview", bench.path("rows.jsonl"), "--model", checkpoint, "--out", bench.path("page.html"))
    with open(bench.path("page.html"), encoding="utf-8") as file:
        page = Page(file.read())
    frames = [image for image in page.images if image.startswith("data:image/png;base64,")]
    check(len(frames) >= 3 + 6 * 5, len(frames), "pictures on the page")
    check(any("a.mp4, 48 x 32, 50 frames, 25 a second" in text for text in page.texts), page.texts)


def check_bad_rows(bench, checkpoint):
    """Each is found by `data check`, and the first of them ends a run, which names row and file."""
    with open(bench.path("a.mp4"), "rb") as file:
        whole = file.read()
    with open(bench.path("cut.mp4"), "wb") as file:
        file.write(whole[:len(whole) * 2 // 3])
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", bench.path("sound.mp4"))
    with open(bench.path("c.gif"), "rb") as file:
        gif = bytearray(file.read())
    gif[6:10] = b"\xff" * 4
    with open(bench.path("bomb.gif"), "wb") as file:
        file.write(gif)
    bad = {"cut.mp4": "cut off", "sound.mp4": "no video stream", "bomb.gif": "above the limit", "p.png": "not an MP4",
           "none.mp4": "No such file"}
    rows = [dict(problem="<video>?", videos=[name], answer="x") for name in bad]
    rows.append(dict(problem="?", prompt=[{"role": "user", "content": [{"type": "video", "video": "a.mp4", "fps": 1}]}],
                     answer="x"))
    rows += [dict(problem="<video><video>", videos=["a.mp4"], answer="x"),
             dict(problem="<video>", videos=["a.mp4"], answer="x")]
    write_rows(bench.path("bad.jsonl"), rows)
    done = bench.call("data", "check", bench.path("bad.jsonl"), "--model", checkpoint)
    found = {row["row"]: row for row in map(json.loads, done.stdout.splitlines())}
    check(done.returncode == 1 and sorted(found) == [*range(1, 8)], done.stdout, done.stderr)
    for i, (name, reason) in enumerate(bad.items()):
        check(name in found[i + 1]["reason"] and reason in found[i + 1]["reason"], found[i + 1])
        check(found[i + 1]["column"] == "videos", found[i + 1])
    check("'fps'" in found[6]["reason"] and "2 <video> marks" in found[7]["reason"], found)
    write_rows(bench.path("cut.jsonl"), rows[:1])
    done = bench.call("train", f"model.path={checkpoint}", f"data.train_files={bench.path('cut.jsonl')}", "rollout.n=2",
                      "actor.global_batch_size=1", "trainer.max_steps=1", f"trainer.output_dir={bench.path('cut')}")
    check(done.returncode == 1 and "row 1" in done.stderr and "cut.mp4" in done.stderr, done.stderr)


def check_training(bench, checkpoint):
    common = ["trainer.threads=2", "trainer.deterministic=true", "data.video_fps=3", "data.video_max_frames=4"]
    bench.run("sft", f"model.path={checkpoint}", f"sft.files={bench.path('rows.jsonl')}", "sft.steps=2",
              "sft.batch_size=7", "sft.optim.lr=1e-3", f"trainer.output_dir={bench.path('sft')}", *common)
    run = bench.path("run")
    bench.run("train", f"model.path={bench.path('sft', 'latest')}", f"data.train_files={bench.path('rows.jsonl')}",
              "data.max_response_length=4", "rollout.n=2", "actor.global_batch_size=7", "actor.optim.lr=1e-3",
              "reward.gate=none", "algorithm.sparsity=stochastic", "trainer.max_steps=2", "rollout.log_completions=true",
              f"trainer.output_dir={run}", *common)
    steps = read_json_lines(f"{run}/metrics.jsonl")
    check(len(steps) == 2, len(steps), "steps")
    check_finite(steps)
    check_agreement(steps)
    check(all(0 < step["tokens/visual_kept_ratio/mean"] <= 1 for step in steps), "visual kept ratio")
    check(steps[0]["actor/grad_norm"] > 0, "no gradient")
    check(len(read_json_lines(f"{run}/completions.jsonl")) == 2 * 7 * 2, "completions")


def judge_family(bench, checkpoint):
    rows = rows_of(bench)
    write_rows(bench.path("rows.jsonl"), [dict(row, answer="yes") for row, _, _ in rows])
    check_with_transformers(bench, checkpoint, rows)
    check_data_commands(bench, checkpoint)
    check_training(bench, checkpoint)


def qwen2_5_vl(bench):
    judge_family(bench, bench.fixture("tiny"))
    check_bad_rows(bench, bench.fixture("tiny"))


def qwen2_vl(bench):
    write_architecture(bench.path("architecture.json"))
    bench.run("init", "architecture.json", bench.path("model"), "--corpus", bench.fixture("rows.jsonl"), "--seed", "1")
    judge_family(bench, bench.path("model"))


if __name__ == "__main__":
    workbench.main({"qwen2_5_vl": qwen2_5_vl, "qwen2_vl": qwen2_vl})
