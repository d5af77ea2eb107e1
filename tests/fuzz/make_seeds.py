"""Small valid inputs for every fuzz target: DIR/TARGET/NAME. Usage: make_seeds.py DIR REPOSITORY"""
import base64
import io
import json
import os
import struct
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import save
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

DIR, REPOSITORY = sys.argv[1:3]
sys.path.append(os.path.join(REPOSITORY, "tests", "model"))


def seed(target, name, content):
    os.makedirs(os.path.join(DIR, target), exist_ok=True)
    with open(os.path.join(DIR, target, name), "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def images():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (13, 17, 4)).astype(np.uint8), "RGBA")
    rgb = picture.convert("RGB")
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        seed("image_png", mode, encoded(picture.convert(mode), "PNG"))
    seed("image_png", "grey16", encoded(picture.convert("I").convert("I;16"), "PNG"))
    seed("image_png", "exif", encoded(rgb, "PNG", exif=exif(6)))
    seed("image_png", "key", encoded(rgb.quantize(7), "PNG", transparency=3))
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            seed("image_jpeg", f"{mode}{progressive}", encoded(picture.convert(mode), "JPEG", progressive=progressive))
    seed("image_jpeg", "exif", encoded(rgb, "JPEG", exif=exif(8), xmp=b'<x tiff:Orientation="3"/>'))
    for name, options in {"lossy": {}, "lossless": {"lossless": True}, "exif": {"exif": exif(5)},
                          "animation": {"save_all": True, "append_images": [rgb.rotate(180)]}}.items():
        seed("image_webp", name, encoded(picture, "WEBP", **options))
        seed("image_webp", f"{name}_rgb", encoded(rgb, "WEBP", **options))
    for colors in (2, 16, 256):
        seed("image_gif", f"colors{colors}", encoded(rgb.quantize(colors), "GIF"))
    seed("image_gif", "animation", encoded(rgb, "GIF", save_all=True, append_images=[rgb.rotate(180)], transparency=1))


def tokenizer():
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    pattern = (r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
               r"""|\s*[\r\n]+|\s+(?!\S)|\s+""")
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(["the cat sat on the mat"] * 3, trainers.BpeTrainer(
        vocab_size=270, special_tokens=["<|im_start|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    seed("tokenizer_json", "own", json.dumps(json.loads(made.to_str())))
    for name, text in {"ascii": "The cat's 12 mats  \n\n", "marks": "e\u0301\u0323 \u1100\u1161\u11a8 \u0958",
                       "scripts": "\u4e2d\u6587 \u0418 \U0001f600\u200d", "broken": b"\xff\xe2\x82 \xed\xa0\x80",
                       "special": "<|im_start|>user\n<image><video><|im_end|>"}.items():
        seed("text", name, text)


def rows():
    gif = base64.b64encode(b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;").decode()
    for i, row in enumerate([
            {"problem": "<image>What?", "answer": "4", "images": [gif]},
            {"problem": ["A?", "B?"], "answer": [1, 2.5], "kind": "x", "source": "s"},
            {"prompt": [{"role": "user", "content": "<image>Q"}], "images": [{"bytes": gif, "path": None}],
             "reward_model": {"style": "rule", "ground_truth": "7"}, "extra_info": {"index": [3, None]}},
            {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": [
                {"type": "image", "image": "data:image/gif;base64," + gif}, {"type": "text", "text": "\u00e9"}]},
                {"role": "assistant", "content": "A"}]}]):
        seed("row", str(i), json.dumps(row))


def tables():
    for i, table in enumerate(("index\tquestion\tanswer\n1\tWhat?\t['a', \"b\"]\n2\t\"two\n lines\t\"\"x\"\"\"\t1e5\n",
                               "a\tb\r\n\"\"\t\r\n\n\t\t\n x\"y\t['\\u00e9\\x41', 2]")):
        seed("table", str(i), table)


def checkpoints():
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b.c": np.zeros(0, np.int64)}
    seed("safetensors", "two", save(tensors, {"format": "pt"}))
    seed("safetensors", "none", struct.pack("<Q", 2) + b"{}")
    for name in os.listdir(os.path.join(REPOSITORY, "configs", "models")):
        if name.endswith(".json"):
            with open(os.path.join(REPOSITORY, "configs", "models", name), "rb") as file:
                seed("config_json", name, file.read())


def videos():
    """A clip of every container."""
    from video_clips import H264, VP8, ffmpeg, source
    for name, encoder in {"h264.mp4": H264, "mpeg4.mp4": ["-c:v", "mpeg4"], "vp8.webm": VP8, "p.gif": [],
                          "mjpeg.avi": ["-c:v", "mjpeg"]}.items():
        seed("video", name, b"")  # its folder
        ffmpeg(*source(32, 24, 10, 0.5), *encoder, os.path.join(DIR, "video", name))


images()
videos()
tokenizer()
rows()
tables()
checkpoints()
