"""How an image lies: whether it has to be turned or inverted to look like the radiographs the model learned from."""

from dataclasses import replace

import numpy as np
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF

from ..analysis import Correction

UPRIGHT = Correction(0, False)
BLACK = 0.02  # a grey that is not seen
CORRECTIONS = (
    UPRIGHT,
    *(Correction(angle, False) for angle in (90, -90, 180, 30, -30)),
    *(Correction(angle, True) for angle in (0, 90, -90, 180)),
)


def estimate_correction(segmenter, pixel_values):
    """The correction under which the segmenter finds an image least novel, and that ood_score.

    An upright radiograph, bone white, is nearer to those it was trained on than the same one turned or inverted.

    Args:
        segmenter: `LungUNetForSemanticSegmentation`, its ood_score fitted.
        pixel_values: (1, 1, S, S) float in [0, 1].
    """
    versions = (corrected(pixel_values, correction) for correction in CORRECTIONS)
    ood_scores = [float(segmenter.novelty(segmenter.encode(version)[-1])) for version in versions]
    ood_score = min(ood_scores)
    return CORRECTIONS[ood_scores.index(ood_score)], ood_score


def corrected(pixels, correction):
    """(…, S, S) float in [0, 1] → the same, inverted if it is to be, and turned; black comes in at the corners."""
    pixels = 1 - pixels if correction.invert else pixels
    return tvF.rotate(pixels, correction.angle, InterpolationMode.BILINEAR) if correction.angle else pixels


def apply_correction(radiograph, correction):
    """The whole of a `Radiograph`, corrected.

    One that is not turned by quarters grows, so that nothing is cut off; what is black around it then, as where it had
    been tilted by a program, is trimmed.
    """
    pixels = 1 - radiograph.pixels if correction.invert else radiograph.pixels
    if correction.angle % 90 == 0:
        pixels = np.rot90(pixels, correction.angle // 90)
    else:
        pixels = torch.from_numpy(pixels)[None]
        pixels = tvF.rotate(pixels, correction.angle, InterpolationMode.BILINEAR, expand=True)[0].numpy()
        rows, columns = (np.flatnonzero((pixels > BLACK).any(axis)) for axis in (1, 0))
        pixels = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return replace(radiograph, pixels=np.ascontiguousarray(pixels))
