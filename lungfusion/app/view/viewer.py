"""The radiograph with its layers, to be looked at in a browser: viewer.js makes the controls work."""

import base64
import zlib
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from ...analysis import UPRIGHT, Correction
from ...checks.geometry import correct, resample
from ...explanation import share_inside
from ...visualization import (
    background_layer,
    contour_layer,
    heat_layer,
    picture_address,
    radiograph_image,
    reduced,
    reduced_to,
)
from .phrases import percentage
from .render import render

DEEP_SIDE = 2048  # pixels, at most, of all pixels that are sent
DEPTHS = (8, 12, 16)  # bits
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


def to_analysed_geometry(analysis, saliency=None):
    """An analysis, and its heat maps, in the geometry of the picture that was analysed: a person looks at it upright.

    Args:
        analysis: `Analysis`.
        saliency: finding → (S, S) float array in [0, 1], stretched over the radiograph as loaded it fits.

    Returns:
        `Analysis` whose radiograph and alpha are those of the corrected picture; the maps, stretched over that.
    """
    saliency = saliency or {}
    if analysis.correction == UPRIGHT:
        return analysis, saliency
    pixels, matrix = correct(analysis.radiograph.pixels, analysis.correction)
    seen = replace(analysis, radiograph=replace(analysis.radiograph, pixels=pixels), matrix=np.eye(3))
    return seen, {name: resample(heat, matrix, heat.shape) for name, heat in saliency.items()}


def pixels_html(pixels):
    """(H, W) float32 in [0, 1] → an element that holds them as whole numbers of the radiograph's own depth."""
    bits = depth(pixels)
    values = np.round(reduced(pixels, DEEP_SIDE).clip(0, 1) * (2**bits - 1)).astype(np.uint16)
    height, width = values.shape
    sent = base64.b64encode(packed(values)).decode()
    return render("pixels.html", key=key(pixels), width=width, height=height, bits=bits, pixels=sent)


def key(pixels):
    """A few letters that tell one radiograph from another."""
    return f"{zlib.crc32(np.ascontiguousarray(pixels)):08x}"


def depth(pixels):
    """The least of `DEPTHS` that holds every grey of (H, W) float in [0, 1]."""
    some = pixels[:: max(1, len(pixels) // 256)]
    for bits in DEPTHS[:-1]:
        values = some * (2**bits - 1)
        if np.abs(values - np.round(values)).max() < 0.02:
            return bits
    return DEPTHS[-1]


def packed(values):
    """(h, w) uint16 → bytes: differences along each row, the lower bytes before the higher ones, deflated."""
    steps = np.diff(values, axis=1, prepend=np.zeros((len(values), 1), np.uint16))
    return zlib.compress((steps & 255).astype(np.uint8).tobytes() + (steps >> 8).astype(np.uint8).tobytes(), 1)
