"""The branches: CNNs of timm, each with its own normalisation, read at their deepest feature map."""

import timm
import torch
from torch import nn

from .local_contrast import local_contrast, surroundings

NEAR, AROUND = 1 / 22, 1 / 12  # σ of what local contrast takes as a place's surroundings, of the picture's side
SPREAD = 6  # standard deviations that are shown from black to white


class Branch(nn.Module):
    """One CNN.

    `mean` and `std` are timm's figures for the pretrained weights of that architecture; they are persistent buffers
    and so travel with the weights. A fourth channel, alpha, is centred to [−1, 1].

    Args:
        name: timm's, of the network.
        in_channels: 3, or 4 with alpha.
        reads: what it looks at: `"image"`, or `"local_contrast"`, where a place is as bright as it differs from its
            surroundings.
    """

    def __init__(self, name, in_channels, reads="image"):
        super().__init__()
        self.backbone = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", in_chans=in_channels)
        if hasattr(self.backbone, "pre_logits"):
            self.backbone.pre_logits = nn.Identity()  # VGG's dense layers: 120 million weights, none of them for maps
        normalisation = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
        extra = [0.5] * (in_channels - 3)
        self.register_buffer("mean", torch.tensor([*normalisation.mean, *extra]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor([*normalisation.std, *extra]).view(1, -1, 1, 1))
        self.num_features = self.backbone.num_features
        self.can_checkpoint = can_checkpoint(self.backbone)
        self.reads = reads

    def forward(self, cnn_input):
        """(B, in_channels, s, s) float in [0, 1] → (B, num_features, h, w)."""
        if self.reads == "local_contrast":
            cnn_input = in_local_contrast(cnn_input)
        return self.backbone.forward_features((cnn_input - self.mean) / self.std)


def in_local_contrast(cnn_input):
    """(B, 3 or 4, s, s) float in [0, 1], grey, → the same with the grey's local contrast in place of it."""
    side, grey = cnn_input.shape[-1], cnn_input[:, :1]
    grey = local_contrast(grey, surroundings(grey, NEAR * side, 4), AROUND * side, 4, 0.02)
    grey = (0.5 + grey / SPREAD).clamp(0, 1)
    return torch.cat([grey.expand(-1, 3, -1, -1), cnn_input[:, 3:]], dim=1)


def can_checkpoint(backbone):
    """Whether timm can trade this network's memory for time; those that can't (VGG…) assert that it is not asked."""
    try:
        backbone.set_grad_checkpointing(True)
        backbone.set_grad_checkpointing(False)
    except (AssertionError, AttributeError):
        return False
    return True
