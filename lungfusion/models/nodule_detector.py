"""The nodule detector: where in the lungs small round shadows are, and how wide they are."""

import torch
from torch import nn
from torch.nn import functional as F

from .concatenation import sample
from .local_contrast import local_contrast, surroundings

STRIDE = 4  # pixels of the picture to a place of the map
BOX_WIDTH = 314.0  # mm, of the lungs' box with its margin: adults' lungs are about 280 mm wide
MASS = 30.0  # mm, from which a nodule is called a mass (Hansell et al. 2008, Fleischner Society)
NOWHERE = -20.0  # logit of a place that is not looked at
FINE, AROUND, WIDE = 14.0, 20.0, 28.0  # pixels, σ of what is taken as a place's surroundings
REACH = 3  # places beyond the lungs' outline that are still looked at: behind heart and diaphragm


class NoduleDetector(nn.Module):
    """A small fully convolutional network over the lungs' box, of which a pixel stands for about a millimetre.

    Its map has, every four pixels, the logit of a nodule's centre being there, and the width of that nodule: centres as
    points, Zhou et al. 2019 (arXiv 1904.07850). The picture is shown as by how much each place differs from its
    surroundings, so that exposure and scanner fall away.

    Args:
        size: side in pixels of the square picture of the lungs' box.
        channels: of the levels at strides 2, 4, 8 and 16.
    """

    def __init__(self, size, channels):
        super().__init__()
        self.size = size
        first, second, third, fourth = channels
        self.stem = convolution(2, first, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(convolution(before, after, stride=2), Residual(after))
            for before, after in ((first, second), (second, third), (third, fourth))
        )
        self.deep = Residual(fourth)
        self.across = nn.ModuleList([nn.Conv2d(fourth, third, 1), nn.Conv2d(third, second, 1)])
        self.up = nn.ModuleList([convolution(third, third), convolution(second, second)])
        self.head = nn.Sequential(convolution(second, second), nn.Conv2d(second, 2, 1))

    def forward(self, image, alpha, roi_affine):
        """Look at the lungs' box of a radiograph.

        Args:
            image, alpha: (B, 1, S, S) float in [0, 1], radiograph and lung mask.
            roi_affine: (B, 2, 3) float32, the lungs' box; see `Concatenation`.

        Returns:
            (B, 2, size / 4, size / 4) float over the box: the logit of a nodule's centre, `NOWHERE` away from the
            lungs; and its diameter in mm, where the box stands for `BOX_WIDTH`.
        """
        found = self.look(sample(image, roi_affine, self.size))
        found = near_lungs(found, sample(alpha, roi_affine, found.shape[-1]))
        return found * found.new_tensor([1.0, BOX_WIDTH / self.size])[:, None, None]

    def look(self, picture):
        """(B, 1, h, w) float in [0, 1] → (B, 2, h / 4, w / 4): logits everywhere, diameters in pixels."""
        x, levels = self.stem(contrast(picture)), []
        for stage in self.down:
            x = stage(x)
            levels.append(x)
        x = self.deep(x)
        for across, up, level in zip(self.across, self.up, levels[1::-1], strict=True):
            x = up(F.interpolate(across(x), size=level.shape[-2:], mode="bilinear", align_corners=False) + level)
        logits, width = self.head(x).split(1, dim=1)
        return torch.cat([logits, width.clamp(-3, 3).exp() * 12], dim=1)


def near_lungs(found, lungs):
    """The map (B, 2, h, w) with logits that fade to `NOWHERE` away from the lungs' mask (B, 1, h, w).

    They fade, and are not cut, for a rounding of the mask must not move a logit far.
    """
    near = (5 * F.max_pool2d(lungs, 2 * REACH + 1, stride=1, padding=REACH) - 2).clamp(0, 1)
    logits, width = found.split(1, dim=1)
    return torch.cat([near * logits + (1 - near) * NOWHERE, width], dim=1)


def nodule_logits(found):
    """(B, 2, h, w), as the detector gives it → (B, 2): the highest logit of candidates that are nodules, and of those
    that are masses.
    """
    logits, width = found.split(1, dim=1)
    nowhere, marked = torch.full_like(logits, NOWHERE), candidates(found)
    of_kinds = [torch.where(marked & kind, logits, nowhere) for kind in (width < MASS, width >= MASS)]
    return torch.cat(of_kinds, dim=1).flatten(2).amax(2)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(convolution(channels, channels), convolution(channels, channels, last=True))

    def forward(self, x):
        return F.relu(x + self.body(x))


def convolution(before, after, stride=1, last=False):
    layers = [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)]
    return nn.Sequential(*layers, *([] if last else [nn.ReLU()]))


def contrast(picture):
    """(B, 1, h, w) float in [0, 1] → (B, 2, h, w): what differs from its near surroundings, and these from theirs."""
    low = surroundings(picture, FINE, 4)
    fine = local_contrast(picture, low, AROUND, 4, 0.01)
    wide = local_contrast(low, surroundings(low, WIDE, 8), 1.5 * WIDE, 8, 0.02)
    return torch.cat([fine, wide], dim=1).clamp(-6, 6)


def candidates(found):
    """Local maxima of maps: (B, 2, h, w) as the detector gives them → (B, 1, h, w) bool."""
    return F.max_pool2d(found[:, :1], 3, stride=1, padding=1) == found[:, :1]
