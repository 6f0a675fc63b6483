"""Lungs drawn on radiographs as they are, and under each of `train.augment.corruptions.MILD_CORRUPTIONS`."""

import numpy as np
import torch
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from train.augment.corruptions import MILD_CORRUPTIONS, corrupt
from train.data.pictures import image_bytes, read_mask
from train.data.sources import hospital_of
from train.data.splits import with_mask
from train.io import cell, markdown_table
from train.scoring.images import patients
from train.scoring.metrics import mask_scores, with_interval

CLEAN, CORRUPTED = "clean", "corrupted"  # CORRUPTED: the mean of all corruptions


def measure_robustness(pipeline, parts, declared=None):
    """`score_corrupted` of all sources that have masks.

    Args:
        pipeline: `LungFusionPipeline`.
        parts: source → `datasets.Dataset` as `load_source` gives it; those without masks are passed over.

    Raises:
        ValueError: there is no mask.
    """
    masked = {name: data for name, data in parts.items() if "mask" in data.column_names and len(with_mask(data))}
    if not masked:
        raise ValueError(f"No radiograph of {', '.join(parts)} has a mask to compare the lungs with.")
    rows = []
    for name, data in masked.items():
        rows += score_corrupted(pipeline, data, name, declared=(declared or {}).get(name))
    return rows


def score_corrupted(pipeline, data, source, corruptions=MILD_CORRUPTIONS, declared=None):
    """Draw the lungs of every radiograph that has a mask, clean and under each corruption.

    Args:
        source: its name; its declaration is `declared`, or what sources.yaml says.

    Returns:
        one dict for each image and corruption: source, hospital, patient_id, file_name, corruption, mask_quality and
        `mask_scores`.
    """
    rows, hospital = [], hospital_of(source, declared)
    for index, row in enumerate(tqdm(with_mask(data), desc=f"Corrupting {source}")):
        image = torch.from_numpy(load_radiograph(image_bytes(row["image"])).pixels)[None]
        mask = torch.from_numpy(read_mask(row["mask"]))[None]
        versions = {CLEAN: (image, mask)} | {name: corrupt(name, image, mask, index) for name in corruptions}
        analyses = pipeline([seen[0].numpy() for seen, _ in versions.values()], correct=False)
        for (name, (_, true_mask)), analysis in zip(versions.items(), analyses, strict=True):
            of_image = {"source": source, "hospital": hospital} | {key: row[key] for key in ("patient_id", "file_name")}
            scores = mask_scores(torch.from_numpy(analysis.alpha)[None, None], true_mask[None])
            of_version = of_image | {"corruption": name, "mask_quality": analysis.mask_quality}
            rows.append(of_version | {key: float(value[0]) for key, value in scores.items()})
    return rows


def summarise_robustness(rows):
    """Figures with 95 % intervals by bootstrap over patients, for each corruption and for their mean over each image.

    Args:
        rows: as `score_corrupted` returns, of one or more models.

    Returns:
        dict: `clean`, `corrupted` and every corruption → images, least_dice, and dice, pixel_accuracy and
        change (of the Dice against the clean image), each with its interval.
    """
    rows_of = {name: [row for row in rows if row["corruption"] == name] for name in (CLEAN, *MILD_CORRUPTIONS)}
    tables = {n: np.array([[row["dice"], row["pixel_accuracy"]] for row in r]) for n, r in rows_of.items()}  # (N, 2)
    tables[CORRUPTED] = np.mean([tables[name] for name in MILD_CORRUPTIONS], axis=0)
    patient_ids = patients(rows_of[CLEAN])
    summary = {}
    for name in (CLEAN, CORRUPTED, *MILD_CORRUPTIONS):
        summary[name] = {"images": len(patient_ids), "least_dice": float(tables[name][:, 0].min())}
        summary[name] |= with_interval(mean_figures, patient_ids, tables[name], tables[CLEAN])
    return summary


def mean_figures(table, clean):
    dice, pixel_accuracy = table.mean(0).tolist()
    return {"dice": dice, "pixel_accuracy": pixel_accuracy, "change": dice - float(clean[:, 0].mean())}


def robustness_table(summary):
    """Markdown: one row for each corruption."""
    rows = []
    for name, figures in summary.items():
        cells = [cell(figures[key]) for key in ("dice", "change", "pixel_accuracy")]
        rows.append([name, figures["images"], *cells, f"{figures['least_dice']:.3f}"])
    return markdown_table(["image", "n", "Dice", "change of Dice", "pixel accuracy", "least Dice"], rows)
