"""Radiographs decoded, resized and with their lungs drawn once, in memory-mapped files: what a classifier trains on."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from datasets.config import HF_CACHE_HOME
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from train.data.cache import model_digest
from train.data.pictures import image_bytes
from train.data.splits import image_digests

DRAWN_SIDE = 256  # pixels at which lungs are drawn for training: their box needs no finer outline
ALPHA_SIDE = 128  # pixels, of the alpha that is kept
ROWS = {"cpu": 8}  # drawn at a time, by device
ROWS_OF_ACCELERATORS = 64


class LungArrays:
    """The radiographs of one part of a source.

    Attributes:
        pixels: (N, S, S) uint8, memory-mapped.
        alpha: (N, 128, 128) uint8, memory-mapped; 255 where the segmenter is sure of lung.
    """

    def __init__(self, pixels, alpha, rows=None):
        self.pixels, self.alpha = pixels, alpha
        self.rows = np.arange(len(pixels)) if rows is None else rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        """(1, S, S) and (1, 128, 128) uint8 tensors."""
        return tuple(torch.from_numpy(array[self.rows[row]].copy())[None] for array in (self.pixels, self.alpha))

    def select(self, rows):
        """Some of its rows, nothing copied."""
        return LungArrays(self.pixels, self.alpha, self.rows[rows])


def lung_arrays(data, processor, segmenter, name="", workers=0):
    """Decode, resize and draw what is not in the cache yet.

    Args:
        data: `datasets.Dataset` with undecoded `image`.
        processor: `LungFusionImageProcessor`.
        segmenter: `LungUNetForSemanticSegmentation`, on the device that is to draw.
        name: of the source, for the progress bar.
        workers: processes that decode and resize beside the one that draws.

    Returns:
        `LungArrays`, its rows those of `data`. The files lie in the Hugging Face cache, under a digest of the images'
        bytes, the processor's size and the segmenter's weights.
    """
    side = processor.size.height
    digest = hashlib.sha256(f"{side} {DRAWN_SIDE} {ALPHA_SIDE} {model_digest(segmenter)}".encode())
    for image in image_digests(data):
        digest.update(image.encode())
    folder = Path(HF_CACHE_HOME) / "lungfusion" / digest.hexdigest()[:32]
    if not folder.exists():
        draw_arrays(data, processor, segmenter, folder.with_suffix(f".{os.getpid()}"), name, workers)
        folder.with_suffix(f".{os.getpid()}").rename(folder)
    return LungArrays(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("pixels", "alpha")))


@torch.inference_mode()
def draw_arrays(data, processor, segmenter, folder, name, workers=0):
    """Write pixels.npy and alpha.npy into a new folder."""
    folder.mkdir(parents=True)
    side, finest = processor.size.height, segmenter.config.image_size
    shapes = {"pixels": (len(data), side, side), "alpha": (len(data), ALPHA_SIDE, ALPHA_SIDE)}
    files = {key: np.lib.format.open_memmap(folder / f"{key}.npy", "w+", np.uint8, shapes[key]) for key in shapes}
    rows = ROWS.get(segmenter.device.type, ROWS_OF_ACCELERATORS)
    loader = DataLoader(ReadRadiographs(data, processor), rows, num_workers=workers)
    segmenter.config.image_size = min(DRAWN_SIDE, finest)
    try:
        for batch, pixels in enumerate(tqdm(loader, desc=f"Drawing lungs: {name}")):
            floats = pixels.to(segmenter.device) / 255
            small = F.interpolate(floats, (DRAWN_SIDE,) * 2, mode="bilinear", antialias=True)
            alpha = F.adaptive_avg_pool2d(segmenter(small).logits.sigmoid(), ALPHA_SIDE).cpu()
            place = slice(batch * rows, batch * rows + len(pixels))
            files["pixels"][place] = pixels[:, 0].numpy()
            files["alpha"][place] = (alpha[:, 0] * 255).round().byte().numpy()
    finally:
        segmenter.config.image_size = finest


class ReadRadiographs(Dataset):
    """The rows' pictures, decoded and brought to the processor's size: (1, S, S) uint8 each."""

    def __init__(self, data, processor):
        self.data, self.processor = data, processor

    def __len__(self):
        return len(self.data)

    def __getitem__(self, row):
        pixels = load_radiograph(image_bytes(self.data[int(row)]["image"])).pixels
        return (self.processor(pixels)["pixel_values"][0] * 255).round().byte()


class LabelledRadiographs(Dataset):
    """Several `LungArrays` with their labels, as bytes: `to_floats` makes a model's input of a batch, on its device.

    Args:
        parts: list of (`LungArrays`, (N, findings) float32 labels).

    Each item: `pixel_values` (1, S, S) and `alpha` (1, 128, 128) uint8, `labels` (findings,) float32.
    """

    def __init__(self, parts):
        self.parts = [part for part in parts if len(part[0])]
        self.places = [(part, row) for part, (arrays, _) in enumerate(self.parts) for row in range(len(arrays))]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        part, row = self.places[index]
        arrays, labels = self.parts[part]
        image, alpha = arrays[row]
        return {"pixel_values": image, "alpha": alpha, "labels": torch.from_numpy(labels[row])}


def to_floats(batch):
    """A batch of bytes → floats in [0, 1], alpha as large as the image: (B, 1, S, S) both."""
    image, alpha = batch["pixel_values"].float() / 255, batch["alpha"].float() / 255
    if alpha.shape[-1] != image.shape[-1]:
        alpha = F.interpolate(alpha, image.shape[-2:], mode="bilinear")
    return batch | {"pixel_values": image, "alpha": alpha}
