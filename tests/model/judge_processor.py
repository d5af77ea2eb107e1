"""Chat template, prompts, pixels and positions against transformers. Usage: judge_processor.py PROBE WORK_DIR CASE"""
import io
import json
import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import numpy as np
import torch
import transformers
from PIL import Image
from transformers.image_utils import load_image

from judging import check_equal, easy_vqa_texts, hexed, ids_of, probe, random_string, random_strings, write_json

PROBE, WORK, CASE = sys.argv[1:4]
DIR = os.path.join(WORK, CASE)


def make_directory(patch=14, merge=2, min_pixels=56 * 56, max_pixels=28 * 28 * 1280):
    """Tokenizer and processor files written by this project, a config.json by transformers."""
    os.makedirs(DIR, exist_ok=True)
    corpus = sorted(set(easy_vqa_texts())) + random_strings(200, 9)
    with open(os.path.join(DIR, "tokenizer.json"), "w") as file:
        file.write("\n".join(probe(PROBE, "train", 600, lines=map(hexed, corpus))) + "\n")
    probe(PROBE, "files", DIR, patch, 2, merge, min_pixels, max_pixels)
    config = transformers.Qwen2_5_VLConfig(
        text_config=dict(vocab_size=640, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=2, num_key_value_heads=1, bos_token_id=None, eos_token_id=602,
                         rope_parameters=dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 3, 3])),
        vision_config=dict(depth=2, hidden_size=32, intermediate_size=64, num_heads=2, patch_size=patch,
                           spatial_merge_size=merge, window_size=patch * merge * 2, out_hidden_size=32,
                           fullatt_block_indexes=[1]),
        image_token_id=612, video_token_id=613, vision_start_token_id=609, vision_end_token_id=610)
    write_json(os.path.join(DIR, "config.json"), config.to_dict())
    return transformers.AutoProcessor.from_pretrained(DIR), config


def random_messages(rng, max_images=3, videos=False):
    """Turns of text, images and, if asked, videos in any order; at least one user turn."""
    messages = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": [{"type": "text", "text": random_string(rng, 20)}]})
    images = 0
    for turn in range(rng.randrange(1, 5)):
        content = []
        for _ in range(rng.randrange(0, 4)):
            if turn % 2 == 0 and images < max_images and rng.random() < 0.5:
                content.append({"type": rng.choice(["image", "video"]) if videos else "image"})
                images += 1
            else:
                content.append({"type": "text", "text": random_string(rng, rng.choice([1, 10, 40]))})
        messages.append({"role": "assistant" if turn % 2 else "user", "content": content})
    return messages, images


def strip_placeholders(messages):
    for message in messages:
        for item in message["content"]:
            if item["type"] == "text":
                item["text"] = item["text"].replace("<|image_pad|>", "").replace("<|video_pad|>", "")
    return messages


def chat_template():
    processor, _ = make_directory()
    import trl
    judge = open(os.path.join(os.path.dirname(trl.__file__), "chat_templates", "qwen2_5_vl.jinja")).read()
    written = open(os.path.join(DIR, "chat_template.jinja")).read()
    check_equal("template text", [written], [judge])
    bare = judge[:judge.index("{% if loop.first")] + judge[judge.index("<|im_start|>{{ message['role']"):]
    rng = random.Random(1)
    rows, want = [], []
    for _ in range(2000):
        messages, _ = random_messages(rng, max_images=6, videos=True)
        if rng.random() < 0.3:
            messages.append({"role": "user", "content": random_string(rng, 30)})
        row = {"messages": messages, "generate": rng.random() < 0.5, "vision_id": rng.random() < 0.3,
               "bare": rng.random() < 0.3}
        rows.append(row)
        want.append(processor.apply_chat_template(
            messages, chat_template=bare if row["bare"] else None, add_generation_prompt=row["generate"],
            add_vision_id=row["vision_id"], tokenize=False).encode().hex())
    check_equal("chat", probe(PROBE, "chat", lines=map(json.dumps, rows)), want, lambda i: str(rows[i]))


def save_images(count, seed, low=20, high=220):
    rng = np.random.default_rng(seed)
    images = []
    for i in range(count):
        height, width = rng.integers(low, high, 2)
        coarse = rng.integers(0, 256, (height // 7 + 1, width // 7 + 1, 3)).astype(np.uint8)
        array = np.array(Image.fromarray(coarse).resize((int(width), int(height)), Image.BILINEAR))
        noise = rng.integers(-40, 41, array.shape)
        image = Image.fromarray(np.clip(array + noise, 0, 255).astype(np.uint8))
        path = os.path.join(DIR, f"image_{i}.png")
        image.save(path)
        images.append((path, image))
    return images


def prompts():
    processor, _ = make_directory()
    images = save_images(6, 2)
    rng = random.Random(2)
    rows, want = [], []
    for _ in range(150):
        messages, count = random_messages(rng)
        messages = strip_placeholders(messages)
        chosen = [rng.choice(images) for _ in range(count)]
        generate = rng.random() < 0.5
        text = processor.apply_chat_template(messages, add_generation_prompt=generate, tokenize=False)
        rows.append({"messages": messages, "images": [path for path, _ in chosen], "generate": generate})
        batch = processor(text=[text], images=[image for _, image in chosen] or None)
        want.append(list(map(int, batch["input_ids"][0])))
    check_equal("prompt ids", ids_of(probe(PROBE, "prompt", DIR, lines=map(json.dumps, rows))), want,
                lambda i: str(rows[i]))
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(DIR)
    texts = random_strings(500, 7)
    want = [tokenizer(text)["input_ids"] for text in texts]
    path = os.path.join(DIR, "tokenizer.json")
    check_equal("AutoTokenizer ids", ids_of(probe(PROBE, "encode", path, lines=map(hexed, texts))), want,
                lambda i: texts[i])
    check_equal("AutoTokenizer ends", [tokenizer.eos_token, tokenizer.pad_token], ["<|im_end|>", "<|endoftext|>"])


def judge_pixels(processor, files):
    """Grey levels may differ by one on at most 0.1 % of the values of an image."""
    rows = [{"image": path, "out": f"{path}.raw"} for path in files]
    grids = [json.loads(line) for line in probe(PROBE, "pixels", DIR, lines=map(json.dumps, rows))]
    std = np.array(processor.image_processor.image_std)
    level = 1.0 / (255.0 * std.max())
    off = total = 0
    for row, grid in zip(rows, grids):
        batch = processor.image_processor(images=[load_image(row["image"])], return_tensors="pt")
        if batch["image_grid_thw"][0].tolist() != grid[:3]:
            sys.exit(f"{row['image']}: grid {grid[:3]}, expected {batch['image_grid_thw'][0].tolist()}")
        want = batch["pixel_values"].numpy().astype(np.float64)
        got = np.fromfile(row["out"], np.float32).reshape(want.shape)
        difference = np.abs(got - want)
        changed = difference > 1e-5
        if changed.mean() > 1e-3 or difference.max() > 1.001 / (255.0 * std.min()):
            sys.exit(f"{row['image']}: {100 * changed.mean():.3f} % of the values differ, by up to "
                     f"{difference.max() / level:.2f} grey levels")
        off += changed.sum()
        total += changed.size
    print(f"pixels: {len(files)} images, {off} of {total} values differ")


def pixels():
    for seed, (patch, merge, low, high, least, most) in enumerate([
            (14, 2, 20, 300, 56 * 56, 28 * 28 * 1280), (14, 2, 200, 700, 56 * 56, 28 * 28 * 64),
            (14, 2, 3, 60, 200 * 200, 28 * 28 * 1280), (4, 2, 10, 90, 64 * 64, 64 * 64), (7, 3, 30, 200, 2000, 90000)]):
        processor, _ = make_directory(patch, merge, least, most)
        judge_pixels(processor, [path for path, _ in save_images(12, seed, low, high)])


def easy_vqa_pixels():
    import easy_vqa
    processor, _ = make_directory(patch=4, min_pixels=64 * 64, max_pixels=64 * 64)
    paths = sorted(easy_vqa.get_test_image_paths().values())[:100]
    copies = []
    for path in paths:
        copy = os.path.join(DIR, os.path.basename(path))
        Image.open(path).save(copy)
        with open(path, "rb") as source, open(copy, "wb") as target:
            target.write(source.read())
        copies.append(copy)
    judge_pixels(processor, copies)


def png_bytes(color, depth, width, height, rows, chunks=(), interlace=0):
    """A PNG of any colour type, written by hand: Pillow writes only some."""
    import struct
    import zlib

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    body = b"".join(chunk(name, data) for name, data in chunks)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def png_kinds():
    processor, _ = make_directory(min_pixels=28 * 28, max_pixels=56 * 56)
    rng = np.random.default_rng(4)
    width, height = 37, 41
    files = []
    for color, channels, depths in ((0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (3, 1, (1, 2, 4, 8)),
                                    (4, 2, (8, 16)), (6, 4, (8, 16))):
        for depth in depths:
            for key in (False, True):
                if key and color in (4, 6) or key and (color, depth) == (0, 16):
                    continue
                row_bytes = (width * channels * depth + 7) // 8
                rows = [rng.integers(0, 256, row_bytes).astype(np.uint8).tobytes() for _ in range(height)]
                chunks = []
                if color == 3:
                    chunks.append((b"PLTE", rng.integers(0, 256, 3 << depth).astype(np.uint8).tobytes()))
                    if key:
                        chunks.append((b"tRNS", rng.integers(0, 256, max(1, (1 << depth) - 1))
                                       .astype(np.uint8).tobytes()))
                elif key and color == 0:
                    chunks.append((b"tRNS", bytes([0, 1 if depth < 8 else rows[0][0]])))
                elif key:
                    chunks.append((b"tRNS", b"".join(bytes([0, rows[0][i * depth // 8]]) for i in range(3))))
                path = os.path.join(DIR, f"kind_{color}_{depth}_{key}.png")
                with open(path, "wb") as file:
                    file.write(png_bytes(color, depth, width, height, rows, chunks))
                files.append(path)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        path = os.path.join(DIR, f"mode_{mode}.png")
        Image.fromarray(rng.integers(0, 256, (50, 33, 4)).astype(np.uint8), "RGBA").convert(mode).save(path)
        files.append(path)
    judge_pixels(processor, files)


def jpeg_kinds():
    processor, _ = make_directory(min_pixels=28 * 28, max_pixels=200 * 200)
    images = [image for _, image in save_images(4, 5, 33, 150)]
    files = []
    for i, image in enumerate(images):
        for name, options in (("444", dict(subsampling=0)), ("422", dict(subsampling=1)),
                              ("420", dict(subsampling=2)), ("progressive", dict(progressive=True)),
                              ("q20", dict(quality=20)), ("q100", dict(quality=100))):
            path = os.path.join(DIR, f"jpeg_{i}_{name}.jpg")
            image.save(path, "JPEG", **options)
            files.append(path)
        for mode in ("L", "CMYK"):
            path = os.path.join(DIR, f"jpeg_{i}_{mode}.jpg")
            image.convert(mode).save(path, "JPEG", quality=95)
            files.append(path)
    judge_pixels(processor, files)


def random_picture(rng, width, height):
    """Smooth colours with noise, RGBA."""
    coarse = rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 4)).astype(np.uint8)
    smooth = np.array(Image.fromarray(coarse, "RGBA").resize((width, height), Image.BILINEAR)).astype(int)
    return Image.fromarray(np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8), "RGBA")


def sixteen_bit(picture, color, interlace):
    """A 16-bit PNG: Pillow writes no colour of this depth."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    high = np.array(picture)[:, :, :channels].astype(">u2") << 8
    samples = high | np.random.default_rng(picture.width).integers(0, 256, high.shape).astype(">u2")
    return png_bytes(color, 16, picture.width, picture.height, [row.tobytes() for row in samples])


def with_exif(rng):
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(0, 10))
    exif[0x010E] = "a description"
    return exif.tobytes()


def save_random(rng, path):
    """One image of a random size, format and mode below `path` (its suffix is added); the file's name."""
    width, height = int(rng.integers(1, 320)), int(rng.integers(1, 320))
    if max(width, height) > 190 * min(width, height):
        width = height
    picture = random_picture(rng, width, height)
    kind = str(rng.choice(["png", "png16", "jpeg", "webp", "gif"], p=[0.28, 0.07, 0.3, 0.2, 0.15]))
    path = f"{path}.{kind}"
    exif = {"exif": with_exif(rng)} if kind != "gif" and rng.random() < 0.3 else {}
    if kind == "png":
        mode = str(rng.choice(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"]))
        picture = picture.convert("I").convert(mode) if mode == "I;16" else picture.convert(mode.replace("PA", "P"))
        key = {"transparency": int(rng.integers(0, 256))} if mode == "PA" else {}
        picture.save(path, "PNG", compress_level=1, **exif, **key)
    elif kind == "png16":
        with open(path, "wb") as file:
            file.write(sixteen_bit(picture, int(rng.choice([0, 2, 4, 6])), 0))
    elif kind == "jpeg":
        mode = str(rng.choice(["RGB", "L", "CMYK"], p=[0.6, 0.2, 0.2]))
        picture.convert(mode).save(path, "JPEG", quality=int(rng.integers(30, 100)),
                                   subsampling=int(rng.integers(0, 3)), progressive=bool(rng.integers(0, 2)), **exif)
    elif kind == "webp":
        picture.convert(str(rng.choice(["RGB", "RGBA"]))).save(
            path, "WEBP", lossless=bool(rng.integers(0, 2)), quality=int(rng.integers(30, 100)), method=0, **exif)
    else:
        palette = picture.convert("RGB").quantize(int(rng.integers(2, 257)))
        options = [{}, {"transparency": int(rng.integers(0, 8))}, {"interlace": 0}]
        palette.save(path, "GIF", **options[rng.integers(0, 3)])
    return path


def random_files():
    """Sizes, formats, modes and orientations by chance, in the bounds of a small and of the usual processor."""
    rng = np.random.default_rng(11)
    for count, bounds in ((420, (28 * 28, 112 * 112)), (130, (56 * 56, 28 * 28 * 1280))):
        processor, _ = make_directory(min_pixels=bounds[0], max_pixels=bounds[1])
        judge_pixels(processor, [save_random(rng, os.path.join(DIR, f"random_{i}")) for i in range(count)])


def gif_bytes(screen, frames, table=b"", background=0):
    """A GIF by hand: frames are (left, top, image in mode P or L, local table, transparent or None)."""
    import struct
    bits = max(1, (len(table) // 3 - 1).bit_length())
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, (0x80 | bits - 1) if table else 0, background, 0) + table
    for left, top, image, local, transparent in frames:
        if transparent is not None:
            out += bytes([0x21, 0xF9, 4, 1, 0, 0, transparent, 0])
        small = io.BytesIO()
        image.save(small, "GIF", interlace=int(image.width % 2))
        body = small.getvalue()
        at = 13 + (3 << (body[10] & 7) + 1 if body[10] & 0x80 else 0)
        while body[at] == 0x21:
            at += 2
            while body[at]:
                at += body[at] + 1
            at += 1
        flags = body[at + 9] & 0x40
        local_bits = max(1, (len(local) // 3 - 1).bit_length())
        skip = 10 + (3 << (body[at + 9] & 7) + 1 if body[at + 9] & 0x80 else 0)
        out += struct.pack("<BHHHHB", 0x2C, left, top, *image.size, flags | ((0x80 | local_bits - 1) if local else 0))
        out += local + body[at + skip:-1]
    return out + b";"


def gif_kinds():
    """Frames smaller and larger than the screen, local and missing colour tables, interlace, animations."""
    processor, _ = make_directory(min_pixels=28 * 28, max_pixels=200 * 200)
    rng = np.random.default_rng(12)
    files = []

    def indices(width, height, colors):
        image = Image.fromarray(rng.integers(0, colors, (height, width)).astype(np.uint8), "P")
        image.putpalette(rng.integers(0, 256, 3 * colors).astype(np.uint8).tobytes())
        return image

    def table(colors):
        return rng.integers(0, 256, 3 * colors).astype(np.uint8).tobytes()

    for i, (screen, left, top, size, colors, local, whole, transparent, frames) in enumerate([
            ((50, 40), 0, 0, (50, 40), 16, 0, 16, None, 1), ((50, 40), 7, 9, (20, 11), 16, 0, 16, None, 1),
            ((50, 40), 7, 9, (20, 11), 16, 0, 16, 5, 1), ((50, 40), 30, 30, (41, 33), 16, 0, 16, None, 1),
            ((33, 60), 0, 0, (33, 60), 256, 256, 2, None, 1), ((33, 60), 3, 3, (15, 30), 4, 4, 0, 2, 1),
            ((33, 60), 0, 0, (33, 60), 256, 0, 0, None, 1), ((41, 60), 0, 0, (41, 60), 256, 0, 4, None, 1),
            ((41, 60), 4, 4, (31, 30), 64, 0, 64, 63, 3), ((1, 1), 0, 0, (77, 50), 2, 0, 2, None, 2),
            ((41, 60), 0, 0, (31, 30), 256, 2, 256, None, 1), ((600, 500), 100, 100, (333, 333), 256, 0, 256, 9, 1)]):
        path = os.path.join(DIR, f"kind_{i}.gif")
        with open(path, "wb") as file:
            file.write(gif_bytes(screen, [(left, top, indices(*size, colors), table(local), transparent)] * frames,
                                 table(whole)))
        files.append(path)
    judge_pixels(processor, files)


def webp_kinds():
    """Lossy, lossless and near-lossless, with alpha, with metadata, animations whose first frame is a part."""
    processor, _ = make_directory(min_pixels=28 * 28, max_pixels=200 * 200)
    rng = np.random.default_rng(13)
    files = []
    for i in range(24):
        picture = random_picture(rng, int(rng.integers(1, 120)), int(rng.integers(1, 120)))
        if i % 3 == 0:  # fully transparent parts keep the colours below
            alpha = np.array(picture)
            alpha[: picture.height // 2, :, 3] = 0
            picture = Image.fromarray(alpha, "RGBA")
        options = dict(lossless=i % 2 == 0, quality=[20, 80, 100][i % 3], exact=i % 4 == 0, method=i % 7)
        if i % 5 == 0:
            options["exif"] = with_exif(rng)
        if i % 6 == 5:
            options.update(save_all=True, append_images=[picture.transpose(Image.Transpose.ROTATE_180)] * 2)
        path = os.path.join(DIR, f"kind_{i}.webp")
        picture.convert("RGBA" if i % 3 else "RGB").save(path, "WEBP", **options)
        files.append(path)
    judge_pixels(processor, files)


def orientations():
    """Every value of the tag in every format, both byte orders, EXIF before XMP."""
    processor, _ = make_directory(min_pixels=28 * 28, max_pixels=200 * 200)
    rng = np.random.default_rng(14)
    files = []
    for value in range(0, 10):
        for kind in ("JPEG", "PNG", "WEBP"):
            exif = Image.Exif()
            exif.endian = "<>"[value % 2]
            exif[0x0112] = value
            path = os.path.join(DIR, f"exif_{value}.{kind}")
            random_picture(rng, 61, 90).convert("RGB").save(path, kind, exif=exif.tobytes())
            files.append(path)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
    for i, (said, exif_says) in enumerate([(6, None), (3, None), (8, 1), (7, 5)]):
        exif = Image.Exif()
        exif[0x010E] = "text"
        if exif_says:
            exif[0x0112] = exif_says
        for kind in ("JPEG", "WEBP"):
            path = os.path.join(DIR, f"xmp_{i}.{kind}")
            random_picture(rng, 61, 90).convert("RGB").save(path, kind, exif=exif.tobytes(), xmp=xmp % said)
            files.append(path)
    broken = os.path.join(DIR, "broken_exif.jpg")
    random_picture(rng, 50, 30).convert("RGB").save(broken, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12")
    judge_pixels(processor, files + [broken])


def smart_resize():
    processor, _ = make_directory()
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as judge
    rng = random.Random(8)
    sizes = [[rng.randrange(1, 10 ** rng.randrange(1, 5)), rng.randrange(1, 10 ** rng.randrange(1, 5))]
             for _ in range(5000)] + [[h, w] for h in range(1, 60) for w in range(1, 60)]
    want = []
    for height, width in sizes:
        try:
            size = judge(height, width, 28, 56 * 56, 28 * 28 * 1280)
            want.append(list(size) if min(size) > 0 else None)
        except ValueError:
            want.append(None)
    got = [json.loads(line) for line in probe(PROBE, "sizes", DIR, lines=map(json.dumps, sizes))]
    check_equal("smart resize", got, want, lambda i: str(sizes[i]))


def random_layout(rng):
    """Ids, token types and [grid, seconds] of text with images and videos, anywhere in it; seconds 0: an image."""
    ids, types, media = [], [], []

    def add(id, type, count):
        ids.extend([id] * count)
        types.extend([type] * count)

    count = rng.choice([0, 1, 1, 2, 3, 6])
    for medium in range(count + 1):
        for _ in range(rng.randrange(1, 12)):  # at least one token stands between two media
            add(rng.randrange(600), 0, 1)
        if medium < count:
            video = rng.random() < 0.4
            grid = [rng.choice([1, 2, 5, 9]) if video else rng.choice([1, 1, 1, 2, 5]), 2 * rng.randrange(1, 9),
                    2 * rng.randrange(1, 9)]
            seconds = rng.choice([1.0, 0.5, 2 / 1.999, 2 / 29.97, rng.uniform(0.01, 20)]) if video else 0
            media.append([grid, seconds])
            add(613 if video else 612, 2 if video else 1, grid[0] * grid[1] * grid[2] // 4)
    if count and rng.random() < 0.3:  # ends with a medium
        while types[-1] == 0:
            del ids[-1], types[-1]
    return ids, types, media


def rope_index(model, layouts, pad_left):
    """transformers' positions of the layouts as one padded batch, and where each goes on."""
    width = max(len(ids) for ids, _, _ in layouts)
    pad = lambda values, fill: ([fill] * (width - len(values)) + list(values) if pad_left
                                else list(values) + [fill] * (width - len(values)))
    media = [medium for _, _, of_row in layouts for medium in of_row]
    grids = [[grid for grid, seconds in media if bool(seconds) == video] for video in (False, True)]
    seconds = [seconds for _, seconds in media if seconds]
    mask = torch.tensor([pad([1] * len(ids), 0) for ids, _, _ in layouts])
    positions, deltas = model.get_rope_index(
        torch.tensor([pad(ids, 0) for ids, _, _ in layouts]), torch.tensor([pad(types, 0) for _, types, _ in layouts]),
        image_grid_thw=torch.tensor(grids[0]) if grids[0] else None,
        video_grid_thw=torch.tensor(grids[1]) if grids[1] else None, attention_mask=mask,
        second_per_grid_ts=torch.tensor(seconds) if seconds else None)
    return [{"axes": positions[:, i, mask[i].bool()].tolist(), "next": int(deltas[i]) + len(layouts[i][0])}
            for i in range(len(layouts))]


def mrope():
    """1,200 layouts, in batches of rows with several images and videos, one and none, for each family."""
    rng = random.Random(10)
    for family in ("Qwen2_5_VL", "Qwen2VL"):
        vision = dict(depth=1, num_heads=2, hidden_size=32)
        if family == "Qwen2_5_VL":
            vision["out_hidden_size"] = 32
        config = getattr(transformers, family + "Config")(
            text_config=dict(vocab_size=640, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                             num_attention_heads=2, num_key_value_heads=1, eos_token_id=602, bos_token_id=None,
                             rope_parameters=dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 3, 3])),
            vision_config=vision, image_token_id=612, video_token_id=613, vision_start_token_id=609,
            vision_end_token_id=610)
        directory = os.path.join(DIR, family)
        os.makedirs(directory, exist_ok=True)
        write_json(os.path.join(directory, "config.json"), config.to_dict())
        with torch.device("meta"):
            model = getattr(transformers, family + "Model")(config)
        layouts = [random_layout(rng) for _ in range(1200)]
        want = [row for i in range(0, len(layouts), 8) for row in rope_index(model, layouts[i:i + 8], i % 16 == 0)]
        rows = [json.dumps({"ids": ids, "media": media}) for ids, _, media in layouts]
        got = [json.loads(line) for line in probe(PROBE, "mrope", directory, lines=rows)]
        check_equal(f"{family}: positions", got, want, lambda i: rows[i])


CASES = {f.__name__: f for f in (chat_template, prompts, pixels, easy_vqa_pixels, png_kinds, jpeg_kinds,
                                 gif_kinds, webp_kinds, orientations, random_files,
                                 smart_resize, mrope)}
CASES[CASE]()
