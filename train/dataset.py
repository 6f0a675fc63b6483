"""Data sets: load a source, split it by patient, decode and resize each radiograph once, serve augmented tensors.

The column contract (what `train.prepare` writes): `image`; `mask` (lungs, may be null); `label` (a ClassLabel) or
`findings` (a list of names); `patient_id`; `file_name`. Anything more is kept and ignored.
"""

import hashlib
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from datasets import ClassLabel, Features, Image, Value, load_dataset
from PIL import Image as PILImage
from torch.utils.data import Dataset, WeightedRandomSampler
from torchvision import tv_tensors

from lungfusion import load_radiograph

FOLDS = 5
OPEN_LABELS = {"_covid_", "_lung_opacity_"}  # say nothing of pneumonia, though a data set that has them knows it


def load_source(source, split, fold=0):
    """One part of a source.

    A data set with a split of that name gives it as it is. Otherwise `train` and `validation` are made from its
    `train` split by patient: a hash of the patient's id says to which of five folds it belongs, so that a patient
    stays on one side in every run and every task. Exact copies of an image are dropped.

    Args:
        source: folder of Parquet files, or an id on the Hub.
        split: `train`, `validation`, or any split the data set has.
        fold: which fold is the validation part, 0 … 4.

    Returns:
        `datasets.Dataset` whose images and masks are not yet decoded.
    """
    parts = load_dataset(str(source))
    derived = split in ("train", "validation") and "validation" not in parts
    if not derived and split not in parts:
        raise ValueError(f"{source} has no split {split!r}: it has {', '.join(parts)}.")
    data = parts["train" if derived else split]
    for column in {"image", "mask"} & set(data.column_names):
        data = data.cast_column(column, Image(decode=False))
    patients = [patient(name) for name in data["patient_id"]]
    data = data.remove_columns("patient_id").add_column("patient_id", patients)
    if "findings" in data.column_names:
        data = name_findings(data)
    if derived:
        wanted = split == "validation"
        in_fold = [patient_fold(name) == fold for name in patients]
        data = data.select([i for i, held_out in enumerate(in_fold) if held_out == wanted])
    return drop_copies(data)


def name_findings(data):
    """Findings stored as numbers (`ClassLabel`) become names."""
    kind = data.features["findings"].feature
    if not isinstance(kind, ClassLabel):
        return data
    findings = [[kind.names[number] for number in row] for row in data["findings"]]
    return data.remove_columns("findings").add_column("findings", findings)


def patient(name):
    """The patient behind an id: of Kermany's `IM-0429-0001` and `NORMAL2-IM-0429` the number after IM, else all of it.

    Kermany et al. number the normal children so, some of them with several images; the two series share numbers, and
    whether these are the same children is not published, so they are kept together.
    """
    number = re.match(r"(?:NORMAL2-)?IM-(\d+)", str(name))
    return f"IM-{number[1]}" if number else str(name)


def patient_fold(patient_id):
    return int.from_bytes(hashlib.sha256(str(patient_id).encode()).digest()[:8], "big") % FOLDS


def drop_copies(data):
    first = {}
    for index, image in enumerate(data["image"]):
        first.setdefault(hashlib.sha256(image_bytes(image)).digest(), index)
    return data.select(sorted(first.values()))


def image_bytes(image):
    return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()


def read_mask(image):
    """A mask's picture → (H, W) float32, 1 in the lungs and 0 elsewhere.

    Lung is what is brighter than half of the brightest pixel: masks are stored as 0 and 255 or 0 and 1, and some of
    them as JPEG. An all-black mask is empty.
    """
    with PILImage.open(BytesIO(image_bytes(image))) as picture:
        pixels = np.asarray(picture.convert("L"))
    return (pixels > pixels.max() / 2).astype(np.float32)


def with_mask(data):
    return data.select([i for i, mask in enumerate(data["mask"]) if mask is not None])


def known_labels(data, findings):
    """What a data set says of each finding.

    A label means a finding when it contains its words: `bacterial_pneumonia` means `pneumonia`. A finding that no
    label of the data set means is unknown there; all are, where it has masks alone.

    Args:
        data: `datasets.Dataset` with `label` or `findings` or neither.
        findings: names.

    Returns:
        (N, findings) float32: 1 present, 0 absent, NaN unknown.
    """
    if "findings" in data.column_names:
        rows = [{words(name) for name in row} for row in data["findings"]]
        vocabulary = set().union(*rows)
    elif "label" in data.column_names:
        names = data.features["label"].names
        rows = [{words(names[label])} for label in data["label"]]
        vocabulary = {words(name) for name in names}
    else:
        rows, vocabulary = [set()] * len(data), set()
    labels = np.full((len(rows), len(findings)), np.nan, np.float32)
    for column, finding in enumerate(findings):
        meaning = {label for label in vocabulary if words(finding) in label}
        if meaning:
            labels[:, column] = [np.nan if row & OPEN_LABELS - meaning else bool(row & meaning) for row in rows]
    return labels


def words(name):
    return "_" + name.lower().strip().replace(" ", "_").replace("-", "_") + "_"


def cache_arrays(data, processor, workers=2):
    """Decode and resize every radiograph (and mask) once; the result is kept on disk and memory-mapped.

    Args:
        data: `datasets.Dataset` with undecoded `image` and perhaps `mask`.
        processor: `LungFusionImageProcessor`.

    Returns:
        `datasets.Dataset` with `pixels` (S · S bytes, 0 … 255) and, where there are masks, `mask` likewise.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the images are small and the processes several: threads would wait for each other
    try:
        return data.map(
            to_arrays,
            fn_kwargs={"processor": processor},
            features=Features({"pixels": Value("binary"), "mask": Value("binary")}),
            remove_columns=data.column_names,
            num_proc=workers or None,
            desc="Reading radiographs",
        )
    finally:
        torch.set_num_threads(threads)


def to_arrays(row, processor):
    pixels = processor(load_radiograph(image_bytes(row["image"])).pixels)["pixel_values"]
    mask = None
    if row.get("mask") is not None:
        shape = read_mask(row["mask"])
        mask = to_bytes(processor(shape, segmentation_maps=[shape])["labels"])
    return {"pixels": to_bytes(pixels), "mask": mask}


def draw_alpha(arrays, segmenter, size, batch_size=4):
    """Draw the lungs of every cached radiograph once, so that image and mask can be augmented together.

    In bfloat16 and few at a time, which on a CPU takes a third of the time: alpha is kept in 256 steps anyway.

    Args:
        arrays: as `cache_arrays` returns.
        segmenter: `LungUNetForSemanticSegmentation`.
        size: side S of the arrays.

    Returns:
        the same data set, `mask` holding the drawn alpha.
    """
    segmenter.eval().to(memory_format=torch.channels_last)

    def draw(rows):
        pixels = torch.stack([from_bytes(buffer, size) for buffer in rows["pixels"]])
        with torch.inference_mode(), torch.autocast(pixels.device.type, torch.bfloat16):
            alpha = segmenter(pixels.contiguous(memory_format=torch.channels_last)).logits.float().sigmoid()
        return {"mask": [to_bytes(a) for a in alpha]}

    weights = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in segmenter.parameters()))
    fingerprint = hashlib.sha256(f"{arrays._fingerprint} {weights.hexdigest()}".encode()).hexdigest()[:32]
    return arrays.map(
        draw,
        batched=True,
        batch_size=batch_size,
        new_fingerprint=fingerprint,
        desc="Drawing lungs",
        features=arrays.features,
    )


def from_bytes(buffer, size):
    """Bytes 0 … 255 → (1, S, S) float tensor in [0, 1]."""
    return torch.frombuffer(bytearray(buffer), dtype=torch.uint8).view(1, size, size) / 255


def to_bytes(x):
    """Tensor of floats in [0, 1] → bytes 0 … 255."""
    return (x * 255).round().byte().numpy().tobytes()


class RadiographDataset(Dataset):
    """Radiographs as tensors, augmented image and mask together.

    Args:
        arrays: as `cache_arrays` returns, or several such data sets joined.
        size: side S of the arrays.
        transform: takes and returns (tv_tensors.Image, tv_tensors.Mask), both (1, S, S) float in [0, 1].
        labels: (N, findings) float32, or None where the mask is the label.

    Each item: `pixel_values` (1, S, S) float in [0, 1] and either `labels` (1, S, S), the true mask, or `labels`
    (findings,) and `alpha` (1, S, S), the mask the segmenter drew.
    """

    def __init__(self, arrays, size, transform=None, labels=None):
        self.arrays, self.size, self.transform, self.labels = arrays, size, transform, labels

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, index):
        row = self.arrays[int(index)]
        image = tv_tensors.Image(from_bytes(row["pixels"], self.size))
        mask = tv_tensors.Mask(from_bytes(row["mask"], self.size))
        if self.transform:
            image, mask = self.transform(image, mask)
        image, mask = image.as_subclass(torch.Tensor), mask.as_subclass(torch.Tensor)
        if self.labels is None:
            return {"pixel_values": image, "labels": mask}
        return {"pixel_values": image, "alpha": mask, "labels": torch.from_numpy(self.labels[index])}


def balanced_sampler(groups, length):
    """Draws every source equally often, and within a source every label equally often.

    Args:
        groups: one (source, label) for each image.
        length: images in an epoch.
    """
    sources = [source for source, _ in groups]
    labels_of = {source: len({g for g in groups if g[0] == source}) for source in set(sources)}
    counts = {group: groups.count(group) for group in set(groups)}
    weights = [1 / (labels_of[source] * counts[source, label]) for source, label in groups]
    return WeightedRandomSampler(weights, length, generator=torch.Generator())
