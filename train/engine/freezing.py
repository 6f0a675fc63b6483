"""Which layers of the branches learn."""

import re

STAGES = ("blocks", "stages", "features")  # what timm's networks call the list of their stages


def freeze(branches, frozen):
    """Keep the first layers of every branch as they are: lines and textures look alike in photographs and radiographs.

    Args:
        branches: `Branch` modules.
        frozen: how many stages of each network, its stem included; 0 for none, -1 for all layers.

    Raises:
        ValueError: a network's stages are not known by any of the names timm gives them.
    """
    branches.requires_grad_(frozen >= 0)
    if frozen < 1:
        return
    for branch in branches:
        for part in first_layers(branch.backbone, frozen):
            part.requires_grad_(False)


def first_layers(backbone, stages):
    """The modules before the stages, and the first `stages` of them."""
    layers, numbered = [], 0
    for name, child in backbone.named_children():
        if name in STAGES:
            return [*layers, *list(child)[:stages]]
        numbered += bool(re.fullmatch(r"layer\d", name))  # as ResNets have them
        layers.append(child)
        if numbered == stages:
            return layers
    raise ValueError(f"The stages of {type(backbone).__name__} are not known: set frozen to 0 or -1.")
