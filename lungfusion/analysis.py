"""What the pipeline says of a radiograph."""

from dataclasses import dataclass

import numpy as np

from .reading.radiograph import Radiograph


@dataclass(frozen=True)
class Finding:
    """One finding the model was trained to name.

    Attributes:
        name: e.g. `tuberculosis`.
        probability: float in [0, 1], calibrated on the validation patients of `source`.
        threshold: float in (0, 1), the probability from which it counts as detected.
        sensitivity: share of the validation patients' images with the finding that reach the threshold, or None.
        specificity: share of those without it that stay below, or None.
        source: the data on which it was learned and measured, or None.
    """

    name: str
    probability: float
    threshold: float
    sensitivity: float | None = None
    specificity: float | None = None
    source: str | None = None

    @property
    def detected(self) -> bool:
        return self.probability >= self.threshold

    def to_dict(self) -> dict:
        return vars(self) | {"detected": self.detected}


@dataclass(frozen=True)
class AnalysisWarning:
    """A reason to trust an analysis less: a short `code` for programs, a `sentence` for people.

    Where it `refuses`, nothing is said about findings.
    """

    code: str
    sentence: str
    rejects: bool = False


@dataclass(frozen=True)
class Correction:
    """What would make an image look like the radiographs the model learned from.

    Attributes:
        angle: degrees to turn it by, anticlockwise.
        invert: whether black and white have to be swapped.
    """

    angle: int
    invert: bool


@dataclass(frozen=True)
class Analysis:
    """The pipeline's answer for one radiograph.

    Attributes:
        radiograph: what was analysed.
        alpha: (H, W) float32 in [0, 1], the lung mask in the geometry of the radiograph as loaded.
        right_lung_area: share of the radiograph that the patient's right lung covers, in [0, 1]; 0 if it was not found.
        left_lung_area: the same of the left lung.
        mask_quality: the Dice to expect between alpha and an outline drawn by hand, in [0, 1]; calibrated on validation
            radiographs, many of them altered or harmed so that the outline went wrong.
        ood_score: how unlike the radiographs that the segmenter was trained on this one is, once corrected: about 1 for
            those, more for what is none; 0 where the model was not fitted to say so.
        correction: how the image should be turned or inverted first, if at all. The answer is for the image as it is.
        findings: one for each finding of the model; empty when the image is refused, or the model only segments.
        warnings: reasons to trust the answer less; empty when there are none.
    """

    radiograph: Radiograph
    alpha: np.ndarray
    right_lung_area: float
    left_lung_area: float
    mask_quality: float
    ood_score: float
    correction: Correction
    findings: tuple[Finding, ...] = ()
    warnings: tuple[AnalysisWarning, ...] = ()

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
            "mask_quality": self.mask_quality,
            "ood_score": self.ood_score,
            "correction": vars(self.correction).copy(),
            "findings": [finding.to_dict() for finding in self.findings],
            "warnings": [vars(warning).copy() for warning in self.warnings],
        }
