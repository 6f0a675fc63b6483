"""What the pipeline says of a radiograph."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .checks.geometry import unwarp_to_original
from .evidence import FindingEvidence
from .reading.radiograph import Radiograph

LEVELS = ("detected", "unclear", "not_detected", "not_assessed")
REASONS = {  # why a finding was not assessed
    "age": "it was not learned on people of this age",
    "ood_score": "the image is too unlike those it was learned on",
    "resolution": "the image is too coarse to show it",
}
CHILD_BELOW, ADULT_FROM = 6, 18  # years; the children learned from are 1 to 5 years old


@dataclass(frozen=True)
class Spot:
    """A round place in a radiograph.

    Attributes:
        x, y: its centre, in pixels of the radiograph as loaded, from the upper left.
        radius: in pixels.
        score: float in [0, 1], how sure the model is of it.
    """

    x: float
    y: float
    radius: float
    score: float


@dataclass(frozen=True)
class Finding:
    """One finding the model was trained to name.

    Attributes:
        name: e.g. `tuberculosis`.
        probability: float in [0, 1], calibrated on validation patients of the hospitals learned from; None where it was
            not assessed.
        threshold: float in (0, 1), the probability from which it counts as detected.
        rule_out_threshold: float in (0, threshold], the probability below which it counts as not detected; None: the
            threshold.
        population: whom it was learned on, out of `child` and `adult`; empty where that is not said.
        reason: why it was not assessed, one of `REASONS`; None where it was.
        evidence: `FindingEvidence`, what was measured of it, hospital by hospital.
        better_fit: another finding, which the same shadow sets off too and fits better; None where there is none.
        places: where it is seen, a `Spot` for each, the surest first; empty where the model can't say.
        hidden_by: what hides a part of the lungs: `covered`, something lies over them, at whose edges the model may see
            anything, so it is neither detected nor ruled out; `white`, one of them is white throughout, so it is not
            ruled out; None where all can be seen.
    """

    name: str
    probability: float | None
    threshold: float
    rule_out_threshold: float | None = None
    population: tuple[str, ...] = ()
    reason: str | None = None
    evidence: FindingEvidence = field(default_factory=FindingEvidence, hash=False, repr=False)
    better_fit: str | None = None
    places: tuple[Spot, ...] = ()
    hidden_by: str | None = None

    def __post_init__(self):
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ValueError(
                f"{self.name} has the probability {self.probability}: the model's weights are no numbers, or damaged. "
                "Load it again, from a checkpoint that is whole."
            )

    @property
    def level(self) -> str:
        """What the answer is, one of `LEVELS`: every view says it by this word.

        Unclear are a probability between both thresholds, one above where another finding fits better or a part of the
        lungs is covered, and one below where a part is hidden.
        """
        if self.probability is None:
            return "not_assessed"
        if self.probability >= self.threshold:
            return "unclear" if self.better_fit or self.hidden_by == "covered" else "detected"
        rule_out = self.threshold if self.rule_out_threshold is None else self.rule_out_threshold
        return "not_detected" if self.probability < rule_out and not self.hidden_by else "unclear"

    @property
    def detected(self) -> bool:
        return self.level == "detected"

    def to_dict(self) -> dict:
        """JSON-ready; of the evidence each figure over hospitals left out, the worst first, without single scores."""
        return vars(self) | {
            "population": list(self.population),
            "evidence": self.evidence.to_dict(),
            "places": [vars(spot).copy() for spot in self.places],
            "level": self.level,
            "detected": self.detected,
        }


def age_group(years: float) -> str | None:
    """`child` below 6 years, `adult` from 18 on; None between: no finding was learned on people of that age."""
    if years < CHILD_BELOW:
        return "child"
    return "adult" if years >= ADULT_FROM else None


@dataclass(frozen=True)
class AnalysisWarning:
    """A reason to trust an analysis less: a short `code` for programs, a `sentence` for people.

    Where it `rejects`, nothing is said about findings.
    """

    code: str
    sentence: str
    rejects: bool = False


@dataclass(frozen=True)
class Correction:
    """What is done to a picture before it is analysed: a part is cut out, then inverted, then turned, then mirrored.

    Attributes:
        angle: degrees it is turned by, anticlockwise.
        invert: whether black and white are swapped.
        corners: of the part that is the radiograph, four (x, y) from the upper left clockwise, as shares of the
            picture's width and height; a box where a margin was trimmed, any quadrilateral where a film was
            photographed, which is straightened. None: all of it.
        mirror: whether left and right are exchanged.
    """

    angle: int = 0
    invert: bool = False
    corners: tuple[tuple[float, float], ...] | None = None
    mirror: bool = False

    @property
    def is_box(self) -> bool:
        """Whether a box is cut out, its sides along the picture's."""
        if self.corners is None:
            return False
        (left, top), upper_right, (right, bottom), lower_left = self.corners
        return upper_right == (right, top) and lower_left == (left, bottom)

    def to_dict(self) -> dict:
        return vars(self) | {"corners": self.corners and [list(corner) for corner in self.corners]}


UPRIGHT = Correction()  # nothing is done


@dataclass(frozen=True)
class Analysis:
    """The pipeline's answer for one radiograph.

    Attributes:
        radiograph: what was analysed.
        model_alpha: (S, S) float32 in [0, 1], the lung mask in the model's geometry: stretched over the picture that
            was analysed, it fits. `alpha` is the same over the radiograph as loaded.
        right_lung_area: share of the radiograph that the patient's right lung covers, in [0, 1]; 0 if it was not found.
        left_lung_area: the same of the left lung.
        mask_quality: the Dice to expect between alpha and an outline drawn by hand, in [0, 1]; calibrated on validation
            radiographs, many of them corrupted so that the outline went wrong.
        ood_score: how unlike the radiographs that the segmenter was trained on this one is, once corrected: about 1 for
            those, more for what is none; 0 where the model was not fitted to say so.
        correction: what was done to the picture before it was analysed, if anything. Alpha lies over the picture as
            loaded all the same.
        findings: one for each finding of the model; empty when the image is refused, or the model only segments.
        warnings: reasons to trust the answer less; empty when there are none.
        hidden: (S, S) bool, where in the lungs, in the geometry of `model_alpha`, nothing can be seen: the outline is a
            guess there. None: nowhere.
        tilt: degrees that the lungs lean clockwise in the picture that was analysed, and so what straightens it.
        original_from_corrected: (3, 3) float, from the picture that was analysed to the one as loaded; see
            `checks.geometry`.
    """

    radiograph: Radiograph
    model_alpha: np.ndarray
    right_lung_area: float
    left_lung_area: float
    mask_quality: float
    ood_score: float
    correction: Correction
    findings: tuple[Finding, ...] = ()
    warnings: tuple[AnalysisWarning, ...] = ()
    hidden: np.ndarray | None = field(default=None, repr=False)
    tilt: float = 0.0
    original_from_corrected: np.ndarray = field(default_factory=lambda: np.eye(3), repr=False)

    @cached_property
    def alpha(self) -> np.ndarray:
        """(H, W) float32 in [0, 1], the lung mask in the geometry of the radiograph as loaded; made when asked for."""
        return self.alpha_at(self.radiograph.pixels.shape)

    def alpha_at(self, shape: tuple[int, int]) -> np.ndarray:
        """The same for the radiograph made as small as `shape`, (h, w), from the outset: cheaper than to shrink it."""
        return unwarp_to_original(self.model_alpha, self.original_from_corrected, shape)

    def __getitem__(self, name: str) -> Finding:
        for finding in self.findings:
            if finding.name == name:
                return finding
        known = ", ".join(f.name for f in self.findings) or "none"
        raise KeyError(f"No finding {name!r} in this analysis; it has: {known}.")

    @property
    def refused(self) -> bool:
        """Whether the image is none of which something can be said about findings."""
        return any(warning.rejects for warning in self.warnings)

    @property
    def lung_area(self) -> float:
        """Share of the radiograph that both lungs cover, in [0, 1]."""
        return self.right_lung_area + self.left_lung_area

    @property
    def hidden_lung_area(self) -> float:
        """Share of the lungs, as outlined, that can't be seen, in [0, 1]."""
        return 0.0 if self.hidden is None else float(self.hidden.sum() / max(1, (self.model_alpha > 0.5).sum()))

    def to_dict(self) -> dict:
        """JSON-ready; without pixels."""
        height, width = self.radiograph.pixels.shape
        return {
            "name": self.radiograph.name,
            "format": self.radiograph.format,
            "height": height,
            "width": width,
            "lung_area": self.lung_area,
            "right_lung_area": self.right_lung_area,
            "left_lung_area": self.left_lung_area,
            "hidden_lung_area": self.hidden_lung_area,
            "mask_quality": self.mask_quality,
            "ood_score": self.ood_score,
            "correction": self.correction.to_dict(),
            "tilt": self.tilt,
            "findings": [finding.to_dict() for finding in self.findings],
            "warnings": [vars(warning).copy() for warning in self.warnings],
        }
