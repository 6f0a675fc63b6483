"""The radiograph with its layers, to be looked at in a browser: viewer.js makes the controls work."""

from scipy.ndimage import gaussian_filter

from ...analysis import Correction
from ...explanation import share_inside
from ...visualization import background_layer, contour_layer, heat_layer, picture_address, radiograph_image, reduced_to
from .phrases import percentage
from .pixels import key
from .render import render

SOFT_EDGE = 1 / 30  # of a heat map's side
TURNS = (("turn_left", 90, False), ("turn_right", -90, False), ("invert", 0, True))


def viewer_html(words, analysis, saliency, correction):
    """A figure with its controls.

    Args:
        words: `Words`.
        analysis: `Analysis`, upright.
        saliency: finding → (S, S) float array in [0, 1], of those that have a heat map; may be empty.
        correction: `Correction` that the radiograph has been given already.
    """
    drawn = analysis.lung_area > 0 and not analysis.refused
    saliency = saliency if drawn else {}
    height, width = analysis.radiograph.pixels.shape
    return render(
        "viewer.html",
        words=words,
        key=key(analysis.radiograph.pixels),
        ratio=f"{width / height:.4f}",
        drawn=drawn,
        base=picture_address(radiograph_image(analysis), "JPEG"),
        background=picture_address(background_layer(analysis)) if drawn else "",
        contour=picture_address(contour_layer(analysis.alpha)) if drawn else "",
        maps=[heat_map(words, analysis, name, heat) for name, heat in saliency.items()],
        turns=TURNS,
        corrected=correction != Correction(0, False),
    )


def heat_map(words, analysis, name, heat):
    return {
        "key": name,
        "name": words.title(name),
        "picture": picture_address(heat_layer(faded(heat))),
        "share": share_words(words, analysis, heat),
    }


def faded(heat):
    """(S, S) float in [0, 1] → the same, but where the part that the networks saw ends it fades out."""
    soft = gaussian_filter(heat, SOFT_EDGE * len(heat))
    return soft * (heat.max() / max(soft.max(), 1e-12))


def share_words(words, analysis, heat):
    """How much of a heat map lies inside the lungs, in a sentence."""
    share = share_inside(heat, reduced_to(analysis.alpha, heat.shape))
    return words("heat_empty") if share is None else words("heat_inside", share=percentage(words, share))
