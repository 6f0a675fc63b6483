"""Pictures of the lungs' box at a millimetre a pixel, and what readers said of nodules and masses there."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from lungfusion.models.concatenation import LungAlignment, compose, inverse, sample
from train.data.labels import labels_and_readers
from train.data.pictures import load_image
from train.data.sources import find_source, read_table
from train.data.splits import load_source

SIDE = 320  # pixels of the lungs' box
RIM = 32  # pixels around it, for crops that are turned
WHOLE = SIDE + 2 * RIM
MORE = WHOLE / SIDE
CELL = 4  # pixels of the picture to one of the lungs' mask
MIN_SIDE = 256  # pixels of a radiograph's shorter side
BOXED = 1024  # pixels of the pictures in which readers drew boxes
NAMES = ("Nodule", "Mass")


@dataclass
class Pictures:
    """N radiographs' lungs' boxes.

    Attributes:
        pixels: (N, 384, 384) uint8, memory-mapped: the lungs' box (320) and 32 around it.
        lungs: (N, 96, 96) uint8, their mask.
        rows: a dict for each: source, split, patient_id, file_name, side; `label`: whether a nodule or mass is there, 1
            or 0, None where readers left it open or nobody looked; `votes`: share of five readers, or None; `read`:
            whether radiologists looked for it; `healthy`: whether anything at all was found; `boxes`: list of (x, y,
            width, height) in pixels of the picture; `located`: whether they are all there are.
    """

    pixels: np.ndarray
    lungs: np.ndarray
    rows: list = field(default_factory=list)

    def where(self, keep):
        return np.array([i for i, row in enumerate(self.rows) if keep(row)], int)


def load_pictures(recipe, pipeline, side, keep=None):
    """`Pictures` of a recipe's sources, made once and kept in `cache`.

    Args:
        pipeline: `LungFusionPipeline`, whose segmenter draws the lungs.
        side: pixels of the square that radiographs are read at before the lungs' box is cut out.
        keep: which are wanted: a function of a row; all if None.
    """
    folder = Path(recipe["cache"]) / str(side)
    if not (folder / "rows.json").exists():
        make_pictures(recipe, pipeline, folder, side, keep)
    rows = json.loads((folder / "rows.json").read_text())
    pixels = np.memmap(folder / "pixels.bin", np.uint8, "r", shape=(len(rows), WHOLE, WHOLE))
    lungs = np.memmap(folder / "lungs.bin", np.uint8, "r", shape=(len(rows), WHOLE // CELL, WHOLE // CELL))
    return Pictures(pixels, lungs, rows)


@torch.inference_mode()
def make_pictures(recipe, pipeline, folder, side, keep):
    folder.mkdir(parents=True, exist_ok=True)
    align, rows = LungAlignment(SIDE), []
    size = {"height": side, "width": side}
    with open(folder / "pixels.bin", "wb") as pixels, open(folder / "lungs.bin", "wb") as lungs:
        for name in recipe["sources"]:
            source = find_source(name)
            place = Path(recipe["data_root"]) / source["dataset"]
            for split in ("train", "validation"):
                data = load_source(place, split, source=source)
                said = what_is_known(data, source, Path(recipe["data_root"]))
                for row, known in tqdm(zip(data, said, strict=True), total=len(data), desc=f"{name} {split}"):
                    radiograph = load_image(row["image"])
                    facts = {key: row[key] for key in ("patient_id", "file_name")}
                    facts |= {"source": name, "split": split, "side": min(radiograph.pixels.shape)} | known
                    if keep and not keep(facts):
                        continue
                    image = pipeline.processor(radiograph.pixels, size=size)["pixel_values"]
                    alpha = pipeline.segmenter(image).logits.sigmoid()
                    around = compose(align.roi_affine(alpha), torch.tensor([[[MORE, 0, 0], [0, MORE, 0]]]))
                    for x, width, file in ((image, WHOLE, pixels), (alpha, WHOLE // CELL, lungs)):
                        file.write((sample(x, around, width) * 255).round().byte().numpy().tobytes())
                    facts["boxes"] = [seen_in(one, around) for one in facts["boxes"]]
                    rows.append(facts)
    (folder / "rows.json").write_text(json.dumps(rows))


def seen_in(box, around):
    """A box (left, top, right, bottom as shares of the radiograph's sides) → (x, y, width, height) in the picture."""
    left, top, right, bottom = (2 * edge - 1 for edge in box)
    ends = torch.tensor([[left, top, 1], [right, bottom, 1]], dtype=torch.float32)
    (x1, y1), (x2, y2) = ((ends @ inverse(around)[0].T + 1) / 2 * WHOLE).tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2, abs(x2 - x1), abs(y2 - y1)


def what_is_known(data, source, root):
    """What is known of nodules and masses in each row of a source: list of dicts, as in `Pictures.rows`."""
    table = {}
    if "readers" in source:
        table = read_table(next(iter(sorted((root / source["readers"]["table"]).glob("*.parquet")))))
    labels, who = labels_and_readers(data, ("nodule", "mass", "abnormal"), source)
    known = []
    for i, name in enumerate(data["file_name"]):
        row = table.get(name, {})
        nodule, mass, abnormal = labels[i]
        either = 1.0 if 1 in (nodule, mass) else 0.0 if (nodule, mass) == (0, 0) else None
        by_report = "readers" in source and "label" in who[i, :2]
        votes = [row.get(f"google14_{one}_votes5") for one in ("nodule", "mass")]
        votes = None if None in votes else max(votes) / 5
        if votes is not None:
            either = 1.0 if votes >= 0.6 else 0.0 if votes <= 0.2 else None
        elif by_report and row.get("google4_nodule_mass") is not None:
            either, by_report = float(row["google4_nodule_mass"]), False
        boxes, diffuse = boxes_of(row)
        if boxes or diffuse:
            either, by_report = 1.0, False
        known.append(
            {
                "label": either,
                "votes": votes,
                "read": either is not None and (not by_report or votes is not None),
                "healthy": bool(abnormal == 0) and either == 0,
                "boxes": boxes,
                "located": bool(boxes) and not diffuse,
            }
        )
    return known


def boxes_of(row):
    """Boxes of nodules and masses, (left, top, right, bottom) as shares of the sides; and whether some are diffuse."""
    drawn = json.loads(row.get("chestxdet_boxes") or "[]")
    boxes = [edges for name, *edges in drawn if name in NAMES]
    for name, left, top, width, height in json.loads(row.get("bbox2017") or "[]"):
        if name in NAMES and not boxes:
            boxes.append((left, top, left + width, top + height))
    return [tuple(edge / BOXED for edge in box) for box in boxes], any(name == "Diffuse Nodule" for name, *_ in drawn)
