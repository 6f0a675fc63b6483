"""Where a training's weights begin: a trained model, or ImageNet's; and which of them learn.

All of it is an explicit step of training: loading a checkpoint never falls back to other weights.
"""

import re
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import nn

from lungfusion.loading import load_model
from lungfusion.models import LungFusionForImageClassification
from train.engine.earlier_versions import in_todays_form

STAGES = ("blocks", "stages", "features")  # what timm's networks call the list of their stages


def load_segmenter(name_or_path):
    """A trained `LungUNetForSemanticSegmentation`, float32 on the CPU, in evaluation mode.

    Args:
        name_or_path: folder or id on the Hub: a segmenter, or a classifier, which lends its own; the bundled
            checkpoint's if None.

    Raises:
        ValueError: there is none, or some of its weights are missing or of another shape.
    """
    model = load_trained(name_or_path, "a trained segmenter, or a LungFusion classifier, whose own is taken")
    segmenter = getattr(model, "segmenter", model)
    segmenter.config._name_or_path = ""  # where it lay does not matter to those who get the whole
    return segmenter


def load_classifier(name_or_path):
    """A trained `LungFusionForImageClassification`, as `load_segmenter` loads a segmenter."""
    wanted = "a trained LungFusion classifier"
    model = load_trained(name_or_path, wanted)
    if not isinstance(model, LungFusionForImageClassification):
        raise ValueError(f"{name_or_path} holds a segmenter alone. Give {wanted}: its folder, or its id on the Hub.")
    return model


def load_trained(name_or_path, wanted):
    try:
        with in_todays_form(name_or_path) as place:
            return load_model(place).eval()
    except (OSError, ValueError) as error:
        there = Path(name_or_path or ".").is_dir()
        said = error if there else f"There is no folder {name_or_path}, and the Hub gave no model of that name."
        raise ValueError(f"{said} Give {wanted}: its folder, or its id on the Hub.") from error


def load_pretrained_backbone(backbone, name, source="hub"):
    """Load timm's pretrained weights into a timm network, first convolution adapted to its channels.

    Args:
        backbone: a network of timm, or the one inside an encoder of segmentation_models_pytorch (`tu-…`).
        name: timm's name of the architecture.
        source: `"hub"`, or a folder with `NAME.*.safetensors` or `NAME.safetensors`.

    Raises:
        FileNotFoundError: the folder has no weights of that name.
        RuntimeError: the weights do not fit the network.
    """
    load_weights(backbone, name, hub_weights(name) if source == "hub" else folder_weights(name, Path(source)))


def load_weights(backbone, name, weights):
    """Load weights {key: tensor} of the same architecture, perhaps with a classifier, perhaps with other channels."""
    weights, own = dict(weights), backbone.state_dict()
    for key in list(weights):
        if key in own and weights[key].ndim == 4 and own[key].shape[1] != weights[key].shape[1]:
            weights[key] = adapt_channels(weights[key], own[key].shape[1])
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    if missing:
        raise RuntimeError(f"The weights of {name} lack {len(missing)} tensors of the network, first {missing[0]}.")
    backbone.load_state_dict({key: weights[key] for key in own if key in weights}, strict=False)


def adapt_channels(weight, channels):
    """(O, 3 or 4, k, k) → (O, channels, k, k): summed for one channel; colours kept, alpha at zero, for four.

    With alpha's weights at zero the network starts as the one that was pretrained.
    """
    weight = weight[:, :3]
    if channels == 4:
        return torch.cat([weight, torch.zeros_like(weight[:, :1])], dim=1)
    return adapt_input_conv(channels, weight)


def hub_weights(name):
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"The Hub gave no pretrained weights of {name} ({str(error).splitlines()[0]}): say pretrained=FOLDER, one "
            "with their .safetensors, or pretrained=null to begin without."
        ) from error


def folder_weights(name, folder):
    files = sorted(folder.glob(f"{name}.safetensors")) + sorted(folder.glob(f"{name}.*.safetensors"))
    files += sorted(folder.glob(f"{name}_features.*.safetensors"))
    if not files:
        raise FileNotFoundError(
            f"{folder} has no weights of {name}: put {name}.safetensors there, or say pretrained=hub."
        )
    return {key: tensor.float() for key, tensor in load_file(files[0]).items()}


def freeze(branches, frozen):
    """Keep the first layers of every branch as they are: lines and textures look alike in photographs and radiographs.
    The first convolution of a branch that sees alpha learns all the same: of alpha it knows nothing yet.

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
        if branch.mean.shape[1] > 3:
            next(part for part in branch.backbone.modules() if isinstance(part, nn.Conv2d)).requires_grad_(True)


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
