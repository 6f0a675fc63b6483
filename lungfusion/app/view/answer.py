"""The answer as HTML: warnings first, then the radiograph beside the findings, then what was looked at."""

import json
from html import escape
from pathlib import Path

from ...analysis import Correction
from .phrases import by_weight, level, mistakes, percentages, reliability
from .pictures import data_address, mask_image, picture_address
from .sheet import sheet_pdf
from .viewer import after, turn_html, viewer_html


def answer_html(words, analysis, saliency, correction=Correction(0, False)):  # noqa: B008 (frozen)
    """All that is said and shown of one radiograph.

    Args:
        words: `Words`.
        analysis: `Analysis`.
        saliency: finding → (S, S) float array in [0, 1], as `LungFusionPipeline.analyse_and_explain` gives it.
        correction: `Correction` that the radiograph had been given before it was analysed.
    """
    saliency = {finding.name: saliency[finding.name] for finding in by_weight(analysis.findings)}
    warnings = "".join(message_html(words.warning(warning)) for warning in analysis.warnings)
    return (
        f'<div class="answer">{warnings}{offer_html(words, analysis, correction)}'
        f'{headline_html(words, analysis)}<div class="columns">'
        f"{viewer_html(words, analysis, saliency, correction)}"
        f'<div class="words">{findings_html(words, analysis)}{details_html(words, analysis)}'
        f"{downloads_html(words, analysis)}</div></div></div>"
    )


def message_html(sentence):
    """A sentence that must not be missed: a warning or an error."""
    return f'<p class="message" role="alert">{escape(sentence)}</p>'


def offer_html(words, analysis, correction):
    """A button that sets the radiograph right, where that is what is wrong with it."""
    codes = {warning.code for warning in analysis.warnings}
    wanted = analysis.correction
    keys = [key for key, needed in (("straighten", wanted.angle), ("invert", wanted.invert)) if needed]
    if not keys or not codes & {"inverted", "rotated", "not_upright"}:
        return ""
    label = words("_and_".join(keys), angle=abs(wanted.angle))
    return f'<p class="offer">{turn_html(label, after(correction, wanted))}</p>'


def headline_html(words, analysis):
    """What was detected, and among what; empty where the analysis has no findings."""
    if not analysis.findings:
        return ""
    headlines = []
    for said in ("detected", "not_ruled_out"):
        if names := [finding.name for finding in by_weight(analysis.findings) if level(finding) == said]:
            headlines.append(words(said, findings=words.listed(names)))
    looked_for = words("looks_for", findings=words.listed([finding.name for finding in analysis.findings]))
    headlines = "".join(f"<h2>{escape(headline)}</h2>" for headline in headlines or [words("none_detected")])
    return f'<div class="headline">{headlines}<p>{escape(looked_for)}</p></div>'


def findings_html(words, analysis):
    """A card for each finding; empty where the analysis has none."""
    if not analysis.findings:
        return ""
    return (
        f'<div class="findings">{"".join(finding_html(words, f) for f in by_weight(analysis.findings))}</div>'
        f'<p class="small">{escape(words("about_levels"))} {escape(words("about_probabilities"))}</p>'
    )


def finding_html(words, finding):
    """One finding: its name, a bar with a mark at the threshold, what the number means, and more on demand."""
    probability, threshold = percentages(words, finding)
    side = words("at_or_above" if finding.detected else "below", probability=probability, threshold=threshold)
    more = [words.meaning(finding.name), reliability(words, finding)]
    return (
        f'<section class="finding {level(finding)}">'
        f"<h3>{escape(words.title(finding.name))} <span>{escape(probability)}</span></h3>"
        f'<div class="bar" aria-hidden="true"><div class="fill" style="width:{finding.probability:.1%}"></div>'
        f'<div class="threshold" style="left:{finding.threshold:.1%}"></div></div>'
        f"<p>{escape(side)} {escape(mistakes(words, finding))}</p>"
        f'<button type="button" data-heat="{escape(finding.name)}">{escape(words("show_heat"))}</button>'
        f"<details><summary>{escape(words('more'))}</summary>"
        f"{''.join(f'<p>{escape(sentence)}</p>' for sentence in more if sentence)}</details></section>"
    )


def details_html(words, analysis):
    """What was looked at."""
    radiograph = analysis.radiograph
    height, width = radiograph.pixels.shape
    looked_at = words("looked_at", name=radiograph.name, format=radiograph.format, width=width, height=height)
    lungs = words(
        "lungs_cover",
        both=f"{analysis.lung_area:.0%}",
        right=f"{analysis.right_lung_area:.0%}",
        left=f"{analysis.left_lung_area:.0%}",
        quality=f"{analysis.mask_quality:.2f}",
    )
    return f'<p class="small">{escape(looked_at)} {escape(lungs) if analysis.lung_area else ""}</p>'


def downloads_html(words, analysis):
    """Links that save a page to print, the mask as large as the radiograph, and the numbers.

    They hold the files: nothing is stored.
    """
    stem = Path(analysis.radiograph.name).stem
    numbers = json.dumps(analysis.to_dict(), indent=2).encode()
    links = [
        (f"{stem}.pdf", data_address(sheet_pdf(analysis), "application/pdf"), words("download_report")),
        (f"{stem}_lungs.png", picture_address(mask_image(analysis)), words("download_mask")),
        (f"{stem}.json", data_address(numbers, "application/json"), words("download_numbers")),
    ]
    return f'<p class="downloads">{"".join(link_html(*link) for link in links)}</p>'


def link_html(name, address, label):
    return f'<a download="{escape(name)}" href="{address}">{escape(label)}</a>'
