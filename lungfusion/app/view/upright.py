"""A radiograph that was set right by itself, as it was analysed: a person looks at it upright."""

from dataclasses import replace

import numpy as np

from ...analysis import UPRIGHT
from ...checks.geometry import correct_pixels, resample


def upright(analysis, saliency=None):
    """An analysis, and its heat maps, in the geometry of the picture that was analysed.

    Args:
        analysis: `Analysis`.
        saliency: finding → (S, S) float array in [0, 1], stretched over the radiograph as loaded it fits.

    Returns:
        `Analysis` whose radiograph and alpha are those of the corrected picture; the maps, stretched over that.
    """
    saliency = saliency or {}
    if analysis.correction == UPRIGHT:
        return analysis, saliency
    pixels, matrix = correct_pixels(analysis.radiograph.pixels, analysis.correction)
    seen = replace(analysis, radiograph=replace(analysis.radiograph, pixels=pixels), original_from_corrected=np.eye(3))
    return seen, {name: resample(heat, matrix, heat.shape) for name, heat in saliency.items()}
