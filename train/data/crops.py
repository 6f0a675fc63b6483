"""The lungs' box of each radiograph, cut out once into a memory-mapped file: what a classifier trains on."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from datasets.config import HF_CACHE_HOME
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from lungfusion.models.concatenation import sample
from train.augment.geometry import bent
from train.data.cache import drawing_digest
from train.data.pictures import image_bytes, read_mask
from train.data.splits import image_digests, with_mask

DRAWN_SIDE = 256  # pixels at which lungs are drawn for training: their box needs no finer outline
MARGIN = 1.25  # a crop's side over that of what the branches see: room to turn, shift and shrink
CROP_SIDE = 288  # pixels
POOR_DICE = 0.9  # of lungs drawn poorly, to those that the segmenter drew
ROWS = {"cpu": 8}  # drawn at a time, by device
ROWS_OF_ACCELERATORS = 64


class LungCrops:
    """The radiographs of one part of a source, cut to what the branches see and a margin around it.

    Attributes:
        pixels: (N, 288, 288) uint8, memory-mapped.
        alpha: the same of the lungs, 255 where the segmenter is sure of lung; None where no branch looks at it.
    """

    def __init__(self, pixels, alpha=None, rows=None):
        self.pixels, self.alpha = pixels, alpha
        self.rows = np.arange(len(pixels)) if rows is None else rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        """{"pixels", "alpha"} → (1, 288, 288) uint8 tensors; without alpha where there is none."""
        files = {"pixels": self.pixels} | ({} if self.alpha is None else {"alpha": self.alpha})
        return {name: torch.from_numpy(file[self.rows[row]].copy())[None] for name, file in files.items()}

    def select(self, rows):
        """Some of its rows, nothing copied."""
        return LungCrops(self.pixels, self.alpha, self.rows[rows])


def lung_crops(data, processor, segmenter, concatenation, name="", workers=0, lungs="drawn", tilt=0):
    """Cut out what is not in the cache yet.

    Args:
        data: `datasets.Dataset` with undecoded `image`.
        processor: `LungFusionImageProcessor`.
        segmenter: `LungUNetForSemanticSegmentation`, on the device that is to draw.
        concatenation: a `Concatenation`; its `roi_affine` says what the branches see. Who sees the same shares files.
        name: of the source, for the progress bar.
        workers: processes that decode and resize beside the one that draws.
        lungs: `drawn` by the segmenter; `poor`, as it draws them, then bent to a Dice of `POOR_DICE`; or `by_hand`,
            from the column `mask` where a row has one, else drawn.
        tilt: degrees by which the radiographs are turned first, every second one the other way; black comes in.

    Returns:
        `LungCrops`, its rows those of `data`. The files lie in the Hugging Face cache, under a digest of the images'
        bytes and of all that changes what is cut.

    Raises:
        ValueError: there is no such `lungs`.
    """
    if lungs not in LUNGS:
        raise ValueError(f"lungs is {lungs!r}: choose one of {', '.join(LUNGS)}.")
    if lungs == "by_hand" and ("mask" not in data.column_names or not len(with_mask(data))):
        lungs = "drawn"
    folder = folder_of_crops(data, processor, segmenter, concatenation, lungs, tilt)
    if not folder.exists():
        unfinished = folder.with_suffix(f".{os.getpid()}")
        rows = ReadRadiographs(data, processor, tilt, with_mask=lungs == "by_hand")
        cut_crops(rows, segmenter, concatenation, unfinished, LUNGS[lungs], name, workers)
        unfinished.rename(folder)
    kept = ["pixels", *["alpha"] * concatenation.reads_alpha]
    return LungCrops(*(np.load(folder / f"{file}.npy", mmap_mode="r") for file in kept))


def folder_of_crops(data, processor, segmenter, concatenation, lungs, tilt):
    """Where the crops of `lung_crops` lie."""
    view = concatenation.roi_affine.__func__.__qualname__
    settings = f"{processor.size.height} {DRAWN_SIDE} {CROP_SIDE} {MARGIN} {view} {lungs} {POOR_DICE} {tilt}"
    digest = hashlib.sha256(f"crops and alpha {settings} {drawing_digest(segmenter)}".encode())
    for image in image_digests(data):
        digest.update(image.encode())
    return Path(HF_CACHE_HOME) / "lungfusion" / digest.hexdigest()[:32]


@torch.inference_mode()
def cut_crops(rows, segmenter, concatenation, folder, drawn, name="", workers=0):
    """Write pixels.npy and alpha.npy into a new folder.

    Args:
        rows: `ReadRadiographs`.
        drawn: function of the segmenter's alpha and the masks given, (B, 1, S, S) float in [0, 1] both (the latter NaN
            where there is none) → the alpha that is kept, and by which is cut.
    """
    folder.mkdir(parents=True)
    shape = (len(rows), CROP_SIDE, CROP_SIDE)
    files = {
        file: np.lib.format.open_memmap(folder / f"{file}.npy", "w+", np.uint8, shape) for file in ("pixels", "alpha")
    }
    count = ROWS.get(segmenter.device.type, ROWS_OF_ACCELERATORS)
    loader = DataLoader(rows, count, num_workers=workers)
    finest, segmenter.config.image_size = segmenter.config.image_size, min(DRAWN_SIDE, segmenter.config.image_size)
    try:
        for batch, (pixels, given) in enumerate(tqdm(loader, desc=f"Cutting out lungs: {name}")):
            image = pixels.to(segmenter.device) / 255
            small = F.interpolate(image, (DRAWN_SIDE,) * 2, mode="bilinear", antialias=True)
            alpha = F.interpolate(segmenter(small).logits.sigmoid(), image.shape[-2:], mode="bilinear")
            alpha = drawn(alpha, given.to(alpha))
            view = concatenation.roi_affine(alpha) * image.new_tensor([MARGIN, MARGIN, 1.0])
            for file, whole in (("pixels", image), ("alpha", alpha)):
                crop = sample(whole, view, CROP_SIDE)[:, 0]
                files[file][batch * count : batch * count + len(crop)] = (crop * 255).round().byte().cpu().numpy()
    finally:
        segmenter.config.image_size = finest


LUNGS = {
    "drawn": lambda alpha, given: alpha,
    "poor": lambda alpha, given: bent(alpha, POOR_DICE),
    "by_hand": lambda alpha, given: torch.where(given.isnan(), alpha, given),
}


class ReadRadiographs(Dataset):
    """The rows' pictures, decoded, brought to the processor's size and turned.

    Args:
        data: `datasets.Dataset` with undecoded `image` and perhaps `mask`.
        processor: `LungFusionImageProcessor`.
        tilt: degrees, to the left, in every second row to the right.
        with_mask: whether masks are read.

    Each item: (1, S, S) uint8, and the mask, (1, S, S) float32 in [0, 1]; (1, 1, 1), NaN, where there is none.
    """

    def __init__(self, data, processor, tilt=0, with_mask=False):
        self.data, self.processor, self.tilt, self.with_mask = data, processor, tilt, with_mask

    def __len__(self):
        return len(self.data)

    def __getitem__(self, row):
        of_row, side = self.data[int(row)], self.processor.size.height
        pixels = self.turned(self.processor(load_radiograph(image_bytes(of_row["image"])).pixels)["pixel_values"], row)
        mask = torch.full((1, side, side), torch.nan) if self.with_mask else torch.full((1, 1, 1), torch.nan)
        if self.with_mask and of_row.get("mask") is not None:
            shape = read_mask(of_row["mask"])
            mask = self.turned(self.processor(shape, segmentation_maps=[shape])["labels"], row)
        return (pixels * 255).round().byte(), mask

    def turned(self, pixels, row):
        """pixels: one picture or mask, (1, 1, S, S) or (1, S, S)."""
        pixels = pixels.reshape(1, *pixels.shape[-2:]).float()
        angle = self.tilt if row % 2 else -self.tilt
        return tvF.rotate(pixels, angle, InterpolationMode.BILINEAR) if self.tilt else pixels


class Part(NamedTuple):
    """Radiographs of one source and split: its name, `datasets.Dataset`, `LungCrops`, (N, findings) float32 labels."""

    source: str
    data: object
    crops: LungCrops
    labels: np.ndarray


class LabelledCrops(Dataset):
    """The crops of several parts with their labels.

    Args:
        parts: list of `Part`.
        log_odds: of each part, (findings,) float32: how common each finding is where it comes from; see
            `losses.by_finding`.

    Each item: `pixels`, and `alpha` where it is kept, (1, 288, 288) uint8; `labels`, and `log_odds` where they are
    given, (findings,) float32.

    Raises:
        ValueError: there is no crop.
    """

    def __init__(self, parts, log_odds=None):
        self.parts, self.log_odds = parts, log_odds
        self.places = [(number, row) for number, part in enumerate(parts) for row in range(len(part.crops))]
        if not self.places:
            raise ValueError("No radiograph is left to train on: check the recipe's sources.")

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        number, row = self.places[index]
        part = self.parts[number]
        item = part.crops[row] | {"labels": torch.from_numpy(part.labels[row])}
        return item if self.log_odds is None else item | {"log_odds": torch.from_numpy(self.log_odds[number])}


def cut_inputs(batch, side, augment=None):
    """A batch of `LabelledCrops`, on the model's device, as a model takes it that is told `is_cut`.

    Args:
        side: of what the branches are to see, pixels; a multiple of 8.
        augment: function of pixels and alpha (or None), (B, 1, S, S) float in [0, 1] → both anew.

    Returns:
        dict: `pixel_values` and `alpha`, (B, 1, side, side) float in [0, 1], the latter None where it isn't kept;
        `is_cut`; `labels`, and `log_odds` where there are any, as they are.
    """
    framed, edge = round(MARGIN * side), round((MARGIN - 1) * side / 2)
    image, alpha = (
        F.interpolate(batch[name].float() / 255, (framed, framed), mode="bilinear", antialias=True)
        if name in batch
        else None
        for name in ("pixels", "alpha")
    )
    if augment:
        image, alpha = augment(image, alpha)
    image, alpha = (None if x is None else x[..., edge : edge + side, edge : edge + side] for x in (image, alpha))
    said = {name: batch[name] for name in ("labels", "log_odds") if name in batch}
    return {"pixel_values": image, "alpha": alpha, "is_cut": True} | said
