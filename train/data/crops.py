"""The lungs' box of each radiograph, decoded, drawn and cut out once, in memory-mapped files: what a classifier trains on."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from datasets.config import HF_CACHE_HOME
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lungfusion.models.concatenation import sample
from train.data.arrays import ReadRadiographs
from train.data.cache import model_digest
from train.data.splits import image_digests

DRAWN_SIDE = 256  # pixels at which lungs are drawn for training: their box needs no finer outline
MARGIN = 1.25  # a crop's side over that of what the branches see: room to turn, shift and shrink
CROP_SIDE = 288  # pixels
ROWS = {"cpu": 8}  # drawn at a time, by device
ROWS_OF_ACCELERATORS = 64


def lung_crops(data, processor, segmenter, concatenation, name="", workers=0):
    """Cut out what is not in the cache yet.

    Args:
        data: `datasets.Dataset` with undecoded `image`.
        processor: `LungFusionImageProcessor`.
        segmenter: `LungUNetForSemanticSegmentation`, on the device that is to draw.
        concatenation: of `lungfusion.models.concatenation`; its `roi_affine` says what the branches see.
        name: of the source, for the progress bar.
        workers: processes that decode and resize beside the one that draws.

    Returns:
        crops: (N, 288, 288) uint8, memory-mapped, its rows those of `data`. The file lies in the Hugging Face cache,
            under a digest of the images' bytes, the processor's size, the segmenter's weights and the region.
    """
    side = processor.size.height
    region = type(concatenation).__name__
    digest = hashlib.sha256(f"crops {side} {DRAWN_SIDE} {CROP_SIDE} {MARGIN} {region} {model_digest(segmenter)}".encode())
    for image in image_digests(data):
        digest.update(image.encode())
    file = Path(HF_CACHE_HOME) / "lungfusion" / f"{digest.hexdigest()[:32]}.npy"
    if not file.exists():
        new = file.with_suffix(f".{os.getpid()}.npy")
        cut_crops(data, processor, segmenter, concatenation, new, name, workers)
        new.rename(file)
    return np.load(file, mmap_mode="r")


@torch.inference_mode()
def cut_crops(data, processor, segmenter, concatenation, file, name="", workers=0):
    """Write the crops of `data` into a new file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    crops = np.lib.format.open_memmap(file, "w+", np.uint8, (len(data), CROP_SIDE, CROP_SIDE))
    rows = ROWS.get(segmenter.device.type, ROWS_OF_ACCELERATORS)
    loader = DataLoader(ReadRadiographs(data, processor), rows, num_workers=workers)
    finest, segmenter.config.image_size = segmenter.config.image_size, min(DRAWN_SIDE, segmenter.config.image_size)
    try:
        for batch, pixels in enumerate(tqdm(loader, desc=f"Cutting out lungs: {name}", mininterval=10)):
            image = pixels.to(segmenter.device) / 255
            small = F.interpolate(image, (DRAWN_SIDE,) * 2, mode="bilinear", antialias=True)
            alpha = F.interpolate(segmenter(small).logits.sigmoid(), image.shape[-2:], mode="bilinear")
            view = concatenation.roi_affine(alpha) * image.new_tensor([MARGIN, MARGIN, 1.0])
            crop = sample(image, view, CROP_SIDE)[:, 0]
            crops[batch * rows : batch * rows + len(pixels)] = (crop * 255).round().byte().cpu().numpy()
    finally:
        segmenter.config.image_size = finest
    crops.flush()
