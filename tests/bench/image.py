"""From an image file's bytes to patches, against the Hugging Face fast image processor (torchvision's decoder and
resize), one thread. usage: image.py PYTHON, from the repository's root

Cases: image_jpeg_1280x960, image_png_640x480 (resized by the model's rules), images/s.
"""
import sys
import tempfile

import numpy
from comparison import HERE, ROUNDS, Side, prepare, report
from PIL import Image

TIMES = 20
CASES = {"jpeg_1280x960": (1280, 960), "png_640x480": (640, 480)}


def picture(width, height):
    """Smooth shades with some grain."""
    random = numpy.random.default_rng(1)
    coarse = Image.fromarray(random.integers(0, 256, (height // 32, width // 32, 3), dtype=numpy.uint8))
    smooth = numpy.asarray(coarse.resize((width, height), Image.BICUBIC), dtype=numpy.int16)
    return Image.fromarray((smooth + random.integers(-6, 7, smooth.shape)).clip(0, 255).astype(numpy.uint8))


def main(python):
    with tempfile.TemporaryDirectory() as work:
        prepare(work, "tiny")
        ours = Side(["build/bin/bench_image", f"{work}/model"])
        rival = Side([python, "-B", f"{HERE}/rival_image.py", f"{work}/model"])
        for case, size in CASES.items():
            path = f"{work}/image.{case.split('_')[0]}"
            picture(*size).save(path)
            pairs = [tuple(TIMES / side.ask(f"{path} {TIMES}")[0] for side in (ours, rival)) for _ in range(ROUNDS + 1)]
            report(f"image_{case}", pairs[1:], 1.5, "images/s")  # the first one warms up
        ours.end()
        rival.end()


main(*sys.argv[1:])
