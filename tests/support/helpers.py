"""What several tests share: tiny settings of a training, and data sets of phantoms."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value
from PIL import Image as PILImage

from tests.support.tiny import draw_phantom

ROOT = Path(__file__).parents[2]
PATIENTS = 24
TINY_LUNGS = [
    "model={encoder: plain, image_size: 64, width: 4}",
    "epochs=2",
    "batch_size=4",
    "learning_rate=0.01",
    "workers=0",
    "pretrained=null",
]
TINY_FINDINGS = [
    "model.findings=[pneumonia, tuberculosis, effusion]",
    "sources=[kermany, shenzhen, nih, nih_128]",
    "init_from=null",
    "model.branches=[test_efficientnet, test_resnet]",
    "model.image_size=64",
    "model.branch_size=64",
    "epochs=2",
    "epoch_size=16",
    "batch_size=4",
    "workers=0",
    "pretrained=null",
]


class Elsewhere(torch.Tensor):
    """A tensor as a GPU's: what is computed from it is elsewhere too, and numpy can't read it before `cpu()`."""

    def cpu(self):
        return self.as_subclass(torch.Tensor)

    def numpy(self):
        raise TypeError("can't convert a tensor of another device to numpy: use cpu() first")


def png(pixels):
    buffer = BytesIO()
    PILImage.fromarray((np.asarray(pixels) * 255).astype(np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


@cache
def drawn(seed, opacity):
    """A phantom of 96 pixels and its lungs, as rows of a data set hold them: many tests ask for the same ones."""
    pixels, mask = draw_phantom(seed=seed, size=96, opacity=opacity)
    return png(pixels), png(mask)


def write_source(folder, names, opacity, with_mask):
    """A Parquet data set of phantoms: every second one has the sign, two images for each patient."""
    rows = []
    for index in range(PATIENTS):
        sick = index % 2
        image, mask = drawn(index, opacity if sick else None)
        row = {
            "image": image,
            "label": sick,
            "patient_id": f"{opacity} {index // 2}",
            "file_name": f"{index}.png",
        }
        rows.append(row | ({"mask": mask} if with_mask else {}))
    features = {
        "image": Image(),
        "label": ClassLabel(names=names),
        "patient_id": Value("string"),
        "file_name": Value("string"),
    }
    features |= {"mask": Image()} if with_mask else {}
    folder.mkdir(parents=True)
    Dataset.from_list(rows, features=Features(features)).to_parquet(folder / "train-00000-of-00001.parquet")


def write_findings(folder, seed):
    """Like the NIH sets: lists of findings, a validation part of its own; every second phantom has an effusion."""
    kinds = {"image": Image(), "findings": Sequence(Value("string"))}
    features = Features(kinds | {"patient_id": Value("string"), "file_name": Value("string")})
    folder.mkdir(parents=True)
    for split, start in (("train", 0), ("validation", PATIENTS)):
        rows = []
        for index in range(start, start + PATIENTS):
            image, _ = drawn(seed + index, "consolidation" if index % 2 else None)
            findings = ["Effusion", "Pneumonia"] if index % 2 else []
            rows.append({"image": image, "findings": findings, "patient_id": str(index), "file_name": str(index)})
        Dataset.from_list(rows, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")


def result_of(coroutine):
    """What it returns, run in a thread of its own: a browser of another test may keep a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
