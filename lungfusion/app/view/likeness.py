"""A dial: whether a picture is like those the model learned from, by its out-of-distribution score and its mask."""

import numpy as np

from ...checks.input_checks import Limits

USUAL = Limits()
GOOD_MASK = 0.95  # mask quality from which the outline is as in the pictures learned from
THIRDS = (0, 1 / 3, 2 / 3, 1)
NAMES = ("like", "somewhat_unlike", "unlike")


def dial(words, analysis, limits=USUAL):
    """What the dial shows.

    Args:
        words: `Words`.
        analysis: `Analysis`.
        limits: `Limits` of the segmenter, which the dial's marks are.

    Returns:
        dict for dial.html; None of a refused image, and where the model was not fitted to say how unlike one is.
    """
    if analysis.refused or not analysis.ood_score:
        return None
    place = unlikeness(analysis, limits)
    name = NAMES[min(int(3 * place), 2)]
    return {"place": f"{100 * place:.0f}%", "name": name, "said": words(f"picture_{name}")}


def unlikeness(analysis, limits):
    """A float in [0, 1]: below a third nothing is odd, above two thirds the image is next to being refused."""
    scores = (0, limits.usual_ood_score, limits.doubtful_ood_score, limits.max_ood_score)
    qualities = (limits.chest_quality, limits.min_mask_quality, GOOD_MASK, 1)
    by_score = np.interp(analysis.ood_score, scores, THIRDS)
    by_mask = np.interp(analysis.mask_quality, qualities, THIRDS[::-1])
    return float(max(by_score, by_mask))
