"""How an image lies: whether it has to be turned or inverted to look like the radiographs the model learned from."""

from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF

from ..analysis import UPRIGHT, Correction
from ..models.image_processing_lungfusion import stretch_contrast

CORRECTIONS = (
    UPRIGHT,
    *(Correction(angle, False) for angle in (90, -90, 180, 30, -30)),
    *(Correction(angle, True) for angle in (0, 90, -90, 180)),
)
# Of the score as the image is: what another orientation, or a half of the image, has to come below to be believed. Of
# 72 real radiographs with a high score no orientation came below 0.98 of it and no half below 1.0; of 22 made pairs one
# half came below 0.77 in each.
MAX_RATIO = 0.9
MAX_RATIO_IF_BRIGHT = 0.98  # the inverted image's, where lungs brighter than their surroundings say the same
MAX_OTHER_RATIO = (
    1.2  # of two pictures one above the other, the worse half: of chest and abdomen on one film it is 1.36
)


def estimate_correction(ood_score, pixel_values, score, bright=False):
    """The correction under which an image is least out of distribution, and its ood_score then.

    An upright radiograph, bone white, is nearer to those the segmenter was trained on than the same one turned or
    inverted. Seen at 160 px or less that no longer holds, so all are looked at in full size; one by one, which is
    faster on a CPU than in a batch.

    Args:
        ood_score: function of pixel values (1, 1, S, S) that gives the segmenter's, a float.
        pixel_values: (1, 1, S, S) float in [0, 1].
        score: its ood_score as it is.
        bright: whether its lungs are brighter than what is around them, as in an inverted image.

    Returns:
        `Correction`, `UPRIGHT` unless another one is clearly better; and the ood_score under it.
    """
    scores = {other: ood_score(corrected(pixel_values, other)) for other in CORRECTIONS[1:]}
    best = min(scores, key=scores.get)
    ratio = MAX_RATIO_IF_BRIGHT if bright and best == Correction(0, True) else MAX_RATIO
    return (best, scores[best]) if scores[best] < ratio * score else (UPRIGHT, score)


def holds_several(ood_score, pixel_values, score):
    """Whether a half of an image looks more like a chest than the whole: two pictures in one, or one beside a page.

    A film of chest and abdomen is one picture though its upper half alone looks more like a chest: of halves one above
    the other both have to.

    Args:
        ood_score, pixel_values: as for `estimate_correction`.
        score: the whole image's ood_score, corrected.
    """
    stacked, beside = (
        sorted(ood_score(stretch_contrast(half)) / score for half in pixel_values.chunk(2, axis)) for axis in (2, 3)
    )
    return beside[0] < MAX_RATIO or (stacked[0] < MAX_RATIO and stacked[1] < MAX_OTHER_RATIO)


def corrected(pixels, correction):
    """(…, S, S) float in [0, 1] → the same, inverted if it is to be, and turned; black comes in at the corners."""
    pixels = 1 - pixels if correction.invert else pixels
    return tvF.rotate(pixels, correction.angle, InterpolationMode.BILINEAR) if correction.angle else pixels
