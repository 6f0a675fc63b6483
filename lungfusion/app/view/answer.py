"""The answer as HTML: warnings first, then the radiograph beside the findings, then what was looked at."""

import time

import numpy as np

from ...analysis import UPRIGHT
from ...checks.input_checks import Limits
from .downloads import offered
from .phrases import (
    GROUPS,
    age_group,
    away_found,
    by_level,
    headline,
    mistakes,
    percentage,
    population,
    reliability,
    to_be_set_right,
)
from .render import render
from .score_strip import score_strip
from .viewer import to_analysed_geometry, viewer_html

USUAL = Limits()
GOOD_MASK = 0.95  # mask quality from which the outline is as in the pictures learned from
THIRDS = (0, 1 / 3, 2 / 3, 1)
NAMES = ("like", "somewhat_unlike", "unlike")


def answer_html(
    words,
    analysis,
    saliency,
    correction=UPRIGHT,
    who=None,
    by_hand=False,
    reference_scores=None,
    limits=USUAL,
    truth=None,
):
    """All that is said and shown of one radiograph.

    Args:
        words: `Words`.
        analysis: `Analysis`.
        saliency: finding → (S, S) float array in [0, 1], as `LungFusionPipeline.analyse_and_explain` gives it.
        correction: `Correction` that the visitor gave the radiograph before it was analysed.
        who: one of `GROUPS`, whom the visitor says it is of; None where the file alone may tell.
        by_hand: whether the visitor set it right, or left it as it is: then nothing was corrected by itself.
        reference_scores: finding → what `score_strip.score_strip` takes; see `score_strip.reference_scores`.
        limits: `Limits` of the model.
        truth: what is known to be true of an example, by its name in `examples`; None of what is uploaded.
    """
    reference_scores = reference_scores or {}
    levels = by_level(analysis.findings)
    warm = {finding.name: saliency[finding.name] for finding in levels["detected"] if finding.name in saliency}
    title, sentences = headline(words, analysis)
    state = correction if by_hand else analysis.correction
    seen, maps = to_analysed_geometry(analysis, warm)
    return render(
        "answer.html",
        words=words,
        moment=time.monotonic_ns(),
        analysis=analysis,
        warnings=[words.warning(warning) for warning in analysis.warnings],
        truth=words(f"truth_{truth}") if truth else "",
        state=state,
        by_hand=by_hand,
        straighten=straighten(analysis),
        to_be_set_right=to_be_set_right(analysis),
        title=title,
        sentences=sentences,
        names=words.listed([finding.name for finding in analysis.findings]) if analysis.findings else "",
        viewer=viewer_html(words, seen, maps, state),
        warm=list(maps),
        dial=ood_dial(words, analysis, limits),
        levels={
            level: [card(words, finding, reference_scores.get(finding.name, {})) for finding in levels[level]]
            for level in levels
        },
        below=listed_with_shares(words, levels["not_detected"]),
        not_assessed=words.listed([finding.name for finding in levels["not_assessed"]])
        if levels["not_assessed"]
        else "",
        groups=GROUPS if any(finding.population for finding in analysis.findings) else (),
        who=who or age_group(analysis.radiograph.age),
        details=details(words, analysis),
        downloads=offered(words, analysis),
    )


def message_html(sentence):
    """A sentence that must not be missed: a warning or an error."""
    return render("message.html", sentence=sentence)


def straighten(analysis):
    """Degrees to turn the radiograph by, anticlockwise, where its lungs lean much; 0 elsewhere."""
    return round(analysis.tilt) if any(warning.code == "rotated" for warning in analysis.warnings) else 0


def card(words, finding, scores=()):
    """What the card of a finding says. scores: what `score_strip.score_strip` takes."""
    if finding.probability is None:
        return {"name": words.title(finding.name), "reason": words(f"reason_{finding.reason}")}
    threshold = words("named_from", threshold=percentage(words, finding.threshold))
    right = [reliability(words, finding), away_found(words, finding)]
    more = [words.meaning(finding.name), population(words, finding), threshold, *right]
    return {
        "key": finding.name,
        "name": words.title(finding.name),
        "level": finding.level,
        "probability": percentage(words, finding.probability),
        "fill": f"{finding.probability:.1%}",
        "mark": f"{finding.threshold:.1%}",
        "population": population(words, finding),
        "strip": score_strip(words, finding, dict(scores)),
        "mistakes": mistakes(words, finding),
        "more": [sentence for sentence in dict.fromkeys(more) if sentence],
    }


def listed_with_shares(words, findings):
    """Names with their probabilities, as in a sentence; empty where there are none."""
    shares = [f"{words.finding(f.name)} {percentage(words, f.probability)}" for f in findings]
    return words.joined(shares) if shares else ""


def details(words, analysis):
    """What was looked at: sentences."""
    radiograph = analysis.radiograph
    height, width = radiograph.pixels.shape
    looked_at = words("looked_at", name=radiograph.name, format=radiograph.format, width=width, height=height)
    if not analysis.lung_area or analysis.refused:
        return looked_at
    shares = {
        "both": analysis.lung_area,
        "right": analysis.right_lung_area,
        "left": analysis.left_lung_area,
    }
    shares = {name: percentage(words, share) for name, share in shares.items()}
    quality = f"{analysis.mask_quality:.2f}".replace(".", words("decimal"))
    return f"{looked_at} {words('lungs_cover', **shares)} {words('quality', quality=quality)}"


def ood_dial(words, analysis, limits=USUAL):
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
