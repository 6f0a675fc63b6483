"""How long each step takes, beside named peers in the same run: python -m tests.benchmarks.latency [--rounds 10]

For batches of several sizes: decode, prepare, the model as it is asked and as torch runs it, and all from files to
analyses; beside them torchxrayvision's DenseNet-121 from files as its documentation has it, and the forward passes
alone, on ready tensors, of it, of its PSPNet (lungs) and of timm's ResNet-50; with random weights, which take as long
as trained ones (`pip install -e ".[benchmark]"`). All take turns, so that a busy machine slows all of them. Times are
medians; the ratio is to DenseNet-121 from files in the same round, its median.

The radiographs are phantoms, drawings that the gate finds strange and therefore looks at in ten ways; real radiographs
are given with --images, and mostly spare it that.

The share of peak is what a network's multiplications (counted by torch) reach of a plain matrix product's speed, in
float32, measured in the same run. Memory is the most that was held beyond what was held before, on a CPU by the whole
process, on a GPU by torch.
"""

import argparse
import ctypes
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
import skimage.io
import timm
import torch
import torchxrayvision
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import Compose
from torchxrayvision.baseline_models.chestx_det.ptsemseg.pspnet import pspnet
from transformers.utils import logging

from lungfusion import LungFusionPipeline, load_radiograph
from train.augment.phantom.radiograph import draw_phantom

SIDE = 1024  # pixels of the radiograph's side, as ChestX-ray14 ships it
WARM_UP = 2  # rounds that do not count
PRODUCT = 2048  # side of the matrices whose product gives the peak
REFERENCE = "torchxrayvision DenseNet-121, from files"
PEAK = "matrix product"
PREPARED = Compose([torchxrayvision.datasets.XRayCenterCrop(), torchxrayvision.datasets.XRayResizer(224)])


@dataclass
class Subject:
    """Something to time: a function, and how many multiplications and additions it takes (None: not counted)."""

    run: Callable
    operations: int | None = None
    seconds: list = field(default_factory=list)
    memory: int = 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--images", type=Path, nargs="+", metavar="FILE", help="radiographs, instead of phantoms")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", help="folder or id on the Hub; the bundled checkpoint if not given")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    pipeline = LungFusionPipeline.from_pretrained(arguments.model, device=arguments.device)
    print(f"{device_name(arguments.device)}, torch {torch.__version__}, {arguments.rounds} rounds, medians")
    for batch in arguments.batches:
        files = [path.read_bytes() for path in arguments.images or ()] or [png(seed) for seed in range(batch)]
        files = [files[number % len(files)] for number in range(batch)]
        subjects = steps(pipeline, files) | peers(files, arguments.device)
        take_turns(subjects, arguments.rounds, arguments.device)
        print(f"\nBatch of {batch}:\n", *table(subjects, batch), sep="\n")


def device_name(device):
    return torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"


def steps(pipeline, files):
    """name → `Subject` of LungFusion."""
    radiographs = [load_radiograph(file) for file in files]
    pixel_values = pipeline.pixel_values(radiographs)
    model = pipeline.model
    return {
        "decode": Subject(lambda: [load_radiograph(file) for file in files]),
        "prepare": Subject(lambda: pipeline.pixel_values(radiographs)),
        "model": counted(lambda: model(pixel_values), lambda: pipeline.backend(pixel_values)),
        "model, by torch": counted(lambda: model(pixel_values)),
        "files to analyses": Subject(lambda: pipeline(files)),
        "files to analyses and heat maps": Subject(lambda: [pipeline.analyse_and_explain(file) for file in files]),
    }


def png(seed):
    buffer = BytesIO()
    Image.fromarray((draw_phantom(seed=seed, size=SIDE)[0] * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def peers(files, device):
    """name → `Subject` of others, and the matrix product. PSPNet takes seconds for an image on a CPU: one is enough."""

    def ready(model):
        return model.eval().to(device, memory_format=torch.channels_last)

    def forward(model, channels, side):
        tensor = torch.rand(len(files), channels, side, side, device=device)
        tensor = tensor.contiguous(memory_format=torch.channels_last)
        return counted(lambda: model(tensor))

    densenet = ready(torchxrayvision.models.DenseNet(num_classes=18))
    left, right = torch.rand(2, PRODUCT, PRODUCT, device=device)
    subjects = {
        REFERENCE: counted(lambda: densenet(torch.stack([prepared(file) for file in files]).to(device))),
        "torchxrayvision DenseNet-121": forward(densenet, 1, 224),
        "timm ResNet-50": forward(ready(timm.create_model("resnet50")), 3, 224),
        PEAK: counted(lambda: left @ right),
    }
    if len(files) == 1 or device != "cpu":
        subjects["torchxrayvision PSPNet"] = forward(ready(pspnet(14)), 3, 512)
    return subjects


def prepared(file):
    """A file as torchxrayvision's documentation reads it for its classifiers: (1, 224, 224) float32 tensor."""
    pixels = skimage.io.imread(BytesIO(file))
    pixels = pixels.mean(2) if pixels.ndim == 3 else pixels
    pixels = torchxrayvision.datasets.normalize(pixels, 255)[None]
    return torch.from_numpy(PREPARED(pixels)).float()


def counted(run, quick=None):
    """A network's forward pass, without gradients; quick: the same as the pipeline does it, which is timed instead."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return Subject(torch.inference_mode()(quick or run), counter.get_total_flops())


def take_turns(subjects, rounds, device):
    """Time all subjects once in each round, and take the memory of each in a round of its own."""
    for number in range(rounds + WARM_UP):
        for subject in subjects.values():
            seconds = timed(subject.run, device)
            if number >= WARM_UP:
                subject.seconds.append(seconds)
    for subject in subjects.values():
        before = reset_memory(device)
        timed(subject.run, device)
        subject.memory = most_memory(device) - before


def timed(run, device):
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def reset_memory(device):
    """Begin to watch; returns the bytes held now."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)  # glibc: hand back what is free, or it would be used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak
    return held("VmRSS")


def most_memory(device):
    return torch.cuda.max_memory_allocated() if device.startswith("cuda") else held("VmHWM")


def held(name):
    return 1024 * int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def table(subjects, batch):
    """Markdown: ms for a batch, images a second, ratio, share of the peak, memory."""
    reference = subjects[REFERENCE].seconds
    peak = subjects[PEAK].operations / median(subjects[PEAK].seconds)
    lines = [
        "| | ms | images / s | × DenseNet-121 from files | share of peak | memory, MiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, subject in subjects.items():
        seconds = median(subject.seconds)
        ratio = median(own / other for own, other in zip(subject.seconds, reference, strict=True))
        share = f"{subject.operations / seconds / peak:.0%}" if subject.operations else ""
        images = "" if name == PEAK else f"{batch / seconds:.1f}"
        lines.append(
            f"| {name} | {1000 * seconds:.1f} | {images} | {ratio:.2f} | {share} | {subject.memory / 2**20:.0f} |"
        )
    return [*lines, "", f"Peak: {peak / 1e9:.0f} billion operations a second."]


if __name__ == "__main__":
    main()
