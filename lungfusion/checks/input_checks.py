"""Whether an image is fit to be analysed: what speaks against it, in short codes and plain sentences."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import maximum_filter

from ..analysis import UPRIGHT, AnalysisWarning, Correction
from ..models.concatenation import MIN_AREA
from ..models.mask_postprocessing import box_of
from ..models.view_head import VIEWS
from .geometry import tilt

MIN_MASK_QUALITY = 0.85  # below, a warning; train.calibrate.mask_quality says how many masks that concerns
MAX_COLOUR = 0.1  # above, it is no radiograph: see `Radiograph.colour`
MAX_TILT = 12  # degrees that the lungs may lean; of 72 real radiographs two lean more, by 13 and 30
MIN_SIDE = 200  # pixels
MAX_ASPECT = 3.0  # of the longer side to the shorter: no chest is longer
RING = 0.12  # of the square root of the lungs' area: how far around them their surroundings are looked at
GRID = 192  # rows and columns in which that is done
MAX_SMALLER_LUNG = 0.3  # of the larger's area, in a lateral view
MAX_OFF_MIDDLE = 0.17  # of the image's width: how far from its middle the larger lies there
# Of the image's width: one so narrow, and so far from the middle, is a lung seen from the front whose fellow is white.
MAX_LUNG_WIDTH, NEAR_MIDDLE = 0.34, 0.08
# Of 3,280 real radiographs none that looks odd has less than 0.46 and 0.68; drawn scouts have 0.43 at most.
MIN_BREADTH = 0.45  # of the image's width: that of both lungs together
MIN_LUNG_ASPECT = 0.68  # of that to their height
MAX_EDGE = 0.05  # of a side of the image that lungs reach; in well framed radiographs 0
MAX_HIDDEN = 0.04  # of the outlined lungs
MAX_WHITE = 0.15  # of the box around the lungs; real radiographs have 0.05 at most
WHITE = 0.99

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
LATERAL_VIEW = AnalysisWarning(
    "lateral_view",
    "This looks like a chest seen from the side, so nothing is said about findings. Use the frontal view.",
    rejects=True,
)
ANOTHER_RADIOGRAPH = AnalysisWarning(
    "another_radiograph",
    "This looks like an X-ray of another part of the body, or of a part of the chest alone, so nothing is said about "
    "findings. Use a frontal chest X-ray that shows both lungs.",
    rejects=True,
)
SEVERAL_PICTURES = AnalysisWarning(
    "several_pictures",
    "The image seems to hold more than one picture, or a page beside it, so nothing is said about findings. Crop it to "
    "one frontal chest X-ray.",
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
    "The chest leans far to one side. The model looks at it upright, but the outline of the lungs may be less exact.",
)
CORRECTED = AnalysisWarning(
    "corrected",
    "The image was turned, mirrored, or its black and white were swapped, before it was analysed. Check that this is "
    "right.",
)
PHOTOGRAPH = AnalysisWarning(
    "photograph",
    "This seems to be a photograph of a film or screen. It was cropped and straightened; the original file is better.",
)
CUT_OFF = AnalysisWarning(
    "cut_off",
    "The lungs reach the edge of the image, so a part of them may be cut off: nothing is seen there.",
)
OVEREXPOSED = AnalysisWarning(
    "overexposed",
    "A large part of the chest is pure white: what lies there cannot be seen. Use the original if you can.",
)
LOW_RESOLUTION = AnalysisWarning(
    "low_resolution",
    f"The image is smaller than {MIN_SIDE} pixels: fine signs cannot be seen in it. Use the original if you can.",
)
COARSE = AnalysisWarning(
    "coarse",
    "The image shows less than its size promises: it is blurred, was enlarged or is strongly compressed. Fine signs "
    "cannot be seen in it. Use the original if you can.",
)
MIRRORED = AnalysisWarning(
    "mirrored",
    "The heart seems to lie on the right: the image may be mirrored, unless the person's heart does lie there. Check "
    "its markers: right and left are named as usually shown.",
)
LUNGS_HIDDEN = AnalysisWarning(
    "lungs_hidden",
    "A part of the lungs cannot be seen: it is covered, or white or black throughout. Whatever lies there is not "
    "ruled out, and the outline there is a guess.",
)
ONE_LUNG_FOUND = AnalysisWarning(
    "one_lung_found",
    "Only one lung was found. The other may be hidden by disease, missing, cut off or overlooked: see the outline.",
)
LOW_MASK_QUALITY = AnalysisWarning(
    "low_mask_quality",
    "The outline of the lungs is probably wrong in places, and what is said of them may be too: look at it first.",
)

REJECTION_OF_VIEW = {
    "lateral": LATERAL_VIEW,
    "another_radiograph": ANOTHER_RADIOGRAPH,
    "several_pictures": SEVERAL_PICTURES,
    "turned": NOT_UPRIGHT,
    "no_radiograph": NOT_A_CHEST_RADIOGRAPH,
}


def none_shown(config):
    """The warning of a classifier none of whose findings is shown, as a tuple; else ()."""
    learned = getattr(config, "findings", ())
    if not learned or config.shown:
        return ()
    why = f"on patients not trained on none of {', '.join(learned)} proved to work"
    how = "To be told of all of them, train with shown=all, or set their `shown` to true in config.json"
    return (AnalysisWarning("none_shown", f"{len(learned)} learned, none shown: {why}. {how}."),)


@dataclass(frozen=True)
class Limits:
    """What depends on the segmenter; its configuration's `input_limits` go before these values.

    Attributes:
        usual_ood_score: up to this an image is not looked at turned and inverted.
        doubtful_ood_score: above, it is no chest radiograph if its mask is warned of, too.
        max_ood_score: above, however it is turned, it is no radiograph like those learned from.
        chest_quality: below this mask quality an image is taken for no frontal chest radiograph.
        min_mask_quality: below, a warning.
        min_frontal: below this probability of one frontal chest an image is refused.
        min_heart_left: below this probability of the heart lying on the usual side, the picture's right, a warning.
    """

    usual_ood_score: float = 1.4
    doubtful_ood_score: float = 2.0
    max_ood_score: float = 2.5
    chest_quality: float = 0.7
    min_mask_quality: float = MIN_MASK_QUALITY
    min_frontal: float = 0.15
    min_heart_left: float = 0.05


@dataclass(frozen=True)
class Evidence:
    """What is known of an image once the model has seen it.

    Attributes:
        shape: (height, width) of the picture that was analysed.
        colour: see `Radiograph`.
        image: (S, S) float32 array in [0, 1], as the model read it.
        right, left: (S, S) bool arrays, the lungs found.
        mask_quality: float in [0, 1].
        ood_score: float, as `models.ood.MahalanobisDistance` gives it, of the image as it is wanted.
        correction: `Correction` that it was given.
        wanted: `Correction` that it would still need.
        several: whether a half of it looks more like a chest than the whole.
        views: view → probability, of `models.view_head.VIEWS`; None where the segmenter was not fitted to say.
        heart_left: probability that the heart lies on the usual side.
        effective_side: see `fineness.effective_side`.
        covered, white: (S, S) bool arrays, what of the lungs can't be seen (`visibility.hidden_lungs`); None: nothing.
    """

    shape: tuple[int, int]
    colour: float
    image: np.ndarray
    right: np.ndarray
    left: np.ndarray
    mask_quality: float
    ood_score: float
    correction: Correction = UPRIGHT
    wanted: Correction = UPRIGHT
    several: bool = False
    views: dict[str, float] | None = None
    heart_left: float = 0.5
    effective_side: float = math.inf
    covered: np.ndarray | None = None
    white: np.ndarray | None = None

    @cached_property
    def lungs(self):
        return self.right | self.left

    @cached_property
    def tilt(self):
        """Degrees that the lungs lean clockwise; 0 where one alone was found, which says nothing of it."""
        height, width = self.shape
        return tilt(self.lungs, width / height) if self.right.any() and self.left.any() else 0.0

    @cached_property
    def hidden(self):
        """(S, S) bool array: where the outlined lungs can't be seen."""
        parts = [part for part in (self.covered, self.white) if part is not None]
        return np.logical_or.reduce(parts) if parts else np.zeros_like(self.lungs)

    def share_of_lungs(self, part):
        """Share of the outlined lungs that a part (S, S) bool of them is."""
        return float(part.sum() / max(1, self.lungs.sum()))

    @property
    def hidden_by(self):
        """`covered` or `white`: what hides so much of the lungs that it is warned of; None where nothing does."""
        if self.share_of_lungs(self.hidden) <= MAX_HIDDEN or self.wanted.invert:  # white lungs are explained then
            return None
        return "white" if self.covered is None or self.share_of_lungs(self.covered) <= MAX_HIDDEN else "covered"


def check_input(seen, limits=Limits()):
    """What speaks against an image, the weightiest first.

    Args:
        seen: `Evidence`.
        limits: `Limits`.

    Returns:
        tuple of `AnalysisWarning`; one that rejects stands alone.
    """
    if warning := rejection(seen, limits):
        return (warning,)
    reasons = {
        CORRECTED: seen.correction.invert or seen.correction.angle != 0 or seen.correction.mirror,
        PHOTOGRAPH: seen.correction.corners is not None and not seen.correction.is_box,
        INVERTED: seen.wanted.invert,
        ROTATED: seen.wanted.angle != 0 or abs(seen.tilt) > MAX_TILT,
        MIRRORED: seen.heart_left < limits.min_heart_left,
        LUNGS_HIDDEN: seen.hidden_by is not None,
        CUT_OFF: edge(seen.lungs) > MAX_EDGE,
        OVEREXPOSED: white_share(seen.image, seen.lungs) > MAX_WHITE,
        LOW_RESOLUTION: min(seen.shape) < MIN_SIDE,
        COARSE: seen.effective_side < MIN_SIDE <= min(seen.shape),
        ONE_LUNG_FOUND: not (seen.right.any() and seen.left.any()),
        LOW_MASK_QUALITY: seen.mask_quality < limits.min_mask_quality,
    }
    return tuple(warning for warning, holds in reasons.items() if holds)


def rejection(seen, limits):
    """Why nothing is said of an image: an `AnalysisWarning`, or None. It is what the image most probably is: of a cat
    not that it lies on its side.
    """
    if seen.colour > MAX_COLOUR or max(seen.shape) > MAX_ASPECT * min(seen.shape):
        return NOT_A_CHEST_RADIOGRAPH
    if seen.views and seen.views["frontal"] < limits.min_frontal:
        return REJECTION_OF_VIEW[max(VIEWS[1:], key=seen.views.get)]
    reason = rejection_by_mask(seen, limits)
    return REJECTION_OF_VIEW.get(max(VIEWS, key=seen.views.get), reason) if reason and seen.views else reason


def rejection_by_mask(seen, limits):
    """The same by its score, its halves and the lungs found in it."""
    height, width = seen.shape
    found = seen.lungs.mean() >= MIN_AREA
    lateral = found and seen.ood_score > limits.usual_ood_score and is_lateral(seen.right, seen.left, width / height)
    if seen.several and not lateral:
        return SEVERAL_PICTURES
    if seen.ood_score > limits.max_ood_score:
        return NOT_A_CHEST_RADIOGRAPH
    odd = seen.ood_score > (limits.usual_ood_score + limits.doubtful_ood_score) / 2
    if abs(seen.wanted.angle) >= 90 or (odd and abs(seen.correction.angle) >= 90):
        return NOT_UPRIGHT
    if lateral:
        return LATERAL_VIEW
    if not found:
        return LUNGS_NOT_FOUND
    if odd and is_of_another_build(seen.right, seen.left, width / height):
        return NOT_A_CHEST_RADIOGRAPH
    doubtful = seen.ood_score > limits.doubtful_ood_score
    if seen.mask_quality < (limits.min_mask_quality if doubtful else limits.chest_quality):
        return NOT_A_CHEST_RADIOGRAPH
    return None


def is_lateral(right, left, aspect=1.0):
    """Whether lungs lie as in a chest seen from the side: one region, or next to no second, upright in the middle.

    Seen from the front a lung that stands alone lies beside the middle, for the spine does not hide it.

    Args:
        right, left: (S, S) bool arrays, not both empty.
        aspect: the radiograph's width / height.
    """
    smaller, larger = sorted((right, left), key=np.sum)
    rows, columns = box_of(right | left)
    ends = larger.any(0).nonzero()[0][[0, -1]] / len(larger)
    narrow = np.ptp(ends) < MAX_LUNG_WIDTH
    in_the_middle = abs(ends.mean() - 0.5) < (NEAR_MIDDLE if narrow else MAX_OFF_MIDDLE)
    upright = length(rows) > length(columns) * aspect
    return upright and smaller.sum() < MAX_SMALLER_LUNG * larger.sum() and in_the_middle


def is_of_another_build(right, left, aspect=1.0):
    """Whether two lungs are a small part of their picture, as in a scout of CT, or narrower than a person's, as in a
    four-legged animal.

    Args:
        right, left: (S, S) bool arrays.
        aspect: the radiograph's width / height.
    """
    if not (right.any() and left.any()):
        return False
    rows, columns = box_of(right | left)
    breadth = length(columns)
    return breadth < MIN_BREADTH * len(right) or breadth * aspect < MIN_LUNG_ASPECT * length(rows)


def length(ends):
    """From the first row or column of a slice to its last."""
    return ends.stop - 1 - ends.start


def edge(lungs):
    """Of the image's four sides the largest share that the lungs (S, S) bool reach."""
    return max(lungs[side].mean() for side in (0, -1, (slice(None), 0), (slice(None), -1)))


def white_share(image, lungs):
    """Share of pure white in the box around the lungs; image (S, S) in [0, 1], lungs (S, S) bool, not empty."""
    return float((image[box_of(lungs)] >= WHITE).mean())


def brightness(image, lungs):
    """How much brighter the lungs are than a ring around them, of their medians: negative where bone is white."""
    step = max(1, len(lungs) // GRID)
    image, lungs = image[::step, ::step], lungs[::step, ::step]
    if not lungs.any():
        return 0.0
    reach = round(RING * math.sqrt(lungs.sum()))
    ring = maximum_filter(lungs, 2 * reach + 1) & ~maximum_filter(lungs, 2 * (reach // 4) + 1)
    return float(np.median(image[lungs]) - np.median(image[ring])) if ring.any() else 0.0
