"""Videos against transformers' Qwen2VLVideoProcessor and the ffmpeg program. Usage: judge_video.py PROBE WORK_DIR CASE"""
import json
import math
import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import numpy as np
import torch
import transformers
from transformers.video_utils import VideoMetadata

from judging import check_equal, probe, write_json
from video_clips import clips_in, ffmpeg, frames_per_second, read_frames

PROBE, WORK, CASE = sys.argv[1:4]
CLIPS = os.path.join(WORK, "clips")  # by video_clips.py
DIR = os.path.join(WORK, CASE)
os.makedirs(DIR, exist_ok=True)


def ask(command, rows, *args):
    return [json.loads(line) for line in probe(PROBE, command, *args, lines=map(json.dumps, rows))]


def frames():
    """Every frame of every clip to the bit, and the rate."""
    clips = clips_in(CLIPS)
    rows = [{"video": path, "out": os.path.join(DIR, name + ".rgb")} for name, path in clips.items()]
    total = 0
    for (name, path), said in zip(clips.items(), ask("frames", rows)):
        want = read_frames(path)
        if "error" in said:
            sys.exit(f"{name}: {said['error']}")
        fps = frames_per_second(path, len(want))
        size = [said["frames"], said["height"], said["width"]]
        if size != list(want.shape[:3]) or not math.isclose(said["fps"], fps, rel_tol=1e-12):
            sys.exit(f"{name}: {said}, expected {want.shape[:3]} and {fps} frames a second")
        got = np.fromfile(os.path.join(DIR, name + ".rgb"), np.uint8).reshape(want.shape)
        if not np.array_equal(got, want):
            off = np.argwhere((got != want).any(axis=(1, 2, 3)))[:, 0]
            sys.exit(f"{name}: frames {off.tolist()[:10]} differ, by up to "
                     f"{np.abs(got.astype(int) - want).max()} grey levels")
        total += len(want)
    print(f"frames: {total} of {len(clips)} clips equal")


def video_processor(directory, **options):
    """transformers' processor, its options written where the probe finds them."""
    os.makedirs(directory, exist_ok=True)
    processor = transformers.Qwen2VLVideoProcessor(do_sample_frames=True, **options)
    processor.save_pretrained(directory)
    return processor


def judged(processor, clip, fps):
    """Sampled, resized and cut by transformers; without sampling where that divides by zero."""
    few = len(clip) < processor.temporal_patch_size
    metadata = VideoMetadata(total_num_frames=len(clip), fps=fps, width=clip.shape[2], height=clip.shape[1],
                             duration=len(clip) / fps, frames_indices=list(range(len(clip))))
    batch = processor(videos=[torch.from_numpy(clip.copy()).permute(0, 3, 1, 2)], video_metadata=[metadata],
                      do_sample_frames=not few, return_metadata=True, return_tensors="pt")
    return batch["pixel_values_videos"].numpy(), batch["video_grid_thw"][0].tolist(), batch["video_metadata"][0]


def pixels():
    """Grid, seconds, indices, and grey levels off by one on at most 0.1 % of a clip's values."""
    clips = {name: (path, read_frames(path)) for name, path in clips_in(CLIPS).items()}
    options = [dict(fps=2.0, size=dict(shortest_edge=56 * 56, longest_edge=112 * 112)),
               dict(fps=4.0, size=dict(shortest_edge=28 * 28, longest_edge=56 * 56), max_frames=6),
               dict(fps=1.0, min_frames=8, size=dict(shortest_edge=28 * 28, longest_edge=200 * 200)),
               dict(fps=8.0, patch_size=8, merge_size=2, temporal_patch_size=3, min_frames=3,
                    size=dict(shortest_edge=28 * 28, longest_edge=90 * 90)),
               dict(num_frames=2, size=dict(shortest_edge=28 * 28, longest_edge=90 * 90)),
               dict(fps=5.0, cap_pixels_per_frame=True, max_video_tokens=16,
                    size=dict(shortest_edge=28 * 28, longest_edge=112 * 112))]
    compared = 0
    for number, option in enumerate(options):
        directory = os.path.join(DIR, f"processor_{number}")
        processor = video_processor(directory, **option)
        level = 1.0 / (255.0 * max(processor.image_std))
        names = [name for name, (_, clip) in clips.items() if len(clip) >= option.get("num_frames", 1)]
        rows = [{"video": clips[name][0], "out": os.path.join(DIR, name + ".f32"), "memory": number % 2 == 1}
                for name in names]
        for name, row, said in zip(names, rows, ask("pixels", rows, directory)):
            path, clip = clips[name]
            want, grid, metadata = judged(processor, clip, frames_per_second(path, len(clip)))
            seconds = np.float32(processor.temporal_patch_size / metadata.sampled_fps)
            expected = {"grid": grid, "indices": list(map(int, metadata.frames_indices))}
            if {key: said.get(key) for key in expected} != expected or np.float32(said["seconds"]) != seconds:
                sys.exit(f"{name}, {option}: {said}, expected {expected} and {seconds} s")
            got = np.fromfile(row["out"], np.float32).reshape(want.shape)
            off = np.abs(got.astype(np.float64) - want)
            if off.max() > 1.01 * level or (off > 0.01 * level).mean() > 1e-3:
                sys.exit(f"{name}, {option}: {off.max() / level:.2f} grey levels, "
                         f"{100 * (off > 0.01 * level).mean():.3f} % of the values")
            compared += 1
    print(f"pixels: {compared} clips equal")


def sampling():
    """Indices, grid and seconds of 12,000 random lengths and rates, in several configurations."""
    rng = random.Random(3)
    options = [dict(fps=2.0), dict(fps=2.0, max_frames=32, min_frames=16), dict(fps=0.5), dict(num_frames=16),
               dict(fps=7.3, temporal_patch_size=3, min_frames=5, max_frames=100),
               dict(fps=4, cap_pixels_per_frame=True, max_video_tokens=6000)]
    for number, option in enumerate(options):
        directory = os.path.join(DIR, f"processor_{number}")
        processor = video_processor(directory, **option)
        unit = processor.temporal_patch_size
        rows, want = [], []
        while len(rows) < 2000:
            row = {"frames": int(10 ** rng.uniform(0.31, 5)), "fps": rng.choice([23.976, 24.0, 25.0, 29.97, 30.0, 60.0,
                                                                               rng.uniform(0.2, 120)]),
                   "width": rng.randrange(30, 4000), "height": rng.randrange(30, 3000)}
            metadata = VideoMetadata(total_num_frames=row["frames"], fps=row["fps"])
            if row["frames"] < max(unit, option.get("num_frames", 1)):
                continue
            indices = processor.sample_frames(metadata).tolist()
            metadata.frames_indices = indices
            bounds = dict(max_pixels=processor.size["longest_edge"])
            if option.get("cap_pixels_per_frame"):
                budget = int(processor.max_video_tokens * 28 * 28 * 0.9)
                bounds["max_pixels"] = max(min(bounds["max_pixels"], budget * unit // len(indices)),
                                           int(processor.size["shortest_edge"] * 1.05))
            from transformers.models.qwen2_vl.video_processing_qwen2_vl import smart_resize
            height, width = smart_resize(row["height"], row["width"], 28,
                                         min_pixels=processor.size["shortest_edge"], **bounds)
            rows.append(row)
            want.append({"grid": [-(-len(indices) // unit), height // 14, width // 14], "indices": indices,
                         "seconds": float(np.float32(unit / metadata.sampled_fps))})
        got = ask("sample", rows, directory)
        for one in got:
            one["seconds"] = float(np.float32(one.get("seconds", -1)))
        check_equal(f"sampling {option}", got, want, lambda i: str(rows[i]))


def prompts():
    """Ids of text, images and videos in any order, as Qwen2_5_VLProcessor gives them."""
    from PIL import Image
    tokenizer_dir = os.path.join(DIR, "model")
    os.makedirs(tokenizer_dir, exist_ok=True)
    from judging import random_string, random_strings
    base = os.path.join(os.path.dirname(PROBE), "model_probe")
    with open(os.path.join(tokenizer_dir, "tokenizer.json"), "w") as file:
        corpus = random_strings(200, 9)
        file.write("\n".join(probe(base, "train", 600, lines=[text.encode().hex() for text in corpus])) + "\n")
    probe(base, "files", tokenizer_dir, 14, 2, 2, 28 * 28, 56 * 56)
    config = transformers.Qwen2_5_VLConfig(
        text_config=dict(vocab_size=640, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=2, num_key_value_heads=1, bos_token_id=None, eos_token_id=602,
                         rope_parameters=dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 3, 3])),
        vision_config=dict(depth=2, hidden_size=32, intermediate_size=64, num_heads=2, window_size=56,
                           out_hidden_size=32, fullatt_block_indexes=[1]),
        image_token_id=612, video_token_id=613, vision_start_token_id=609, vision_end_token_id=610)
    write_json(os.path.join(tokenizer_dir, "config.json"), config.to_dict())
    processor = transformers.AutoProcessor.from_pretrained(tokenizer_dir)
    video_processor(tokenizer_dir, fps=2.0, size=dict(shortest_edge=28 * 28, longest_edge=56 * 56))
    processor.video_processor = transformers.Qwen2VLVideoProcessor.from_pretrained(tokenizer_dir)
    clips = {name: path for name, path in clips_in(CLIPS).items() if name in ("even.mp4", "vp9_odd.webm", "odd.gif",
                                                                               "three.mp4")}
    clips = [(path, read_frames(path)) for path in clips.values()]
    images = []
    for i in range(3):
        images.append((os.path.join(DIR, f"{i}.png"), Image.new("RGB", (30 + 40 * i, 90 - 20 * i), (i * 60, 9, 200))))
        images[-1][1].save(images[-1][0])
    rng = random.Random(4)
    rows, want = [], []
    for _ in range(60):
        content, media, used_images, used_clips = [], [], [], []
        for _ in range(rng.randrange(1, 6)):
            kind = rng.choice(["text", "image", "video"])
            content.append({"type": kind})
            if kind == "text":
                content[-1]["text"] = random_string(rng, 10).replace("<|", "")
            elif kind == "image":
                used_images.append(rng.choice(images))
                media.append({"kind": kind, "path": used_images[-1][0]})
            else:
                used_clips.append(rng.choice(clips))
                media.append({"kind": kind, "path": used_clips[-1][0]})
        messages = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        extra = {}
        if used_clips:
            extra = dict(videos=[torch.from_numpy(clip.copy()).permute(0, 3, 1, 2) for _, clip in used_clips],
                         video_metadata=[VideoMetadata(total_num_frames=len(clip),
                                                       fps=frames_per_second(path, len(clip)))
                                         for path, clip in used_clips])
        batch = processor(text=[text], images=[image for _, image in used_images] or None, **extra)
        rows.append({"messages": messages, "media": media, "generate": True})
        want.append(list(map(int, batch["input_ids"][0])))
    check_equal("prompt ids", ask("prompt", rows, tokenizer_dir), want, lambda i: str(rows[i]))


def payload(data):
    """Where compressed frames lie, rather than what the container says of them."""
    box = data.find(b"mdat")
    if box < 0:
        return len(data) // 4, 3 * len(data) // 4
    return box + 4, max(box + 5, box - 4 + int.from_bytes(data[box - 4:box], "big") - 32)


def damaged():
    """What is cut off anywhere is an error; what is overwritten is an error or has all its frames. (A GIF's chain of
    blocks may be hit so that it swallows frames and is a good chain again.)"""
    rng = random.Random(5)
    clips = clips_in(CLIPS)
    cut, struck = [], []
    for name, path in clips.items():
        data = open(path, "rb").read()
        places = {len(data) - 1, len(data) // 2, *(rng.randrange(1, len(data)) for _ in range(12))}
        for place in places:
            out = os.path.join(DIR, f"cut_{place}_{name}")
            with open(out, "wb") as file:
                file.write(data[:place])
            cut.append({"video": out, "out": os.devnull})
        for i in range(6):
            begin, end = payload(data)
            at = rng.randrange(begin, end)
            out = os.path.join(DIR, f"struck_{i}_{name}")
            with open(out, "wb") as file:
                file.write(data[:at] + bytes(rng.randrange(256) for _ in range(32)) + data[at + 32:])
            struck.append({"video": out, "out": os.devnull, "name": name})
    for row, said in zip(cut, ask("frames", cut)):
        if row["video"] not in said.get("error", ""):
            sys.exit(f"{row['video']} is cut off: {said}")
    refused = 0
    for row, said in zip(struck, ask("frames", struck)):
        want = len(read_frames(clips[row["name"]]))
        if "error" in said:
            refused += 1
        elif said["frames"] != want and not row["name"].endswith(".gif"):
            sys.exit(f"{row['video']}: {said}, the clip has {want} frames")
    print(f"damaged: {len(cut)} cut off clips refused; of {len(struck)} struck ones {refused}")
    if refused < len(struck) // 4:
        sys.exit("hardly any damage was seen")


def refused():
    """What is no video that may be read, each with its reason."""
    clips = clips_in(CLIPS)
    path = lambda name: os.path.join(DIR, name)
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path("sound_only.mp4"))
    open(path("empty.mp4"), "wb").close()
    open(path("text.mp4"), "w").write("#EXTM3U\nhttp://127.0.0.1:9/a.ts\n" * 9)
    os.makedirs(path("folder.mp4"), exist_ok=True)
    if not os.path.exists(path("pipe.mp4")):
        os.mkfifo(path("pipe.mp4"))
    gif = bytearray(open(clips["odd.gif"], "rb").read())
    gif[6:10] = b"\xff\xff\xff\xff"
    open(path("bomb.gif"), "wb").write(gif)
    avi = open(clips["mpeg4.avi"], "rb").read()
    open(path("codec.avi"), "wb").write(avi.replace(b"FMP4", b"cvid"))
    mp4 = open(clips["even.mp4"], "rb").read()
    open(path("bomb.mp4"), "wb").write(mp4.replace((96).to_bytes(2, "big") + (64).to_bytes(2, "big") + b"\0\x48",
                                                   b"\xff\xf0\xff\xf0\0\x48"))
    expected = {"sound_only.mp4": "no video stream", "empty.mp4": "is empty", "text.mp4": "not an MP4",
                "folder.mp4": "no regular file", "pipe.mp4": "no regular file", "missing.mp4": "No such file",
                "bomb.gif": "above the limit", "bomb.mp4": "above the limit", "codec.avi": "is not supported"}
    rows = [{"video": path(name), "out": os.devnull} for name in expected]
    for (name, reason), said in zip(expected.items(), ask("frames", rows)):
        error = said.get("error", "")
        if reason not in error or name not in error:
            sys.exit(f"{name}: {said}, expected {reason!r}")
    print(f"refused: {len(expected)} files, each with its reason")


CASES = {f.__name__: f for f in (frames, pixels, sampling, prompts, damaged, refused)}
CASES[CASE]()
