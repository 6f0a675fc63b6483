"""Local contrast: by how much each place differs from its surroundings, so that exposure and scanner fall away."""

import torch
from torch.nn import functional as F


def local_contrast(picture, mean, sigma, step, least):
    """Each pixel's difference from the mean around it, in standard deviations of such differences around it.

    Args:
        picture, mean: (B, 1, h, w) float in [0, 1]; `mean` as `surroundings` gives it.
        sigma: in pixels, of the Gaussian around each pixel over which the deviation is taken.
        step: pixels between the places at which it is computed.
        least: deviation that is added, so that flat places stay flat.

    Returns:
        (B, 1, h, w) float, about −3 to 3.
    """
    difference = picture - mean
    deviation = surroundings(difference.square(), sigma, step).clamp(min=0).sqrt()
    return difference / (deviation + least)


def surroundings(picture, sigma, step):
    """Each pixel's mean over a Gaussian around it, computed at every `step`th pixel: (B, 1, h, w) → the same."""
    coarse, sigma = F.avg_pool2d(picture, step), sigma / step
    reach = int(2.5 * sigma)
    place = torch.arange(-reach, reach + 1, device=picture.device, dtype=picture.dtype)
    weight = torch.exp(-0.5 * (place / sigma) ** 2)

    def along(x):
        x = F.conv2d(x, weight[None, None, None], padding=(0, reach))
        return F.conv2d(x, weight[None, None, :, None], padding=(reach, 0))

    mean = along(coarse) / along(torch.ones_like(coarse[:1]))
    return F.interpolate(mean, size=picture.shape[-2:], mode="bilinear", align_corners=False)
