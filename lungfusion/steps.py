"""The steps from radiographs to what the model makes of them: frame, run, orient, check. Each takes what it needs."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from .analysis import UPRIGHT, Correction, Spot
from .backends import segmenter_of
from .checks.fineness import effective_side
from .checks.framing import find_frame
from .checks.geometry import correct_pixels
from .checks.input_checks import Evidence, brightness, check_input
from .checks.orientation import estimate_correction, holds_several
from .checks.visibility import hidden_lungs
from .models.concatenation import MIN_AREA
from .models.configuration_lungfusion import NODULE_FINDINGS
from .models.mask_postprocessing import calibrated_quality, expected_dice, keep_lungs, split_lungs
from .models.nodule_detector import BOX_WIDTH, MASS, candidates
from .models.view_head import VIEWS
from .reading.radiograph import Radiograph

MIN_HEART_LEFT_UPSIDE_DOWN = 0.2  # a picture that stands on its head is as likely mirrored as turned
MAX_SPOTS = 10  # of a finding in a radiograph


@dataclass(frozen=True)
class InferenceState:
    """One radiograph, what was done to it, and what the model gave for it then.

    Attributes:
        radiograph: `Radiograph` as loaded.
        correction: `Correction` it was given.
        pixels: (H, W) float32 array in [0, 1], the corrected picture.
        original_from_corrected: (3, 3), from the corrected picture to the one as loaded; see `checks.geometry`.
        pixel_values: (1, 1, S, S) float in [0, 1], of the corrected picture.
        output: what the model returned, of this radiograph alone.
        suggested_correction: `Correction` that it would look more like a chest under, angle and inversion.
        suggested_ood_score: its ood_score under that correction, of a rough look; None where none is suggested.
        is_collage: whether it holds more than one picture.
    """

    radiograph: Radiograph
    correction: Correction
    pixels: np.ndarray
    original_from_corrected: np.ndarray
    pixel_values: torch.Tensor
    output: object
    suggested_correction: Correction = UPRIGHT
    suggested_ood_score: float | None = None
    is_collage: bool = False

    @cached_property
    def image(self):
        """(S, S) float32 array in [0, 1], as the model read it."""
        return as_array(self.pixel_values)

    @cached_property
    def raw_alpha(self):
        """(S, S) float32 array in [0, 1], as the network drew it."""
        alpha = getattr(self.output, "alpha", None)
        return as_array(self.output.logits.sigmoid() if alpha is None else alpha)

    @cached_property
    def alpha(self):
        """(S, S) float32 array in [0, 1], above 0.5 in the lungs and nowhere else."""
        return keep_lungs(self.raw_alpha)

    @cached_property
    def lungs(self):
        """(S, S) bool array."""
        return self.alpha > 0.5

    @property
    def ood_score(self):
        return float(self.output.ood_score)

    @property
    def views(self):
        """View → probability; None where the segmenter was not fitted to say."""
        logits = self.output.view_logits[0].float()
        return dict(zip(VIEWS, logits.softmax(0).tolist(), strict=True)) if logits.any() else None

    @property
    def heart_left(self):
        """Probability that the heart lies on the picture's right; 0.5 where the segmenter was not fitted to say."""
        return float(self.output.heart_logit[0].float().sigmoid())


def frame(radiographs):
    """The `Correction` of each that cuts it out of its picture, where it does not fill that."""
    return [find_frame(radiograph.pixels) for radiograph in radiographs]


def to_pixel_values(model, processor, pictures):
    """Pictures (H, W) float32 in [0, 1] → (B, 1, S, S) float in [0, 1], where the model is and of its precision."""
    pixel_values = processor(pictures)["pixel_values"]
    return pixel_values.to(model.device, model.dtype, memory_format=torch.channels_last)


def run(backend, processor, radiographs, corrections):
    """The model over radiographs, each under its `Correction`: an `InferenceState` of each.

    Raises:
        ValueError: what the model gave is no number.
    """
    pictures, matrices = zip(*map(correct_pixels, (r.pixels for r in radiographs), corrections), strict=True)
    pixel_values = to_pixel_values(backend.model, processor, list(pictures))
    output = backend(pixel_values)
    if not all(part.isfinite().all() for part in (output.logits, output.ood_score) if part is not None):
        raise ValueError("The model's answer is no number (NaN): its training diverged, so take an earlier checkpoint.")
    rows = zip(radiographs, corrections, pictures, matrices, strict=True)
    return [InferenceState(*row, pixel_values[i : i + 1], one_of(output, i)) for i, row in enumerate(rows)]


def orient(backend, processor, state, limits):
    """An `InferenceState`, or that of the radiograph set right: its whole picture where the part cut out of it looks
    less like a chest, turned or inverted where it looks more like one so and lungs are found in it then.
    """
    state = look(backend, reframe(backend, processor, state, limits), limits)
    if state.suggested_correction == UPRIGHT or state.is_collage:
        return state
    suggested = state.suggested_correction
    correction = replace(state.correction, angle=suggested.angle, invert=suggested.invert)
    again = run(backend, processor, [state.radiograph], [correction])[0]
    dark = brightness(again.image, again.lungs) < 0
    if not (again.ood_score < state.ood_score and again.lungs.mean() >= MIN_AREA and dark):
        return state
    least = MIN_HEART_LEFT_UPSIDE_DOWN if correction.angle == 180 else limits.min_heart_left
    if abs(correction.angle) >= 90 and again.heart_left < least:  # it was mirrored, not turned
        return run(backend, processor, [state.radiograph], [replace(correction, mirror=True)])[0]
    return again


def reframe(backend, processor, state, limits):
    if state.correction == UPRIGHT or state.ood_score <= limits.usual_ood_score:
        return state
    whole = to_pixel_values(backend.model, processor, [state.radiograph.pixels])
    better = backend.ood_score(whole) < state.ood_score
    return run(backend, processor, [state.radiograph], [UPRIGHT])[0] if better else state


def look(backend, state, limits):
    """An `InferenceState` with how it lies, for those that look odd: nothing is spent on the others."""
    inverted = brightness(state.image, state.lungs) > 0
    if state.ood_score <= limits.usual_ood_score and not inverted:
        return state
    suggested, score = estimate_correction(backend.ood_score, state.pixel_values, state.ood_score, inverted)
    collage = score > limits.usual_ood_score and holds_several(backend.ood_score, state.pixel_values, score)
    if suggested == Correction(0, True) and not inverted:
        suggested = UPRIGHT  # lungs darker than what is around them are not inverted, whatever the score says
    score = None if suggested == UPRIGHT else score
    return replace(state, suggested_correction=suggested, suggested_ood_score=score, is_collage=collage)


def check(model, state, limits):
    """What is known of an image once the model has seen it, and what speaks against it: `Evidence`, warnings."""
    config = segmenter_of(model).config
    right, left = split_lungs(state.lungs)
    covered, white = hidden_lungs(state.pixels, right, left)
    evidence = Evidence(
        shape=state.pixels.shape,
        colour=state.radiograph.colour,
        image=state.image,
        right=right,
        left=left,
        mask_quality=calibrated_quality(expected_dice(state.raw_alpha), config.quality_slope, config.quality_offset),
        ood_score=state.ood_score if state.suggested_ood_score is None else state.suggested_ood_score,
        correction=state.correction,
        wanted=state.suggested_correction,
        several=state.is_collage,
        views=state.views,
        heart_left=state.heart_left,
        effective_side=effective_side(state.pixels, state.lungs),
        covered=covered,
        white=white,
    )
    return evidence, check_input(evidence, limits)


def locate(model, state):
    """Where nodules and masses are in the radiograph as loaded.

    Args:
        model: `LungFusionForImageClassification`, or one that only segments.
        state: `InferenceState`.

    Returns:
        name → tuple of `Spot`, the surest first: those not ruled out, `MAX_SPOTS` at most. {} without a detector.
    """
    if getattr(state.output, "nodule_map", None) is None:
        return {}
    marked = candidates(state.output.nodule_map)[0, 0].cpu().numpy()
    logits, widths = state.output.nodule_map[0].float().cpu().numpy()
    row, column = np.nonzero(marked)
    x, y = ((2 * place + 1) / len(marked) - 1 for place in (column, row))
    box = np.append(state.output.roi_affine[0].float().cpu().numpy(), [[0, 0, 1]], axis=0)
    logit, width = logits[row, column], widths[row, column]
    radius = width / BOX_WIDTH  # the box is 2 units wide
    centres, right, below = (
        to_pixels(state, box, *place) for place in ((x, y), (x + radius, y), (x, y + radius))
    )  # (n, 2) each
    radii = (np.linalg.norm(right - centres, axis=1) + np.linalg.norm(below - centres, axis=1)) / 2
    spots = {}
    for name, of_kind in zip(NODULE_FINDINGS, (width < MASS, width >= MASS), strict=True):
        finding = model.config.findings[name]
        scores = 1 / (1 + np.exp(-(logit / finding.temperature + finding.bias)))
        kept = np.flatnonzero(of_kind & (scores >= (finding.rule_out_threshold or finding.threshold)))
        surest = kept[np.argsort(-scores[kept], kind="stable")][:MAX_SPOTS]
        spots[name] = tuple(Spot(*centres[i].tolist(), float(radii[i]), float(scores[i])) for i in surest)
    return spots


def to_pixels(state, box, x, y):
    """Places in the lungs' box, from −1 to 1, (n,) each → (n, 2) pixels (x, y) of the radiograph as loaded."""
    place = np.stack([x, y, np.ones_like(x)], axis=1) @ (state.original_from_corrected @ box).T
    return (place[:, :2] / place[:, 2:] + 1) / 2 * state.radiograph.pixels.shape[::-1]


def one_of(output, index):
    """One row of a `ModelOutput` of a batch."""
    rows = slice(index, index + 1)
    return type(output)(
        **{name: tuple(x[rows] for x in v) if isinstance(v, tuple) else v[rows] for name, v in output.items()}
    )


def as_array(maps):
    """(1, 1, S, S) float tensor → (S, S) float32 array."""
    return maps[0, 0].detach().float().cpu().numpy()
