"""What is known of nodules and masses in each radiograph: which, how surely, and where."""

import json
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from train.data.labels import labels_and_readers
from train.data.readers import read_table

LESIONS = ("nodule", "mass")
EITHER = "nodule or mass"  # what some readers were asked for; of a cell or an image, the larger of the two
MINED_WEIGHT = 0.25  # of labels mined from reports: of NIH's nodules readers confirm about half
BOX_SIDE = 1024  # pixels of the pictures in which readers drew boxes
KINDS = {"Nodule": 0, "Mass": 1}  # a box's name → which lesion
DIFFUSE = "Diffuse Nodule"  # a box over half a lung says that nodules are there, not where
MAX_BOXES = 40  # of one radiograph


def lesion_labels(data, source, root):
    """Labels, weights and places of a data set's radiographs.

    Args:
        data: `datasets.Dataset` as `load_source` gives it.
        source: its declaration, as a recipe holds it.
        root: folder in which the readers' table lies.

    Returns:
        dict of arrays: `labels` (N, 3) float32 of nodule, mass, either: 1 present, 0 absent, between where readers
        were divided, NaN unknown; `weights` (N, 3) float32; `boxes` (N, 40, 5) float32: which lesion, centre x, y and
        half width and height, places from −1 to 1 over the image, NaN where there is no box; `place_weights` (N,)
        float32, 0 where lesions may be anywhere; `read` (N,) bool, whether radiologists looked for either; `healthy`
        (N,) bool, whether made nodules may be drawn there: readers saw neither, or a report no finding at all.
    """
    rows = reader_rows(data, source, root)
    labels, who = labels_and_readers(data, LESIONS, source)
    labels = np.concatenate([labels, either(labels)[:, None]], axis=1)
    by_report = "readers" in source  # a report's own words are mined; other sources' labels are a reading
    weights = np.where((who == "label") & by_report, MINED_WEIGHT, 1.0).astype(np.float32)
    weights = np.concatenate([weights, weights.min(1, keepdims=True)], axis=1)
    boxes = np.full((len(data), MAX_BOXES, 5), np.nan, np.float32)
    located = np.zeros(len(data), bool)
    for i, row in enumerate(rows):
        if (np.isnan(labels[i, 2]) or weights[i, 2] < 1) and row.get("google4_nodule_mass") is not None:
            labels[i, 2], weights[i, 2] = row["google4_nodule_mass"], 1
        votes = [row.get(f"google14_{name}_votes5") for name in LESIONS]
        if None not in votes:
            labels[i], weights[i] = np.array([*votes, max(votes)]) / 5, 1
        drawn = boxes_of(row)
        boxes[i, : len(drawn)] = np.reshape(drawn, (-1, 5))
        located[i] = bool(drawn) and DIFFUSE not in str(row.get("chestxdet_boxes"))
        for kind in {int(box[0]) for box in drawn}:
            labels[i, [kind, 2]], weights[i, [kind, 2]] = 1, 1
    located |= labels[:, 2] <= 0.2  # nowhere
    place_weights = np.where(located, weights[:, 2], 0).astype(np.float32)
    listed = data["findings"] if "findings" in data.column_names else [None] * len(data)
    nothing = np.array([findings == [] for findings in listed], bool)
    known_weights = np.where(np.isnan(labels), 0, weights)
    return {
        "labels": labels.astype(np.float32),
        "weights": known_weights.astype(np.float32),
        "boxes": boxes,
        "place_weights": place_weights,
        "read": ~np.isnan(labels[:, 2]) & (weights[:, 2] == 1),
        "healthy": (labels[:, 2] <= 0.2) & ((weights[:, 2] == 1) | nothing),
    }


def either(labels):
    """(N, 2) in {0, 1, NaN} → (N,): 1 where any is there, 0 where neither, else NaN."""
    unknown = np.isnan(labels).any(1) & ~(labels == 1).any(1)
    return np.where(unknown, np.nan, (labels == 1).any(1)).astype(np.float32)


def reader_rows(data, source, root):
    """What the readers' table says of each radiograph: a dict, empty where there is nothing."""
    files = sorted((Path(root or ".") / source["readers"]["table"]).glob("*.parquet")) if "readers" in source else []
    table = read_table(files[0]) if files else {}
    return [table.get(name, {}) for name in data["file_name"]]


def boxes_of(row):
    """A row of the readers' table → its nodules and masses, a list of (lesion, x, y, half width, half height)."""
    boxes = []
    for name, left, top, right, bottom in json.loads(row.get("chestxdet_boxes") or "[]"):
        boxes.append((name, left, top, right, bottom))
    for name, left, top, width, height in json.loads(row.get("bbox2017") or "[]"):
        boxes.append((name, left, top, left + width, top + height))
    places = []
    for name, *edges in boxes:
        if name in KINDS:
            left, top, right, bottom = (2 * edge / BOX_SIDE - 1 for edge in edges)
            places.append((KINDS[name], (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2))
    return places[:MAX_BOXES]


class LesionRadiographs(Dataset):
    """Several sources' `LungArrays` with what `lesion_labels` says of them.

    Each item: `pixel_values` (1, S, S), `alpha` (1, 128, 128) uint8; the rest as in `lesion_labels`, tensors of one
    image.
    """

    def __init__(self, parts):
        self.parts = parts
        self.places = [(part, row) for part, (arrays, _) in enumerate(parts) for row in range(len(arrays))]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        part, row = self.places[index]
        arrays, known = self.parts[part]
        image, alpha = arrays[row]
        known = {name: torch.as_tensor(column[row]) for name, column in known.items()}
        return {"pixel_values": image, "alpha": alpha} | known


def groups(parts):
    """What the sampler draws by, for each image: its source, and how well its lesion is known, or None for none.

    So each source that has lesions shows as many: how coarse its pictures are says nothing of them.
    """
    found = []
    for source, (_, known) in enumerate(parts):
        for label, weight, boxes in zip(known["labels"], known["weights"], known["boxes"], strict=True):
            if not label[2] >= 0.5:
                found.append((source, None))
            elif not np.isnan(boxes[0, 0]):
                found.append((source, "place"))
            else:
                found.append((source, "readers" if weight[2] == 1 else "reports"))
    return found
