"""ImageNet weights for branches and encoders: an explicit step of training, never of loading a checkpoint."""

from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from timm.models import adapt_input_conv


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
    return timm.create_model(name, pretrained=True).state_dict()


def folder_weights(name, folder):
    files = sorted(folder.glob(f"{name}.safetensors")) + sorted(folder.glob(f"{name}.*.safetensors"))
    files += sorted(folder.glob(f"{name}_features.*.safetensors"))
    if not files:
        raise FileNotFoundError(
            f"{folder} has no weights of {name}: put {name}.safetensors there, or say pretrained=hub."
        )
    return {key: tensor.float() for key, tensor in load_file(files[0]).items()}
