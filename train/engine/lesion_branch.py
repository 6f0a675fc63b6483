"""Give a trained classifier a lesion branch: a new one to train, or another model's."""

import torch
from torch import nn

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification
from train.engine.freezing import freeze
from train.engine.pretrained import load_pretrained_backbone, load_weights

PRIOR = -7.5  # logit of a place before anything is learned: about one place in two pictures


def with_lesion_branch(model, settings, weights=None):
    """A classifier as it was, and a lesion branch beside it, which answers for its findings from then on.

    Args:
        model: `LungFusionForImageClassification`; its findings hold `lesion_findings`.
        settings: the new configuration's `lesion_backbone`, `lesion_size`, `lesion_findings` and `image_size`, which is
            raised to it: the other branches go on to see as fine a picture as before.
        weights: state dict of a model with such a branch; random ones if None.

    Returns:
        `LungFusionForImageClassification`, all of it frozen, its findings of lesions not calibrated.
    """
    old, lesions = model.config, list(settings["lesion_findings"])
    kept = {"image_size": max(old.image_size, settings["image_size"]), "coarse_size": old.coarse_size or old.image_size}
    config = LungFusionConfig.from_dict(old.to_dict() | settings | kept)
    config.temperatures |= dict.fromkeys(lesions, 1.0)
    config.biases |= dict.fromkeys(lesions, 0.0)
    new = LungFusionForImageClassification(config)
    branch = {key: tensor for key, tensor in (weights or new.state_dict()).items() if key.startswith("lesions.")}
    others = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("lesions.")}
    new.load_state_dict(others | branch)
    return new.requires_grad_(False).eval()


def take_lesions_from(model, earlier):
    """A classifier with the trained lesion branch of an earlier model, as `with_lesion_branch`; yet to be calibrated.

    Raises:
        ValueError: the earlier model has none.
    """
    if not earlier.config.lesion_backbone:
        raise ValueError("lesions_from names a model without a lesion branch: train one with train.lesions.")
    names = ("lesion_backbone", "lesion_size", "lesion_findings", "image_size")
    return with_lesion_branch(model, {name: getattr(earlier.config, name) for name in names}, earlier.state_dict())


@torch.no_grad()
def begin_branch(branch, name, pretrained, earlier=None, frozen=0):
    """Weights to begin with, and a head that expects next to nothing.

    Args:
        branch: `LesionBranch`.
        name: of its network.
        pretrained: as for `load_pretrained_backbone`; None for random weights.
        earlier: `LungFusionForImageClassification`, whose own branch of that network to begin as instead.
        frozen: how many stages do not learn.

    Raises:
        ValueError: the earlier model has no branch of that network.
    """
    if earlier is not None:
        known = dict(zip(earlier.config.branches, earlier.branches, strict=True))
        if name not in known:
            raise ValueError(f"branch_of names a model with the branches {', '.join(known)}, not {name}.")
        load_weights(branch.backbone, name, known[name].backbone.state_dict())
    elif pretrained:
        load_pretrained_backbone(branch.backbone, name, pretrained)
    nn.init.normal_(branch.head.weight, std=0.01)
    nn.init.constant_(branch.head.bias, PRIOR)
    freeze(nn.ModuleList([branch]), frozen)
