"""What a segmenter trains on: each radiograph and mask decoded and resized once, served as tensors."""

import hashlib
from contextlib import contextmanager

import torch
from datasets import Features, Value, concatenate_datasets
from torch.utils.data import Dataset

from lungfusion import load_radiograph
from train.data.pictures import image_bytes, read_mask


def cache_arrays(data, processor, workers=2):
    """Decode and resize every radiograph (and mask) once; the result is kept on disk and memory-mapped.

    Args:
        data: `datasets.Dataset` with undecoded `image` and perhaps `mask`.
        processor: `LungFusionImageProcessor`.

    Returns:
        `datasets.Dataset` with `pixels` (S · S bytes, 0 … 255) and, where there are masks, `mask` likewise.
    """
    with one_thread():
        return data.map(
            to_arrays,
            fn_kwargs={"processor": processor},
            features=Features({"pixels": Value("binary"), "mask": Value("binary")}),
            remove_columns=data.column_names,
            num_proc=workers or None,
            desc="Reading radiographs",
        )


@contextmanager
def one_thread():
    """Torch computes in one thread meanwhile, as processes that are forked must.

    Where their images are small threads would wait for each other, and after a fork for those left behind: for ever.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def to_arrays(row, processor):
    pixels = processor(load_radiograph(image_bytes(row["image"])).pixels)["pixel_values"]
    mask = None
    if row.get("mask") is not None:
        shape = read_mask(row["mask"])
        mask = to_bytes(processor(shape, segmentation_maps=[shape])["labels"])
    return {"pixels": to_bytes(pixels), "mask": mask}


def drawing_digest(segmenter):
    """SHA-256 of what a segmenter draws lungs with, on whatever device it is: its U-Net and how it scales pixels.

    What else it says (which view it sees, how sure it is) may be fitted anew, and drawn lungs stay as they are.
    """
    config = segmenter.config
    digest = hashlib.sha256(f"{config.image_mean} {config.image_std} {config.image_size}".encode())
    for name, tensor in sorted(segmenter.unet.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def from_bytes(buffer, size):
    """Bytes 0 … 255 → (1, S, S) float tensor in [0, 1]."""
    return byte_tensor(buffer, size) / 255


def byte_tensor(buffer, size):
    """Bytes → (1, S, S) uint8 tensor."""
    return torch.frombuffer(bytearray(buffer), dtype=torch.uint8).view(1, size, size)


def to_bytes(x):
    """Tensor of floats in [0, 1] → bytes 0 … 255."""
    return (x * 255).round().byte().numpy().tobytes()


class RadiographBytes(Dataset):
    """Radiographs and masks as bytes, to be augmented by the batch where the model computes.

    Args:
        arrays, size: as for `RadiographDataset`.

    Each item: `pixel_values` and `labels`, (1, S, S) uint8 both.
    """

    def __init__(self, arrays, size):
        self.arrays, self.size = arrays, size

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, index):
        row = self.arrays[int(index)]
        return {key: byte_tensor(row[of], self.size) for key, of in (("pixel_values", "pixels"), ("labels", "mask"))}


class RadiographDataset(Dataset):
    """Radiographs and masks as tensors of floats.

    Args:
        arrays: as `cache_arrays` returns, or several such data sets joined.
        size: side S of the arrays.

    Each item: `pixel_values` and `labels`, the mask, (1, S, S) float in [0, 1] both.
    """

    def __init__(self, arrays, size):
        self.arrays, self.size = arrays, size

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, index):
        row = self.arrays[int(index)]
        return {key: from_bytes(row[of], self.size) for key, of in (("pixel_values", "pixels"), ("labels", "mask"))}


def concatenate_arrays(parts):
    parts = [part for part in parts if len(part)]
    if not parts:
        raise ValueError("No radiograph is left to train on: check the recipe's sources.")
    return concatenate_datasets(parts)
