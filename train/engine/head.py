"""The shallow classifier alone: where all branches are frozen, what they see of an image is computed once and kept."""

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
    settled = recipe["frozen"] == -1 and recipe["model"]["fusion"] == "concat" and recipe["loss"] == "by_finding"
    return settled and (recipe["augmentation"]["preset"] == "none" or bool(recipe["views"]))


def head_of(model):
    """A function of fused features, as keyword, → an object with `logits`: the model without all that comes before."""
    return lambda features: SimpleNamespace(logits=model.calibrate(model.classifier(features)))


def logits_of(model, batch):
    """Of a batch of radiographs with their lungs, as bytes, or of one of `features`: (B, findings) float32."""
    if "features" in batch:
        return head_of(model)(one_view(batch)["features"]).logits.float()
    batch = to_floats(batch)
    return model(batch["pixel_values"], alpha=batch["alpha"]).logits.float()


class FusedFeatures:
    """The fused features of one part of a source, in the place of its `LungArrays`.

    Attributes:
        views: list of (N, D) float16 arrays: of the radiographs as they are, and as often as they were altered.
    """

    def __init__(self, views):
        self.views = views

    def __len__(self):
        return len(self.views[0])

    def select(self, rows):
        return FusedFeatures([view[rows] for view in self.views])


def with_features(model, parts, views=0, augment=None):
    """`classify.load_parts`, its arrays looked at by a model whose branches stay as they are.

    Args:
        views: how often each radiograph is looked at, altered by `augment`, besides once as it is.
        augment: `Augmentation`; it may mix what stands in one batch, and so pictures of one source alone: what
            is computed for one training run then serves another that leaves a hospital out.
    """
    return [
        (
            name,
            data,
            FusedFeatures([fused_features(model, arrays, name, view, augment) for view in range(views + 1)]),
            labels,
        )
        for name, data, arrays, labels in parts
    ]


@torch.inference_mode()
def fused_features(model, arrays, name="", view=0, augment=None):
    """What the classifier sees of radiographs whose lungs are drawn.

    Args:
        model: `LungFusionForImageClassification`, its fusion without weights.
        arrays: `LungArrays`.
        name: of the source, for the progress bar.
        view: 0 for the radiographs as they are; another number for as many ways to alter them at random.
        augment: `Augmentation`, of any view but 0.

    Returns:
        (N, D) float16 array, its rows those of `arrays`. All of the file behind them is kept in the Hugging Face cache,
        under a digest of that file's name, of the configuration and all weights before the classifier, of what alters
        the pictures and of the kind of device.
    """
    seen = [Path(arrays.pixels.filename).parent.name, model.config.to_json_string(), model.device.type]
    digest = hashlib.sha256(" ".join([*seen, f"{view} {augment}" if view else ""]).encode())
    for part in (model.concatenation, model.branches, model.fusion):
        add_weights(digest, part)
    path = Path(HF_CACHE_HOME) / "lungfusion" / f"features-{digest.hexdigest()[:32]}.npy"
    if not path.exists():
        found = extract_features(
            model.eval(), LungArrays(arrays.pixels, arrays.alpha), f"{name}, view {view}", view, augment
        )
        beside = path.with_suffix(f".{os.getpid()}.npy")
        np.save(beside, found)
        beside.rename(path)
    return np.load(path)[arrays.rows]


def extract_features(model, arrays, name, view=0, augment=None):
    """(N, D) float16, each row what `model` sees of one of the `arrays`; a view looks the same each time."""
    labels, found = np.zeros((len(arrays), 1), np.float32), []
    with torch.random.fork_rng():
        torch.manual_seed(view)
        for batch in tqdm(DataLoader(LabelledRadiographs([(arrays, labels)]), BATCH), desc=f"Looking at {name}"):
            batch = to_floats({key: value.to(model.device) for key, value in batch.items()})
            pair = batch["pixel_values"], batch["alpha"]
            seen = model.fuse(*(augment(*pair) if view else pair)).pooler_output
            found.append(seen.half().cpu().numpy())
    return np.concatenate(found)


class LabelledFeatures(Dataset):
    """Each item `features` (views, D) float32, and `labels` (findings,) float32; `one_view` picks.

    parts: list of (`FusedFeatures`, labels).
    """

    def __init__(self, parts):
        self.views = [np.concatenate(of_parts) for of_parts in zip(*(part.views for part, _ in parts), strict=True)]
        self.labels = np.concatenate([labels for _, labels in parts])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        features = torch.from_numpy(np.stack([view[row] for view in self.views])).float()
        return {"features": features, "labels": torch.from_numpy(self.labels[row])}


def one_view(batch):
    """A batch of `LabelledFeatures` with one view of each image, at random: features (B, D)."""
    features = batch["features"]
    chosen = torch.randint(features.shape[1], (len(features),), device=features.device)
    return batch | {"features": features[torch.arange(len(features), device=features.device), chosen]}


def labelled_rows(parts):
    """`LabelledRadiographs` or `LabelledFeatures`, whichever the parts, a list of (arrays, labels), are of."""
    if isinstance(parts[0][0], FusedFeatures):
        return LabelledFeatures(parts)
    return LabelledRadiographs(parts)
