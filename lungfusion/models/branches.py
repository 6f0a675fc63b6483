"""The branches: CNNs of timm, each with its own normalisation, read at their deepest feature map."""

import timm
import torch
from torch import nn


class Branch(nn.Module):
    """One CNN.

    `mean` and `std` are timm's figures for the pretrained weights of that architecture; they are persistent buffers
    and so travel with the weights. A fourth channel, alpha, is centred to [−1, 1].
    """

    def __init__(self, name, in_channels):
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

    def forward(self, cnn_input):
        """(B, in_channels, s, s) float in [0, 1] → (B, num_features, h, w)."""
        return self.backbone.forward_features((cnn_input - self.mean) / self.std)


def can_checkpoint(backbone):
    """Whether timm can trade this network's memory for time; those that can't (VGG…) assert that it is not asked."""
    try:
        backbone.set_grad_checkpointing(True)
        backbone.set_grad_checkpointing(False)
    except (AssertionError, AttributeError):
        return False
    return True
