"""What a person sees of an analysis: pictures, and words as HTML.

Pictures are PIL images. Those to look at have sides of at most `MAX_SIDE` pixels, so that a browser stays quick; the
mask keeps the radiograph's size. HTML carries classes but no styles (app.py has those). Text from outside is escaped.
"""

import base64
import json
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from .analysis import Analysis, Finding

MAX_SIDE = 1024  # pixels
CONTOUR_COLOUR = (86, 180, 233)  # sky blue of Okabe and Ito 2008: told from greys and heat by the colour-blind too
CONTOUR_WIDTH = 0.004  # of the picture's longer side
HEAT_OPACITY = 0.6  # where saliency is 1
HEAT_COLOURS = np.array(  # matplotlib's plasma (Smith and van der Walt 2015) at nine even steps: perceptually uniform
    [(13, 8, 135), (76, 2, 161), (126, 3, 168), (170, 35, 149), (204, 71, 120),
     (230, 108, 92), (248, 149, 64), (253, 197, 39), (240, 249, 33)]
)  # fmt: skip

FINDING_PHRASES = {  # an image shows signs; the disease, or its cause, takes more than a picture to name
    "tuberculosis": "signs of tuberculosis",
    "bacterial_pneumonia": "pneumonia as bacteria cause it",
    "viral_pneumonia": "pneumonia as viruses cause it",
}
FINDING_MEANINGS = {
    "pneumonia": "Inflammation of the lung, mostly by an infection.",
    "bacterial_pneumonia": "What caused a pneumonia cannot be seen for certain; a laboratory can tell.",
    "viral_pneumonia": "What caused a pneumonia cannot be seen for certain; a laboratory can tell.",
    "tuberculosis": "An infection, often of the upper lungs. A test of sputum proves it or rules it out.",
    "atelectasis": "A part of the lung that holds too little air.",
    "cardiomegaly": "A heart that looks too large.",
    "consolidation": "A part of the lung filled with fluid or cells instead of air.",
    "edema": "Fluid in the tissue of the lung, often because the heart is weak.",
    "effusion": "Fluid between the lung and the chest wall.",
    "emphysema": "Lung that holds too much air because the walls between its air sacs are lost.",
    "fibrosis": "Scars in the lung.",
    "infiltration": "A patch of lung denser than it should be; the word leaves open why.",
    "mass": "A spot of more than 3 cm. Suspicious for lung cancer: it needs a specialist.",
    "nodule": "A spot of up to 3 cm, often harmless. Suspicious for lung cancer: it needs a specialist.",
    "pleural_thickening": "A thickened lining of the lung, often old.",
    "pneumothorax": "Air between the lung and the chest wall; the lung may collapse.",
}
ABOUT_PROBABILITIES = (
    "A probability is the model's estimate, not a diagnosis. "
    "Where a finding is rarer than among the patients the model was checked on, it tends to be too high."
)
ABOUT_HEAT_MAPS = "Where the score is sensitive (Grad-CAM). Weak evidence; not an outline of disease."


# Pictures


def radiograph_image(analysis: Analysis) -> Image.Image:
    """The radiograph: mode L."""
    return grey_image(analysis.radiograph.pixels)


def overlay_image(analysis: Analysis) -> Image.Image:
    """The radiograph with a line around the lungs, where alpha is 0.5: mode RGB."""
    return with_contour(as_rgb(reduced(analysis.radiograph.pixels)), reduced(analysis.alpha))


def masked_image(analysis: Analysis) -> Image.Image:
    """The radiograph times alpha, so that the background is black: mode L."""
    return grey_image(analysis.radiograph.pixels * analysis.alpha)


def mask_image(analysis: Analysis) -> Image.Image:
    """Alpha, as large as the radiograph, 255 in the lungs: mode L."""
    return Image.fromarray(as_bytes(255 * analysis.alpha))


def saliency_image(analysis: Analysis, saliency: np.ndarray) -> Image.Image:
    """A heat map over the radiograph, with a line around the lungs: mode RGB.

    saliency: (H, W) float in [0, 1], as `LungFusionPipeline.explain` gives it.
    """
    heat = reduced(saliency)
    steps = np.linspace(0, 1, len(HEAT_COLOURS))
    colours = np.stack([np.interp(heat, steps, channel) for channel in HEAT_COLOURS.T], axis=-1)  # (h, w, 3)
    picture = blend(as_rgb(reduced(analysis.radiograph.pixels)), colours, HEAT_OPACITY * heat)
    return with_contour(picture, reduced(analysis.alpha))


def grey_image(values: np.ndarray) -> Image.Image:
    """(H, W) float in [0, 1] → a picture to look at: mode L."""
    return Image.fromarray(as_bytes(255 * reduced(values)))


def reduced(values: np.ndarray) -> np.ndarray:
    """(H, W) float → (h, w) float32 of the same shape, no side longer than MAX_SIDE."""
    picture = Image.fromarray(np.asarray(values, np.float32))
    scale = min(1, MAX_SIDE / max(picture.size))
    return np.asarray(picture.resize([max(1, round(scale * side)) for side in picture.size], Image.Resampling.BOX))


def as_rgb(values: np.ndarray) -> np.ndarray:
    """(h, w) float in [0, 1] → (h, w, 3) float in [0, 255]."""
    return np.repeat(255 * values[..., None], 3, axis=-1)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Float in [0, 255] → uint8, rounded."""
    return np.round(values).clip(0, 255).astype(np.uint8)


def blend(picture: np.ndarray, colours, opacity: np.ndarray) -> np.ndarray:
    """picture (h, w, 3) under colours (h, w, 3) or (3,), opacity (h, w) in [0, 1] → (h, w, 3)."""
    return picture + (colours - picture) * opacity[..., None]


def with_contour(picture: np.ndarray, alpha: np.ndarray) -> Image.Image:
    """picture (h, w, 3) in [0, 255], alpha (h, w) in [0, 1] → the picture with the contour on it: mode RGB."""
    return Image.fromarray(as_bytes(blend(picture, CONTOUR_COLOUR, contour(alpha))))


def contour(alpha: np.ndarray) -> np.ndarray:
    """alpha (h, w) in [0, 1] → opacity (h, w) in [0, 1] of an antialiased line along alpha = 0.5.

    A blurred straight edge is a normal distribution of the distance to it, so the blur's inverse (here that of the
    logistic distribution, which is close to it) gives the distance in pixels.
    """
    width = max(1.5, CONTOUR_WIDTH * max(alpha.shape))
    inside = Image.fromarray(as_bytes(255.0 * (alpha > 0.5)))
    share = np.asarray(inside.filter(ImageFilter.GaussianBlur(width))) / 255
    share = share.clip(1e-3, 1 - 1e-3)
    distance = width / 1.7 * np.log(share / (1 - share))
    return (width / 2 + 0.5 - abs(distance)).clip(0, 1)


# Words


def report_html(analysis: Analysis) -> str:
    """All that is said in words: first the warnings, then the findings, then what was looked at."""
    warnings = "".join(message_html(warning.sentence) for warning in analysis.warnings)
    return f'<div class="report">{warnings}{findings_html(analysis)}{details_html(analysis)}</div>'


def message_html(sentence: str) -> str:
    """A sentence that must not be missed: a warning or an error."""
    return f'<p class="message" role="alert">{escape(sentence)}</p>'


def findings_html(analysis: Analysis) -> str:
    """What was detected, and a bar for each finding; empty where the analysis has none."""
    if not analysis.findings:
        return ""
    detected = [phrase(finding.name) for finding in analysis.findings if finding.detected]
    looked_for = listed([phrase(finding.name) for finding in analysis.findings])
    return (
        f"<h2>{escape('Detected: ' + ', '.join(detected) if detected else 'No finding detected')}</h2>"
        f"<p>The model looks for {escape(looked_for)}, and for nothing else. It can be wrong both ways.</p>"
        f'<div class="findings">{"".join(finding_html(finding) for finding in analysis.findings)}</div>'
        f'<p class="small">{ABOUT_PROBABILITIES}</p>'
    )


def finding_html(finding: Finding) -> str:
    """One finding: its name, a bar with a mark at the threshold, and what the number means."""
    probability, threshold = percentages(finding)
    side = "at or above" if finding.detected else "below"
    return (
        f'<section class="finding {"detected" if finding.detected else ""}">'
        f"<h3>{escape(title(finding.name))} <span>{probability}</span></h3>"
        f'<div class="bar" aria-hidden="true"><div class="fill" style="width:{finding.probability:.1%}"></div>'
        f'<div class="threshold" style="left:{finding.threshold:.1%}"></div></div>'
        f"{meaning_html(finding.name)}<p>Probability {probability}: {side} {threshold}, the threshold this model uses. "
        f"{escape(reliability(finding))}</p></section>"
    )


def meaning_html(name: str) -> str:
    """What a finding is, in a sentence; empty where none is written."""
    return f"<p>{escape(FINDING_MEANINGS[name])}</p>" if name in FINDING_MEANINGS else ""


def title(name: str) -> str:
    """What is seen of a finding, as a heading."""
    return phrase(name)[:1].upper() + phrase(name)[1:]


def phrase(name: str) -> str:
    """What is seen of a finding, within a sentence."""
    return FINDING_PHRASES.get(name, plain(name))


def listed(phrases: list[str]) -> str:
    """One, two and three: as in a sentence."""
    return " and ".join(part for part in (", ".join(phrases[:-1]), *phrases[-1:]) if part)


def plain(name: str) -> str:
    """A finding's name without underscores."""
    return name.replace("_", " ")


def percentages(finding: Finding) -> tuple[str, str]:
    """Probability and threshold, with as many digits as it takes to tell them apart."""
    digits = 0 if abs(finding.probability - finding.threshold) >= 0.01 else 2
    return percentage(finding.probability, digits), percentage(finding.threshold, digits)


def percentage(share: float, digits: int) -> str:
    """A probability in words that never claim certainty: what would round to 0 or 100 is "under 1%" or "over 99%"."""
    if digits == 0 and not 0.005 <= share < 0.995:
        return "under 1%" if share < 0.5 else "over 99%"
    return f"{share:.{digits}%}"


def reliability(finding: Finding) -> str:
    """How often the model was right about a finding, in a sentence."""
    if finding.sensitivity is None or finding.specificity is None:
        return "How often it is right at this threshold is not known."
    name, where = plain(finding.name), f" of {finding.source}" if finding.source else ""
    return (
        f"At this threshold it found {of_100(finding.sensitivity)} of 100 with {name} "
        f"and passed {of_100(finding.specificity)} of 100 without, in validation patients{where}."
    )


def of_100(share: float) -> int:
    """A share as a whole number of 100, rounded down: nothing but 1 is 100."""
    return int(round(100 * share, 6))


def details_html(analysis: Analysis) -> str:
    """What was looked at."""
    radiograph = analysis.radiograph
    height, width = radiograph.pixels.shape
    return (
        f'<p class="small">{escape(radiograph.name)}: {escape(radiograph.format)}, {width} × {height} pixels. '
        f"The lungs cover {analysis.lung_area:.0%} of it "
        f"(right lung {analysis.right_lung_area:.0%}, left lung {analysis.left_lung_area:.0%}). "
        f"Their outline should agree with one drawn by hand to {analysis.mask_quality:.2f} (Dice; 1 is perfect).</p>"
    )


def saliency_html(name: str, share_inside: float | None) -> str:
    """What a finding's heat map is, and how much of it lies inside the lungs: a share, or None for an empty map."""
    inside = "The map is empty" if share_inside is None else f"{share_inside:.0%} of it lies inside the lungs"
    return f"<p><strong>{escape(title(name))}.</strong> {ABOUT_HEAT_MAPS} {inside}.</p>"


def downloads_html(analysis: Analysis) -> str:
    """Links that save the mask, as large as the radiograph, and the numbers. They hold the files: nothing is stored."""
    stem = escape(Path(analysis.radiograph.name).stem)
    numbers = data_address(json.dumps(analysis.to_dict(), indent=2).encode(), "application/json")
    return (
        f'<p class="downloads"><a download="{stem}_lungs.png" href="{picture_address(mask_image(analysis))}">'
        f'Lung mask (PNG)</a><a download="{stem}.json" href="{numbers}">Numbers (JSON)</a></p>'
    )


def picture_address(picture: Image.Image) -> str:
    """A picture as an address for HTML, which holds it as PNG."""
    file = BytesIO()
    picture.save(file, "PNG")
    return data_address(file.getvalue(), "image/png")


def data_address(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
