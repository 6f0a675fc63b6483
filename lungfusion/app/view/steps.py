"""The way of one radiograph through the model as a walk: a large picture a step, and what this very model does."""

import numpy as np
from PIL import Image

from ...visualization import COLD, as_bytes, as_rgb, blend, grey_image, heat_colours, picture_address, with_contour
from .phrases import by_level, change, percentage
from .render import render
from .viewer import faded

SIDE = 384  # pixels of what the networks made, drawn large
MAP_OPACITY = 0.55
ALL = 0.995  # weight from which one network alone counts
NONE = 0.005  # weight up to which a network does not count
WHOLE = ("image", "alpha", "answer")  # steps whose pictures show the whole radiograph


def steps_html(words, steps, analysis, saliency, worth=None):
    """The walk.

    Args:
        words: `Words`.
        steps: `lungfusion.app.trace.ModelTrace`.
        analysis, saliency: of the same radiograph, in the geometry in which it was analysed.
        worth: way to join image and mask → its ROC AUC in hospitals left out, {"value", "interval"}, where measured.
    """
    worth = worth or {}
    outlined = with_contour(as_rgb(steps.image), steps.alpha)
    heat = heat_pictures(words, steps, analysis, saliency)
    rows = probabilities(words, steps, analysis)
    ways = [steps.concatenation, *(name for name in steps.cnn_inputs if name != steps.concatenation)]
    pictures = {
        "image": [(grey_image(steps.image), words("step_image_picture"))],
        "alpha": [(outlined, words("outline")), (grey_image(steps.alpha), words("step_alpha_picture"))],
        "joined": [joined_picture(words, steps, name, worth.get(name)) for name in ways],
        "maps": [map_picture(words, steps, number, name) for number, name in enumerate(steps.feature_maps, 1)],
        "answer": heat or [(outlined, words("outline"))],
    }
    pictures["fusion"] = pictures["maps"]
    said = {
        "joined": [
            words(f"joined_{steps.concatenation}"),
            words("step_joined_worth" if worth else "step_joined_others"),
        ],
        "fusion": [fusion_words(words, steps)],
    }
    return render(
        "steps.html",
        words=words,
        sections=[
            {
                "key": key,
                "title": words(f"step_{key}"),
                "said": said.get(key) or [words(f"step_{key}_words")],
                "pictures": [(picture_address(picture, "JPEG"), caption) for picture, caption in pictures[key]],
                "whole": key in WHOLE,
            }
            for key in ("image", "alpha", "joined", "maps", "fusion", "answer")
        ],
        cover=picture_address(grey_image(steps.image), "JPEG") if rows else "",
        heat=bool(heat),
        weights=weights(words, steps),
        rows=rows,
    )


def fusion_words(words, steps):
    """How the model in fact weighs its networks."""
    if steps.fusion_weights is None:
        return words("step_no_weights")
    name, weight = max(steps.fusion_weights.items(), key=lambda item: item[1])
    return words("step_one_network", name=name) if weight >= ALL else words("step_fusion_words")


def weights(words, steps):
    """Each network's weight, as a bar and in words; none where there are none."""
    return [
        {"name": name, "width": f"{weight:.1%}", "said": percentage(words, weight)}
        for name, weight in (steps.fusion_weights or {}).items()
    ]


def joined_picture(words, steps, name, worth):
    caption = words(f"way_{name}")
    if name == steps.concatenation:
        caption = words("step_own_way", name=caption)
    if worth:
        share, low, high = (f"{100 * number:.0f}" for number in (worth["value"], *worth["interval"]))
        caption = f"{caption} – {share} ({low}–{high})"
    return joined_image(steps, name).resize((SIDE, SIDE), Image.Resampling.BILINEAR), caption


def map_picture(words, steps, number, name):
    """A branch's mean activation in colours over what the branch saw."""
    size = (SIDE, SIDE)
    heat = np.asarray(Image.fromarray(steps.feature_maps[name]).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    under = joined_image(steps, steps.concatenation).resize(size, Image.Resampling.BILINEAR)
    colours = blend(np.asarray(under, np.float32), heat_colours(heat), MAP_OPACITY * np.ones(size))
    caption = words("network", number=number, name=network(name))
    if steps.fusion_weights and steps.fusion_weights[name] <= NONE:
        caption = f"{caption} – {words('network_without_weight')}"
    return Image.fromarray(as_bytes(colours)), caption


def network(name):
    """A branch as it is called in print: tf_efficientnet_lite0 → efficientnet lite0, for timm's prefix says no more."""
    return name.removeprefix("tf_").removesuffix("_100").replace("_", " ")


def heat_pictures(words, steps, analysis, saliency):
    """Where the score of each finding that is detected is sensitive, as far as that is worth a look."""
    under, pictures = as_rgb(steps.image), []
    for finding in by_level(analysis.findings)["detected"]:
        if finding.name in saliency:
            heat = faded(saliency[finding.name])
            opacity = MAP_OPACITY * ((heat - COLD) / (1 - COLD)).clip(0, 1)
            picture = with_contour(blend(under, heat_colours(heat), opacity), steps.alpha)
            pictures.append((picture, f"{words('show_heat')}: {words.title(finding.name)}"))
    return pictures


def joined_image(steps, name):
    return Image.fromarray(as_bytes(255 * steps.cnn_inputs[name]))


def probabilities(words, steps, analysis):
    """Each finding's probability as the model sees it, and from the whole image; none where nothing is said."""
    told = [finding for finding in analysis.findings if finding.probability is not None]
    return [
        {
            "name": words.title(finding.name),
            "level": finding.level,
            "shares": [
                percentage(words, share)
                for share in (finding.probability, steps.whole_image[finding.name], finding.threshold)
            ],
        }
        for finding in told
    ]


def covered_html(words, scores, findings):
    """What covering a part has changed.

    Args:
        words: `Words`.
        scores: finding → (probability before, after), as `Answers.covered` gives them.
        findings: those that are told of this radiograph.
    """
    rows = [
        {
            "name": words.title(name),
            "before": percentage(words, scores[name][0]),
            "after": percentage(words, scores[name][1]),
            "widths": [f"{share:.1%}" for share in scores[name]],
            "change": change(words, *scores[name]),
        }
        for name in findings
    ]
    return render("covered.html", words=words, rows=rows)
