"""The shallow classifier alone: where all branches are frozen and no image is changed, each is looked at once."""

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from datasets.config import HF_CACHE_HOME
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from train.data.arrays import LabelledRadiographs, LungArrays, to_floats
from train.data.cache import add_weights

BATCH = 32


def learns_head_alone(recipe):
    """Whether nothing but the classifier changes what a run's model says of an image."""
    settled = recipe["frozen"] == -1 and recipe["model"]["fusion"] == "concat"
    return settled and recipe["augmentation"]["preset"] == "none" and recipe["loss"] == "by_finding"


def head_of(model):
    """A function of fused features, as keyword, → an object with `logits`: the model without all that comes before."""
    return lambda features: SimpleNamespace(logits=model.calibrate(model.classifier(features)))


def logits_of(model, batch):
    """Of a batch of radiographs with their lungs, as bytes, or of one of `features`: (B, findings) float32."""
    if "features" in batch:
        return head_of(model)(batch["features"]).logits.float()
    batch = to_floats(batch)
    return model(batch["pixel_values"], alpha=batch["alpha"]).logits.float()


class FusedFeatures:
    """The fused features of one part of a source, in the place of its `LungArrays`: (N, D) float32."""

    def __init__(self, features):
        self.features = features

    def __len__(self):
        return len(self.features)

    def select(self, rows):
        return FusedFeatures(self.features[rows])


def with_features(model, parts):
    """`classify.load_parts`, its arrays looked at once by a model whose branches stay as they are."""
    return [
        (name, data, FusedFeatures(fused_features(model, arrays, name)), labels) for name, data, arrays, labels in parts
    ]


@torch.inference_mode()
def fused_features(model, arrays, name=""):
    """What the classifier sees of radiographs whose lungs are drawn.

    Args:
        model: `LungFusionForImageClassification`, its fusion without weights.
        arrays: `LungArrays`.
        name: of the source, for the progress bar.

    Returns:
        (N, D) float32 array, its rows those of `arrays`. All of the file behind them is kept in the Hugging Face cache,
        under a digest of that file's name and of the branches' weights.
    """
    digest = hashlib.sha256(f"{Path(arrays.pixels.filename).parent.name} {model.config.branch_size}".encode())
    digest.update(model.config.concatenation.encode())
    add_weights(digest, model.branches)
    path = Path(HF_CACHE_HOME) / "lungfusion" / f"features-{digest.hexdigest()[:32]}.npy"
    if not path.exists():
        found = look(model.eval(), LungArrays(arrays.pixels, arrays.alpha), name)
        beside = path.with_suffix(f".{os.getpid()}.npy")
        np.save(beside, found)
        beside.rename(path)
    return np.load(path)[arrays.rows]


def look(model, arrays, name):
    labels = np.zeros((len(arrays), 1), np.float32)
    found = []
    for batch in tqdm(DataLoader(LabelledRadiographs([(arrays, labels)]), BATCH), desc=f"Looking at {name}"):
        batch = to_floats({key: value.to(model.device) for key, value in batch.items()})
        found.append(model.fuse(batch["pixel_values"], batch["alpha"]).pooler_output.float().cpu().numpy())
    return np.concatenate(found)


class LabelledFeatures(Dataset):
    """Each item `features` (D,) float32 and `labels` (findings,) float32. parts: list of (`FusedFeatures`, labels)."""

    def __init__(self, parts):
        self.features = np.concatenate([part.features for part, _ in parts])
        self.labels = np.concatenate([labels for _, labels in parts])

    def __len__(self):
        return len(self.features)

    def __getitem__(self, row):
        return {"features": torch.from_numpy(self.features[row]), "labels": torch.from_numpy(self.labels[row])}


def labelled_rows(parts, transform=None):
    """`LabelledRadiographs` or `LabelledFeatures`, whichever the parts, a list of (arrays, labels), are of."""
    if isinstance(parts[0][0], FusedFeatures):
        return LabelledFeatures(parts)
    return LabelledRadiographs(parts, transform)
