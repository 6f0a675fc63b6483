"""Whether an image is fit to be analysed: what speaks against it, in short codes and plain sentences."""

import math

import numpy as np
from scipy.ndimage import label, maximum_filter

from ..analysis import AnalysisWarning, Correction
from ..models.concatenation import MIN_AREA

CHEST_QUALITY = 0.7  # below this mask quality an image is taken for no frontal chest radiograph; see train/refusal.py
USUAL_OOD_SCORE = 1.4  # ood_score up to which an image is not looked at turned and inverted
MAX_OOD_SCORE = 2.5  # above, however it is turned, it is no radiograph like those learned from; see train/refusal.py
DOUBTFUL_OOD_SCORE = 2.0  # above, it is none either if its mask is warned of, too
MAX_COLOUR = 0.1  # above, it is no radiograph; grey ones have 0, scans with a tint or a coloured mark less than this
MIN_MASK_QUALITY = 0.85  # below, a warning; train.calibrate.mask_quality says how many masks that concerns
MAX_TILT = 25  # degrees, of the line between the lungs' centres against the horizontal
MIN_SIDE = 200  # pixels
RING = 0.12  # of the square root of the lungs' area: how far around them their surroundings are looked at

NOT_A_CHEST_RADIOGRAPH = AnalysisWarning(
    "not_a_chest_radiograph",
    "This does not look like a frontal chest X-ray, so nothing is said about findings.",
    rejects=True,
)
LUNGS_NOT_FOUND = AnalysisWarning(
    "lungs_not_found",
    "No lungs were found, so nothing is said about findings. Use a frontal chest X-ray, upright, bone shown white.",
    rejects=True,
)
NOT_UPRIGHT = AnalysisWarning(
    "not_upright",
    "The chest lies on its side or upside down, so nothing is said about findings. Turn it upright and try again.",
    rejects=True,
)
INVERTED = AnalysisWarning(
    "inverted",
    "Black and white seem to be swapped: lungs should be darker than what is around them. Invert it and try again.",
)
ROTATED = AnalysisWarning(
    "rotated",
    "The chest seems to be turned. Straighten the image and try again: the findings were learned on upright ones.",
)
LOW_RESOLUTION = AnalysisWarning(
    "low_resolution",
    f"The image is smaller than {MIN_SIDE} pixels: fine signs cannot be seen in it. Use the original if you can.",
)
ONE_LUNG_FOUND = AnalysisWarning(
    "one_lung_found",
    "Only one lung was found. The other may be hidden by disease, missing, cut off or overlooked: see the outline.",
)
LOW_MASK_QUALITY = AnalysisWarning(
    "low_mask_quality",
    "The outline of the lungs is probably wrong in places, and what is said of them may be too: look at it first.",
)


def none_shown(config):
    """The warning of a classifier none of whose findings is shown, as a tuple; else ()."""
    learned = getattr(config, "findings", ())
    if not learned or config.shown:
        return ()
    names = ", ".join(learned)
    sentence = f"{len(learned)} learned, none shown: on patients not trained on none of {names} proved to work."
    return (AnalysisWarning("none_shown", sentence),)


def refine_correction(correction, image, lungs, aspect):
    """A `Correction` and what the lungs show beyond it: a tilt of more than `MAX_TILT`, lungs that are too bright.

    Args:
        correction: `Correction`, as `orientation.estimate_correction` gives it.
        image: (S, S) float32 array in [0, 1], as the model read it.
        lungs: (S, S) bool array, where the lungs were found.
        aspect: the radiograph's width / height.
    """
    if correction.angle:
        return correction
    angle = round(tilt(lungs, aspect))
    return Correction(angle if abs(angle) > MAX_TILT else 0, correction.invert or brightness(image, lungs) > 0)


def check_input(radiograph, areas, mask_quality, ood_score, correction):
    """What speaks against an image, the weightiest first.

    Args:
        radiograph: `Radiograph`.
        areas: of the right and the left lung, shares of the image.
        mask_quality: float in [0, 1].
        ood_score: float, as `models.ood.MahalanobisDistance` gives it, of the image corrected.
        correction: `Correction`, how it should be turned or inverted, `refined`.

    Returns:
        tuple of `AnalysisWarning`; one that refuses stands alone.
    """
    if ood_score > MAX_OOD_SCORE or radiograph.colour > MAX_COLOUR:
        return (NOT_A_CHEST_RADIOGRAPH,)
    if abs(correction.angle) >= 90:
        return (NOT_UPRIGHT,)
    if sum(areas) < MIN_AREA:
        return (LUNGS_NOT_FOUND,)
    if mask_quality < (MIN_MASK_QUALITY if ood_score > DOUBTFUL_OOD_SCORE else CHEST_QUALITY):
        return (NOT_A_CHEST_RADIOGRAPH,)
    reasons = {
        INVERTED: correction.invert,
        ROTATED: correction.angle != 0,
        LOW_RESOLUTION: min(radiograph.pixels.shape) < MIN_SIDE,
        ONE_LUNG_FOUND: not all(areas),
        LOW_MASK_QUALITY: mask_quality < MIN_MASK_QUALITY,
    }
    return tuple(warning for warning, holds in reasons.items() if holds)


def brightness(image, lungs):
    """How much brighter the lungs are than a ring around them, of their medians: negative where bone is white."""
    reach = round(RING * math.sqrt(lungs.sum()))
    ring = maximum_filter(lungs, 2 * reach + 1) & ~maximum_filter(lungs, 2 * (reach // 4) + 1)
    return float(np.median(image[lungs]) - np.median(image[ring])) if ring.any() else 0.0


def tilt(lungs, aspect=1.0):
    """Of the line through the centres of the two largest regions: degrees, 0 where they lie side by side, in (-90, 90].

    Args:
        lungs: (S, S) bool array.
        aspect: the radiograph's width / height, for the mask is square. 0 is returned where there is but one region.
    """
    regions, count = label(lungs)
    if count < 2:
        return 0.0
    two = np.argsort(np.bincount(regions.ravel())[1:])[-2:] + 1
    (y, x), (y_other, x_other) = (np.argwhere(regions == region).mean(0) for region in two)
    return math.degrees(math.atan2((y_other - y), (x_other - x) * aspect) + math.pi / 2) % 180 - 90
