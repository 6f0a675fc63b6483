"""The concatenation module: image and alpha mask become what the branches see, so that the background falls away."""

import torch
from torch import nn
from torch.nn import functional as F

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)


class Concatenation(nn.Module):
    """Joins image and alpha.

    A variation says in `join` what becomes of the two, in `channels` how many channels come out (the first three
    are an image in [0, 1]; a fourth is alpha), and in `region` which part of the radiograph the branches see.
    """

    channels = 3

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, image, alpha):
        """Join and resample to the branches' size.

        Args:
            image: (B, 1, S, S) float in [0, 1].
            alpha: (B, 1, S, S) float in [0, 1].

        Returns:
            joined: (B, channels, size, size) float in [0, 1].
            box: (B, 4) float, the region seen: left, top, right, bottom as fractions of the image's sides.
        """
        box = self.region(alpha)
        joined = sample(self.join(image, alpha), box, self.size)
        return joined, box

    def region(self, alpha):
        return alpha.new_tensor(WHOLE_IMAGE).expand(alpha.shape[0], 4)

    def join(self, image, alpha):
        return image.expand(-1, 3, -1, -1)


class FullImage(Concatenation):
    """The image alone: the ablation."""


class Multiply(Concatenation):
    """Background removed pixel by pixel."""

    def join(self, image, alpha):
        return (image * alpha).expand(-1, 3, -1, -1)


class Rgba(Concatenation):
    """Image and alpha as a fourth channel (the source paper's module)."""

    channels = 4

    def join(self, image, alpha):
        return torch.cat([image.expand(-1, 3, -1, -1), alpha], dim=1)


class GuidedRgba(Rgba):
    """As `Rgba`, alpha refined by a guided filter first, so that it follows the edges of the radiograph."""

    def join(self, image, alpha):
        return super().join(image, guided_filter(image, alpha))


class LearnedMerge(Concatenation):
    """A small convolution merges image and alpha into three channels."""

    def __init__(self, size):
        super().__init__(size)
        self.merge = nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1), nn.Sigmoid()
        )

    def join(self, image, alpha):
        return self.merge(torch.cat([image, alpha], dim=1))


class LungCrop(Concatenation):
    """The lungs' box with a margin, everything outside it cut off."""

    def region(self, alpha):
        return lung_box(alpha)


CONCATENATION_MODULES = {
    "none": FullImage,
    "multiply": Multiply,
    "rgba": Rgba,
    "guided": GuidedRgba,
    "learned": LearnedMerge,
    "crop": LungCrop,
}


def lung_box(alpha, margin=0.06, tail=0.005, least_area=0.02):
    """The box that holds the lungs.

    On each axis it spans all but a `tail` of alpha's mass at either end, so that a stray spot of the mask does not
    stretch it, and is widened by `margin` of its own length on each side. Where alpha covers less than `least_area`
    of the image no lungs were found and the box is the whole image.

    Args:
        alpha: (B, 1, H, W) float in [0, 1].

    Returns:
        (B, 4) float in [0, 1]: left, top, right, bottom as fractions of the image's sides.
    """
    alpha = (alpha > 0.5).float()
    ends = []
    for axis in (2, 3):  # mass along x, then along y
        share = alpha.sum((1, axis)).cumsum(1) / alpha.sum((1, 2, 3)).clamp(min=1)[:, None]  # (B, W) or (B, H)
        low = (share < tail).float().mean(1)
        high = 1 - (share > 1 - tail).float().mean(1)
        pad = margin * (high - low)
        ends.append((low - pad, high + pad))
    (left, right), (top, bottom) = ends
    box = torch.stack([left, top, right, bottom], dim=1).clamp(0, 1)
    found = alpha.mean((1, 2, 3)) >= least_area
    return torch.where(found[:, None], box, box.new_tensor(WHOLE_IMAGE))


def sample(x, box, size):
    """Resample the region `box` of `x` to a square, in float32: half precision cannot place 384 pixels.

    Args:
        x: (B, C, H, W) float.
        box: (B, 4) float, as `lung_box` returns; it may reach beyond the image, zeros lie there.
        size: side of the result in pixels.

    Returns:
        (B, C, size, size) float.
    """
    left, top, right, bottom = (2 * box - 1).unbind(1)  # grid_sample's coordinates, −1 … 1
    zero = torch.zeros_like(left)
    theta = torch.stack(
        [
            torch.stack([(right - left) / 2, zero, (right + left) / 2], dim=1),
            torch.stack([zero, (bottom - top) / 2, (bottom + top) / 2], dim=1),
        ],
        dim=1,
    )  # (B, 2, 3)
    grid = F.affine_grid(theta.float(), [*x.shape[:2], size, size], align_corners=False)
    return F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False).to(x.dtype)


def unsample(x, box, size):
    """The inverse of `sample`: (B, C, h, w) seen in `box` → (B, C, size, size) of the whole image, 0 outside."""
    left, top, right, bottom = box.unbind(1)
    width, height = right - left, bottom - top
    inverse = torch.stack([-left / width, -top / height, (1 - left) / width, (1 - top) / height], dim=1)
    return sample(x, inverse, size)


def guided_filter(image, alpha, radius=8, epsilon=1e-3):
    """Guided filter (He, Sun, Tang 2010), alpha guided by the image.

    Args:
        image, alpha: (B, 1, H, W) float in [0, 1].
        radius: of the square window, in pixels.
        epsilon: variance below which an edge of the image is smoothed over.
    """

    def mean(x):
        return F.avg_pool2d(x, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)

    mean_image, mean_alpha = mean(image), mean(alpha)
    slope = (mean(image * alpha) - mean_image * mean_alpha) / (mean(image * image) - mean_image**2 + epsilon)
    offset = mean_alpha - slope * mean_image
    return (mean(slope) * image + mean(offset)).clamp(0, 1)
