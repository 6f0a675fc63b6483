"""Time to analyse one file, beside a named peer in the same run: python -m tests.benchmarks.latency [ROUNDS]

The peer is torchxrayvision's DenseNet-121 (`pip install -e ".[benchmark]"`), its forward pass alone on a ready tensor,
with random weights, which take as long as trained ones. The two take turns, so that a busy machine slows both.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchxrayvision
from PIL import Image
from transformers.utils import logging

from examples.phantom import draw_phantom
from lungfusion import LungFusionPipeline

SIDE = 1024  # pixels of the radiograph's side, as ChestX-ray14 ships it


def main(rounds=30):
    logging.disable_progress_bar()
    pipeline = LungFusionPipeline.from_pretrained()
    peer = torchxrayvision.models.DenseNet(num_classes=18).eval().to(memory_format=torch.channels_last)
    tensor = torch.rand(1, 1, 224, 224)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "xray.png"
        Image.fromarray((draw_phantom(seed=0, size=SIDE)[0] * 255).astype(np.uint8)).save(path)
        subjects = {
            f"LungFusion, file of {SIDE} px to Analysis": lambda: pipeline(path),
            "LungFusion, network alone": lambda: pipeline.model(torch.rand(1, 1, 320, 320)),
            "torchxrayvision DenseNet-121, forward alone": lambda: peer(tensor),
        }
        times = {name: [] for name in subjects}
        for _ in range(rounds + 3):
            for name, run in subjects.items():
                started = time.perf_counter()
                run()
                times[name].append(1000 * (time.perf_counter() - started))
    reference = median(times["torchxrayvision DenseNet-121, forward alone"][3:])
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {rounds} rounds, median")
    for name, values in times.items():
        print(f"{name:<45} {median(values[3:]):7.1f} ms  {median(values[3:]) / reference:5.2f} ×")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
