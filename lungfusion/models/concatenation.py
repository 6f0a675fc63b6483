"""The concatenation module: image and alpha mask become what the branches see, so that the background falls away."""

import math

import torch
from torch import nn
from torch.nn import functional as F

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)
# Of the image: where alpha covers less, no lungs were found. The smallest of the 566 human masks of the Shenzhen set
# covers 0.08.
MIN_AREA = 0.02
BOX_CELLS = 128  # rows and columns in which the box of turned lungs is looked for; its ends lie between them
MAX_TILT = math.radians(45)  # beyond, the lungs were not seen well enough to tell


class Concatenation(nn.Module):
    """Joins image and alpha.

    A variation says in `join` what becomes of the two, in `channels` how many channels come out (the first three
    are an image in [0, 1], which `join` may give as one, grey; a fourth is alpha), and in `roi_affine` which part of
    the radiograph the branches see: a (B, 2, 3) float32 affine map from places in what they see to places in the
    image, both from −1 to 1, as `torch.nn.functional.affine_grid` takes it. `reads_alpha` says whether `join` uses it.
    """

    channels = 3
    reads_alpha = False

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, image, alpha):
        """Join and resample to the branches' size.

        Args:
            image: (B, 1, S, S) float in [0, 1].
            alpha: (B, 1, S, S) float in [0, 1].

        Returns:
            cnn_input: (B, channels, size, size) float in [0, 1].
            roi_affine: (B, 2, 3) float32, the part of the image seen.
        """
        roi_affine = self.roi_affine(alpha)
        cnn_input = halved(self.join(image, alpha), self.size)
        return sample(cnn_input, roi_affine, self.size).expand(-1, self.channels, -1, -1), roi_affine

    def joined(self, image, alpha):
        """Join what is cut to the region already: (B, 1, s, s) both → (B, channels, s, s)."""
        return self.join(image, alpha).expand(-1, self.channels, -1, -1)

    def roi_affine(self, alpha):
        return box_to_affine(alpha.new_tensor(WHOLE_IMAGE).expand(alpha.shape[0], 4))

    def join(self, image, alpha):
        return image


class FullImage(Concatenation):
    """The image alone: the ablation."""


class Multiply(Concatenation):
    """Background removed pixel by pixel."""

    reads_alpha = True

    def join(self, image, alpha):
        return image * alpha


class Rgba(Concatenation):
    """Image and alpha as a fourth channel (the source paper's module)."""

    channels = 4
    reads_alpha = True

    def join(self, image, alpha):
        return torch.cat([image.expand(-1, 3, -1, -1), alpha], dim=1)


class GuidedRgba(Rgba):
    """As `Rgba`, alpha refined by a guided filter first, so that it follows the edges of the radiograph."""

    def join(self, image, alpha):
        return super().join(image, guided_filter(image, alpha))


class LearnedMerge(Concatenation):
    """A small convolution merges image and alpha into three channels."""

    reads_alpha = True

    def __init__(self, size):
        super().__init__(size)
        self.merge = nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1), nn.Sigmoid()
        )

    def join(self, image, alpha):
        return self.merge(torch.cat([image, alpha], dim=1))


class LungCrop(Concatenation):
    """The lungs' box with a margin, everything outside it cut off."""

    def roi_affine(self, alpha):
        return box_to_affine(lung_box(alpha))


class LungAlignment(Concatenation):
    """The lungs' box, turned with them: the branches see a tilted patient upright."""

    def roi_affine(self, alpha):
        frame, coarse = lung_frame(alpha), F.avg_pool2d(alpha, max(1, int(alpha.shape[-1] // BOX_CELLS)))
        return compose(frame, box_to_affine(lung_box(sample(coarse, frame, coarse.shape[-1]))))


class LungCutOut(LungAlignment):
    """The lungs alone, turned upright: their box, and in it everything else removed pixel by pixel."""

    reads_alpha = True

    def join(self, image, alpha):
        return image * alpha


CONCATENATION_MODULES = {
    "none": FullImage,
    "multiply": Multiply,
    "rgba": Rgba,
    "guided": GuidedRgba,
    "learned": LearnedMerge,
    "crop": LungCrop,
    "align": LungAlignment,
    "cutout": LungCutOut,
}


def lung_box(alpha, margin=0.06, tail=0.005):
    """The box that holds the lungs.

    On each axis it spans all but a `tail` of alpha's mass at either end, so that a stray spot of the mask does not
    stretch it, and is widened by `margin` of its own length on each side. Where alpha covers less than
    `MIN_AREA` of the image the box is the whole image.

    Args:
        alpha: (B, 1, H, W) float in [0, 1].

    Returns:
        (B, 4) float in [0, 1]: left, top, right, bottom as fractions of the image's sides.
    """
    alpha = (alpha > 0.5).float()
    ends = []
    for axis in (2, 3):  # mass along x, then along y
        mass = alpha.sum((1, axis)) / alpha.sum((1, 2, 3)).clamp(min=1)[:, None]  # (B, W) or (B, H)
        share, spread = mass.cumsum(1), mass.clamp(min=1e-6)  # evenly over its row or column
        low = ((tail - share + mass) / spread).clamp(0, 1).mean(1)
        high = 1 - ((share - 1 + tail) / spread).clamp(0, 1).mean(1)
        pad = margin * (high - low)
        ends.append((low - pad, high + pad))
    (left, right), (top, bottom) = ends
    box = torch.stack([left, top, right, bottom], dim=1).clamp(0, 1)
    found = alpha.mean((1, 2, 3)) >= MIN_AREA
    return torch.where(found[:, None], box, box.new_tensor(WHOLE_IMAGE))


def lung_frame(alpha, cells=64, rounds=8):
    """The image turned and shifted so that the lungs stand upright, their common centre in its middle.

    The lungs are told apart as two clusters of places (k-means, Lloyd 1982), the first guess being what lies left and
    right of the middle. Upright is where their long axes lean by as much to either side: the heart hides much of the
    left lung, above all in children, so that the lungs' centres need not be level. Where they lean by more than
    `MAX_TILT` nothing is turned; where alpha covers less than `MIN_AREA` of the image nothing is shifted either.

    Args:
        alpha: (B, 1, S, S) float in [0, 1].
        cells: alpha is looked at in about so many rows and columns.
        rounds: of k-means.

    Returns:
        (B, 2, 3) float32, as `Concatenation.roi_affine`.
    """
    lungs = F.avg_pool2d((alpha > 0.5).float(), max(1, int(alpha.shape[-1] // cells)))  # int: not traced
    side = lungs.shape[-1]
    mass = lungs.flatten(1) * (lungs.mean((2, 3)) >= MIN_AREA)  # (B, side²)
    place = (2 * torch.arange(side, device=alpha.device, dtype=torch.float32) + 1) / side - 1
    places = torch.stack([place.repeat(side), place.repeat_interleave(side)], dim=1)  # (side², 2): x, y
    middle = centre(mass, places)
    x, y = places.unbind(1)
    line, between = middle.new_tensor([1.0, 0.0]).expand_as(middle), middle
    for _ in range(rounds):
        beyond = line[:, :1] * x + line[:, 1:] * y > (line * between).sum(1, keepdim=True)  # (B, side²)
        one, other = centre(torch.stack([mass * ~beyond, mass * beyond]), places)
        line, between = other - one, (one + other) / 2
    tilt = (axis_angle(mass * ~beyond, places) + axis_angle(mass * beyond, places)) / 2
    tilt = torch.where(tilt.abs() > MAX_TILT, 0, tilt)
    cos, sin = tilt.cos(), tilt.sin()
    return torch.stack([cos, -sin, middle[:, 0], sin, cos, middle[:, 1]], dim=1).unflatten(1, (2, 3))


def centre(mass, places):
    """mass (…, n) at places (n, 2) → (…, 2)."""
    return mass @ places / mass.sum(-1, keepdim=True).clamp(min=1e-6)


def axis_angle(mass, places):
    """By how much the long axis of mass (B, n) at places (n, 2) leans clockwise: (B,) radians in [−π/2, π/2]."""
    x, y = (places - centre(mass, places)[:, None]).unbind(2)  # (B, n) each
    return torch.atan2(-2 * (mass * x * y).sum(1), (mass * (y * y - x * x)).sum(1)) / 2


def box_to_affine(box):
    """(B, 4), left, top, right, bottom as fractions of the image's sides → (B, 2, 3) float32."""
    left, top, right, bottom = (2 * box.float() - 1).unbind(1)
    zero = torch.zeros_like(left)
    rows = [(right - left) / 2, zero, (right + left) / 2, zero, (bottom - top) / 2, (bottom + top) / 2]
    return torch.stack(rows, dim=1).unflatten(1, (2, 3))


def compose(outer, inner):
    """A region of a region, as one of the whole image: (B, 2, 3) each."""
    turn, shift = outer[:, :, :2], outer[:, :, 2:]
    return turn @ inner + F.pad(shift, (2, 0))


def inverse(roi_affine):
    """From places in the image to places in the region: (B, 2, 3) → the same."""
    (a, b, x), (c, d, y) = (row.unbind(1) for row in roi_affine.unbind(1))
    rows = [d, -b, b * y - d * x, -c, a, c * x - a * y]
    return (torch.stack(rows, dim=1) / (a * d - b * c)[:, None]).unflatten(1, (2, 3))


def halved(x, size):
    """(B, C, S, S) with every two rows and columns averaged, where `size` pixels are to be sampled from twice as many.

    Bilinear sampling alone would skip every other pixel.
    """
    return F.avg_pool2d(x, 2) if x.shape[-1] >= 2 * size else x


def sample(x, roi_affine, size):
    """Resample a region of `x` to a square, in float32: half precision cannot place 384 pixels.

    Args:
        x: (B, C, H, W) float.
        roi_affine: (B, 2, 3) float32; where it reaches beyond the image, zeros lie.
        size: side of the result in pixels.

    Returns:
        (B, C, size, size) float.
    """
    place = (2 * torch.arange(size, device=x.device, dtype=torch.float32) + 1) / size - 1
    along_x, along_y, shift = roi_affine[:, None, None].float().unbind(-1)  # (B, 1, 1, 2) each
    grid = along_x * place[:, None] + along_y * place[:, None, None] + shift  # (B, size, size, 2)
    return F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False).to(x.dtype)


def paste_back(x, roi_affine, size):
    """The inverse of `sample`: (B, C, h, w) seen in a region → (B, C, size, size) of the whole image, 0 outside."""
    return sample(x, inverse(roi_affine), size)


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
