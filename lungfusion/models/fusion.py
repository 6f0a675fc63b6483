"""Fusion: the feature maps of several branches become one vector."""

import torch
from torch import nn
from torch.nn import functional as F


class ConcatFusion(nn.Module):
    """Pooled features side by side (the source paper's fusion)."""

    def __init__(self, channels, size):
        super().__init__()
        self.num_features = sum(channels)

    def forward(self, feature_maps):
        """[(B, C_i, h_i, w_i), …] → (B, ΣC_i), and no weights."""
        return torch.cat([pool(x) for x in feature_maps], dim=1), None


class GatedFusion(nn.Module):
    """Each branch projected to one size, then a sum with learned weights for this very image."""

    def __init__(self, channels, size):
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(c, size) for c in channels)
        self.gate = nn.Linear(sum(channels), len(channels))
        self.num_features = size

    def forward(self, feature_maps):
        """[(B, C_i, h_i, w_i), …] → (B, size), and the weights (B, branches), which sum to 1."""
        pooled = [pool(x) for x in feature_maps]
        weights = self.gate(torch.cat(pooled, dim=1)).softmax(1)  # (B, N)
        projected = torch.stack([p(x) for p, x in zip(self.projections, pooled, strict=True)], dim=1)  # (B, N, size)
        return (weights[..., None] * projected).sum(1), weights


class LstmFusion(nn.Module):
    """The branches' maps, side by side, read place by place by an LSTM (after Kong & Cheng 2021)."""

    places = 7  # the maps are pooled to 7 × 7, the grid of a 224 px image at stride 32

    def __init__(self, channels, size):
        super().__init__()
        self.projections = nn.ModuleList(nn.Conv2d(c, size, 1) for c in channels)
        self.lstm = nn.LSTM(size * len(channels), size, batch_first=True)
        self.num_features = size

    def forward(self, feature_maps):
        """[(B, C_i, h_i, w_i), …] → (B, size), and no weights."""
        maps = [F.adaptive_avg_pool2d(p(x), self.places) for p, x in zip(self.projections, feature_maps, strict=True)]
        sequence = torch.cat(maps, dim=1).flatten(2).transpose(1, 2)  # (B, 49, size · N)
        _, (hidden, _) = self.lstm(sequence)
        return hidden[-1], None


FUSION_MODULES = {"concat": ConcatFusion, "gated": GatedFusion, "lstm": LstmFusion}


def pool(x):
    return x.mean((2, 3))
