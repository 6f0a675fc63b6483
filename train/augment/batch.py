"""What the random changes of a batch are made of: figures for each image, axes, means.

Random numbers are torch's own, on the batch's device: `torch.manual_seed` makes them repeat, as in torchvision.
"""

import torch
from torch.nn import functional as F


def uniform(images, low, high):
    """A number for each image of a batch: (B, 1, 1, 1)."""
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high)


def axes(images):
    """x (W,) and y (H, 1), both from −1 to 1."""
    y, x = (torch.linspace(-1, 1, side, device=images.device) for side in images.shape[-2:])
    return x, y[:, None]


def mean_around(images, reach):
    """Mean of the pixels up to `reach` away in rows and columns, of those within the image."""
    for kernel, padding in (((2 * reach + 1, 1), (reach, 0)), ((1, 2 * reach + 1), (0, reach))):
        images = F.avg_pool2d(images, kernel, stride=1, padding=padding, count_include_pad=False)
    return images


def at_resolution(images, side):
    """(B, 1, S, S) with no more than `side` pixels' detail along each side."""
    small = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return F.interpolate(small, images.shape[-2:], mode="bilinear")
