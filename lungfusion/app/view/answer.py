"""The answer as HTML: what is said first, the radiograph, and one table of findings on a common scale."""

import time

import numpy as np

from ...analysis import UPRIGHT
from ...checks.input_checks import Limits
from ...visualization import grey_image, picture_address
from .downloads import offered
from .phrases import (
    GROUPS,
    age_group,
    by_level,
    figures,
    fits_another,
    headline,
    is_hidden,
    not_looked_for,
    percentage,
    population,
    to_be_set_right,
    where,
)
from .render import render
from .score_strip import row_scale, score_strip
from .viewer import ruler_facts, spots_of, to_analysed_geometry, viewer_html

GOOD_MASK = 0.95  # mask quality from which the outline is as in the pictures learned from
THIRDS = (0, 1 / 3, 2 / 3, 1)
NAMES = ("like", "somewhat_unlike", "unlike")
CROP = 1.6  # of a spot's radius: half the side of what is cut out around it
ORDER = ("detected", "unclear", "not_detected", "not_assessed")


def answer_html(
    words, analysis, saliency, correction=UPRIGHT, who=None, by_hand=False, limits=None, truth=None, anything=None
):
    """All that is said and shown of one radiograph.

    Args:
        words: `Words`.
        analysis: `Analysis`.
        saliency: finding → (S, S) float array in [0, 1], as `LungFusionPipeline.analyse_and_explain` gives it.
        correction: `Correction` that the visitor gave the radiograph before it was analysed.
        who: one of `GROUPS`, whom the visitor says it is of; None where the file alone may tell.
        by_hand: whether the visitor set it right, or left it as it is: then nothing was corrected by itself.
        limits: `Limits` of the model; the usual ones if None.
        truth: what is known to be true of an example, by its name in `examples`; None of what is uploaded.
        anything: as `headline` takes it.
    """
    levels = by_level(analysis.findings)
    warm = {finding.name: saliency[finding.name] for finding in levels["detected"] if finding.name in saliency}
    title, sentences, now, notes = headline(words, analysis, anything)
    by_itself = UPRIGHT if analysis.refused else analysis.correction  # what nothing is said of is shown as it came
    state = correction if by_hand else by_itself
    seen, maps = (analysis, {}) if analysis.refused else to_analysed_geometry(analysis, warm)
    spots = spots_of(words, seen, levels["detected"] + levels["unclear"])
    rows = [row(words, finding, maps, spots, seen, levels) for level in ORDER for finding in levels[level]]
    lanes = {place for finding in analysis.findings for place in finding.evidence.places
             if finding.evidence.places[place].scores.get("healthy")}  # fmt: skip
    return render(
        "answer.html",
        words=words,
        moment=time.monotonic_ns(),
        analysis=analysis,
        warnings=[warned(words, warning, analysis) for warning in analysis.warnings],
        truth=words(f"truth_{truth}") if truth else "",
        state=state,
        by_hand=by_hand,
        offers=offers(words, analysis),
        to_be_set_right=to_be_set_right(analysis),
        title=title,
        sentences=sentences,
        now=now,
        notes=[*notes, *where(words, levels["detected"], maps)],
        viewer=viewer_html(words, seen, maps, state, spots),
        dial=ood_dial(words, analysis, limits or Limits()),
        rows=rows,
        legend=words("scale_legend", places="; ".join(sorted(set(map(words.place, lanes))))) if lanes else "",
        not_looked_for=not_looked_for(words, analysis.findings),
        groups=GROUPS if any(finding.population for finding in analysis.findings) else (),
        who=who or age_group(analysis.radiograph.age),
        facts=header_facts(words, seen.radiograph, age=not who) + ruler_facts(words, seen),
        details=details(words, analysis),
        downloads=offered(words, analysis),
    )


def message_html(sentence):
    """A sentence that must not be missed: a warning or an error."""
    return render("message.html", sentence=sentence)


def warned(words, warning, analysis):
    """A warning in a sentence; that the radiograph was set right says how."""
    correction = analysis.correction
    done = [words("done_swapped")] if correction.invert else []
    done += [words("done_turned", angle=abs(correction.angle))] if correction.angle else []
    done += [words("done_mirrored")] if correction.mirror else []
    if warning.code == "corrected" and done:
        return words("set_right", done=words.joined(done))
    return words.warning(warning)


def offers(words, analysis):
    """(label, degrees to turn it by anticlockwise, whether to swap black and white, whether to mirror it) of what would
    set the radiograph right, by its warnings.
    """
    known = {
        "rotated": (words("straighten", angle=abs(round(analysis.tilt))), round(analysis.tilt), 0, 0),
        "inverted": (words("invert"), 0, 1, 0),
        "mirrored": (words("mirror"), 0, 0, 1),
    }
    return [known[warning.code] for warning in analysis.warnings if warning.code in known]


def row(words, finding, maps, spots, seen, levels):
    """What the table says of a finding, and what a click opens: its strip, map and figures.

    Of a finding that is not detected no percentage is told: it would be read as a risk.
    """
    known = finding.probability is not None
    said = [words.meaning(finding.name), population(words, finding)]
    if not known:
        said.append(words(f"reason_{finding.reason}"))
    if is_hidden(finding):
        said.append(words("reason_hidden"))
    if fits_another(finding, levels):
        said.append(words("fits_better", best=words.finding(finding.better_fit)))
    if finding.detected:
        shares = {"share": finding.probability, "threshold": finding.threshold}
        said.append(words("estimate", **{name: percentage(words, share) for name, share in shares.items()}))
    return {
        "key": finding.name,
        "name": words.title(finding.name),
        "level": finding.level,
        "word": words(f"level_{finding.level}"),
        "scale": row_scale(finding) if known else None,
        "said": [sentence for sentence in said if sentence],
        "map": finding.name in maps,
        "crops": [
            {"place": f"{spot['x']} {spot['y']} {spot['radius']}", "picture": crop(seen.radiograph.pixels, spot)}
            for spot in spots
            if spot["name"] == finding.name
        ],
        "strip": score_strip(words, finding) if finding.level in ("detected", "unclear") else None,
        "figures": figures(words, finding),
    }


def crop(pixels, spot):
    """What lies around a spot, as a picture's address."""
    reach = CROP * spot["radius"]
    (top, bottom), (left, right) = (
        (max(0, int(middle - reach)), max(1, int(middle + reach))) for middle in (spot["y"], spot["x"])
    )
    part = pixels[top:bottom, left:right]
    return picture_address(grey_image(part if part.size else pixels[:1, :1]).resize((112, 112)), "JPEG")


def header_facts(words, radiograph, age=True):
    """(name, value) of what the file's header says: view, and age unless a visitor told it; as far as it does."""
    facts = []
    if radiograph.view:
        facts.append((words("fact_view"), radiograph.view))
    if age and radiograph.age is not None:
        facts.append((words("fact_age"), words("years", number=f"{radiograph.age:.0f}")))
    return facts


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


def ood_dial(words, analysis, limits):
    """A dial: whether a picture is like those the model learned from, by its out-of-distribution score and its mask.

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
