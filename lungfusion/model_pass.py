"""A pass of the model over radiographs: first as they are framed, then those again that lay otherwise, corrected."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from .analysis import UPRIGHT, Correction
from .checks.framing import find_frame
from .checks.geometry import correct
from .checks.input_checks import brightness
from .checks.orientation import estimate_correction, holds_several
from .models.concatenation import MIN_AREA
from .models.mask_postprocessing import keep_lungs
from .reading.radiograph import Radiograph


@dataclass(frozen=True)
class ModelPass:
    """One radiograph, what was done to it, and what the model gave for it then.

    Attributes:
        radiograph: `Radiograph` as loaded.
        correction: `Correction` it was given.
        shape: (height, width) of the corrected picture.
        matrix: (3, 3), from the corrected picture to the one as loaded; see `checks.geometry`.
        pixel_values: (1, 1, S, S) float in [0, 1], of the corrected picture.
        output: what the model returned, of this radiograph alone.
        wanted: `Correction` that it would look more like a chest under, angle and inversion.
        wanted_score: its ood_score under that correction, of a rough look; None where none is wanted.
        several: whether it holds more than one picture.
    """

    radiograph: Radiograph
    correction: Correction
    shape: tuple[int, int]
    matrix: np.ndarray
    pixel_values: torch.Tensor
    output: object
    wanted: Correction = UPRIGHT
    wanted_score: float | None = None
    several: bool = False

    @cached_property
    def image(self):
        """(S, S) float32 array in [0, 1], as the model read it."""
        return as_array(self.pixel_values)

    @cached_property
    def drawn_alpha(self):
        """(S, S) float32 array in [0, 1], as the network drew it."""
        alpha = getattr(self.output, "alpha", None)
        return as_array(self.output.logits.sigmoid() if alpha is None else alpha)

    @cached_property
    def alpha(self):
        """(S, S) float32 array in [0, 1], above 0.5 in the lungs and nowhere else."""
        return keep_lungs(self.drawn_alpha)

    @cached_property
    def lungs(self):
        """(S, S) bool array."""
        return self.alpha > 0.5

    @property
    def ood_score(self):
        return float(self.output.ood_score)

    @property
    def ood_score_once_corrected(self):
        return self.ood_score if self.wanted_score is None else self.wanted_score


def run(pipeline, radiographs, corrections):
    """The model over radiographs, each under its `Correction`: a `ModelPass` of each."""
    pictures, matrices = zip(*map(correct, (r.pixels for r in radiographs), corrections), strict=True)
    pixel_values = pipeline.pixel_values([replace(r, pixels=p) for r, p in zip(radiographs, pictures, strict=True)])
    shapes = [picture.shape for picture in pictures]
    return as_passes(radiographs, corrections, shapes, matrices, pixel_values, pipeline.compiled(pixel_values))


def as_passes(radiographs, corrections, shapes, matrices, pixel_values, output):
    """A batch, one `ModelPass` for each of its radiographs."""
    rows = zip(radiographs, corrections, shapes, matrices, strict=True)
    return [ModelPass(*row, pixel_values[i : i + 1], one_of(output, i)) for i, row in enumerate(rows)]


def run_corrected(pipeline, radiographs, limits):
    """As `run`, each framed, and those that lay otherwise turned and inverted: a `ModelPass` of each."""
    first = run(pipeline, radiographs, [find_frame(radiograph.pixels) for radiograph in radiographs])
    return [correct_again(pipeline, with_orientation(pipeline, reframed(pipeline, p, limits), limits)) for p in first]


def reframed(pipeline, one, limits):
    """A `ModelPass`, or that of the whole picture where the part cut out of it looks less like a chest."""
    if one.correction == UPRIGHT or one.ood_score <= limits.usual_ood_score:
        return one
    whole = pipeline.pixel_values([one.radiograph])
    better = pipeline.compiled.ood_score(whole) < one.ood_score
    return run(pipeline, [one.radiograph], [UPRIGHT])[0] if better else one


def with_orientation(pipeline, one, limits):
    """A `ModelPass` and how it lies, for those that look odd: nothing is spent on the others."""
    inverted = brightness(one.image, one.lungs) > 0
    if one.ood_score <= limits.usual_ood_score and not inverted:
        return one
    wanted, score = estimate_correction(pipeline.compiled.ood_score, one.pixel_values, one.ood_score, inverted)
    several = score > limits.usual_ood_score and holds_several(pipeline.compiled.ood_score, one.pixel_values, score)
    if wanted == Correction(0, True) and not inverted:
        wanted = UPRIGHT  # lungs darker than what is around them are not inverted, whatever the score says
    return replace(one, wanted=wanted, wanted_score=None if wanted == UPRIGHT else score, several=several)


def correct_again(pipeline, one):
    """A `ModelPass`, or that of the radiograph as it wants to be turned, if lungs are found in it then."""
    if one.wanted == UPRIGHT or one.several:
        return one
    wanted = replace(one.correction, angle=one.wanted.angle, invert=one.wanted.invert)
    again = run(pipeline, [one.radiograph], [wanted])[0]
    dark = brightness(again.image, again.lungs) < 0
    agrees = again.ood_score < one.ood_score and again.lungs.mean() >= MIN_AREA and dark
    return again if agrees else one


def one_of(output, index):
    """One row of a `ModelOutput` of a batch."""
    rows = slice(index, index + 1)
    return type(output)(
        **{name: tuple(x[rows] for x in v) if isinstance(v, tuple) else v[rows] for name, v in output.items()}
    )


def as_array(maps):
    """(1, 1, S, S) float tensor → (S, S) float32 array."""
    return maps[0, 0].detach().float().cpu().numpy()
