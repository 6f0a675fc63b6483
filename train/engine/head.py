"""The classifier alone: where nothing else learns and no picture is altered, the branches look at each crop once."""

from types import SimpleNamespace

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from train.data.crops import cut_inputs

BATCH = 32


def learns_head_alone(recipe):
    """Whether a run changes nothing but the classifier, and what that is given of an image is always the same."""
    settled = recipe["frozen"] == -1 and recipe["model"]["fusion"] == "concat" and recipe["loss"] == "by_finding"
    return settled and recipe["augmentation"]["preset"] == "none" and not (recipe["sides"] or recipe["draws"])


class LabelledFeatures(Dataset):
    """The fused features of `LabelledCrops`, computed once: `features` (D,) and `labels` (findings,) float32 each.

    Args:
        model: `LungFusionForImageClassification`, its fusion without weights.
        crops: `LabelledCrops`.
    """

    @torch.inference_mode()
    def __init__(self, model, crops):
        items = []
        for batch in tqdm(DataLoader(crops, BATCH), desc="Looking at crops"):
            labels = batch.pop("labels")
            batch = {name: value.to(model.device) for name, value in batch.items()}
            features = model.eval().fuse(**cut_inputs(batch, model.config.branch_size)).pooler_output
            items += zip(features.float().cpu().clone(), labels, strict=True)
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        features, labels = self.items[row]
        return {"features": features, "labels": labels}


def head_of(model):
    """A function of fused features, as keyword, → an object with `logits`: the model without all that comes before."""
    return lambda features: SimpleNamespace(logits=model.calibrate(model.classifier(features)))


def logits_of(model, batch):
    """Of a batch of `LabelledCrops` or `LabelledFeatures`: (B, findings) float32."""
    if "features" in batch:
        return head_of(model)(batch["features"]).logits.float()
    pixels = {name: batch[name] for name in ("pixels", "alpha") if name in batch}
    return model(**cut_inputs(pixels, model.config.branch_size)).logits.float()
