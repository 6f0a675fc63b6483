"""Give a trained classifier a lesion branch: a new one to train, or another model's."""

import torch
from torch import nn

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification
from train.engine.freezing import freeze
from train.engine.pretrained import load_pretrained_backbone, load_weights

FITTED = (  # what train.lesions says of its findings in the configuration
    "temperatures",
    "biases",
    "thresholds",
    "rule_out_thresholds",
    "operating_points",
    "populations",
    "min_sides",
    "sources",
)
PRIOR = -7.5  # logit of a place before anything is learned: about one place in two pictures


def with_lesion_branch(model, settings, weights=None):
    """A classifier as it was, and a lesion branch beside it, which answers for its findings from then on.

    Args:
        model: `LungFusionForImageClassification`; its findings hold `lesion_findings`.
        settings: the new configuration's `lesion_backbone`, `lesion_size`, `lesion_findings` and `image_size`, which is
            raised to it: the other branches go on to see as fine a picture as before. Without a backbone the classifier
            answers for the findings itself.
        weights: state dict of a model with such a branch; random ones if None.

    Returns:
        `LungFusionForImageClassification`, all of it frozen; of its findings of lesions nothing is said any more, and
        they are neither calibrated nor shown.
    """
    old, lesions = model.config, list(settings["lesion_findings"])
    coarse = old.coarse_size or old.image_size
    kept = {"image_size": max(coarse, settings["image_size"]), "coarse_size": coarse}
    if not settings["lesion_backbone"]:
        kept["lesion_findings"] = []
    config = LungFusionConfig.from_dict(old.to_dict() | settings | kept)
    for name in ("rule_out_thresholds", "operating_points", "hospitals", "reference_scores", "populations", "sources"):
        setattr(config, name, {key: said for key, said in getattr(config, name).items() if key not in lesions})
    config.temperatures |= dict.fromkeys(lesions, 1.0)
    config.biases |= dict.fromkeys(lesions, 0.0)
    for told in (config.shown, config.explained):
        told[:] = [name for name in told if name not in lesions]
    new = LungFusionForImageClassification(config)
    branch = {key: tensor for key, tensor in (weights or new.state_dict()).items() if key.startswith("lesions.")}
    others = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("lesions.")}
    new.load_state_dict(others | branch)
    return new.requires_grad_(False).eval()


def take_lesions_from(model, earlier):
    """A classifier with the trained lesion branch of an earlier model, and what was fitted to that.

    Raises:
        ValueError: the earlier model has none.
    """
    if not earlier.config.lesion_backbone:
        raise ValueError("--lesions names a model without a lesion branch: train one with train.lesions.")
    names = ("lesion_backbone", "lesion_size", "lesion_findings", "image_size")
    new = with_lesion_branch(model, {name: getattr(earlier.config, name) for name in names}, earlier.state_dict())
    for name in new.config.lesion_findings:
        for fitted in FITTED:
            if name in getattr(earlier.config, fitted):
                getattr(new.config, fitted)[name] = getattr(earlier.config, fitted)[name]
        if name in earlier.config.shown:
            new.config.shown.append(name)
    return new


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
