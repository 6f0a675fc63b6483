"""Out-of-distribution score: how unlike the radiographs it was trained on the segmenter finds an image."""

import torch
from torch import nn


class MahalanobisDistance(nn.Module):
    """The Mahalanobis distance of an image's deepest features, mean over places, from those of training radiographs.

    After Lee et al. 2018 (NeurIPS 31), divided by the square root of the number of features: 1 on average over the
    radiographs it was fitted to (`train.calibrate.ood`), more for what is unlike them, 0 for everything until it is
    fitted. `precision_cholesky` is the Cholesky factor of the inverse covariance, so scaled.
    """

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("precision_cholesky", torch.zeros(channels, channels))

    def forward(self, features):
        """(B, channels, h, w) → (B,) float32, not negative."""
        pooled = features.float().mean((2, 3))
        return ((pooled - self.mean.float()) @ self.precision_cholesky.float()).norm(dim=1)
