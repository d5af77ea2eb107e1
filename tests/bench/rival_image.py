"""The Hugging Face fast image processor's side of image.py, spoken to as bench_image is. usage: rival_image.py MODEL"""
import io
import sys
import time

import torch
from torchvision.io import ImageReadMode, decode_image
from transformers import AutoImageProcessor


def main(model_path):
    torch.set_num_threads(1)
    processor = AutoImageProcessor.from_pretrained(model_path, backend="torchvision")
    for line in sys.stdin:
        path, times = line.split()
        with open(path, "rb") as file:
            data = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)
        start = time.perf_counter()
        for _ in range(int(times)):
            processor(images=[decode_image(data, ImageReadMode.RGB)], return_tensors="pt")
        print(time.perf_counter() - start, flush=True)


main(*sys.argv[1:])
