"""Two radiographs, the second laid over the first, and what is said of each; whether of one person, is not claimed."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from ...visualization import as_bytes, grey_image, picture_address, reduced
from ..registration import laid_over, on_one_scale, register
from .answer import details
from .phrases import percentage
from .render import render
from .viewer import outline_path, to_analysed_geometry

DARKER, DENSER = (86, 180, 233), (230, 159, 0)  # sky blue and orange of Okabe and Ito 2008
FULL = 0.25  # difference of grey that has the full colour
FAINT = 0.04  # difference that has none: noise, and what registration leaves
BLUR = 1 / 150  # of the picture's side, before greys are compared
OUTLINE_SIDE = 384  # cells along the longer side of a mask from which the line is made
RIM = 1 / 25  # of the picture's side: how far around the lungs a difference is shown


def comparison_html(words, first=None, second=None):
    """What is said and shown of two radiographs; of one, and what to do, while there is no other.

    first, second: `Analysis`, or None.
    """
    sides = {"first": first, "second": second}
    sides = {key: to_analysed_geometry(analysis)[0] for key, analysis in sides.items() if analysis}
    found = register(*sides.values()) if len(sides) == 2 and not any(one.refused for one in sides.values()) else None
    difference = ""
    if found and found.holds:
        first, second = sides.values()
        shown, alpha, layer = over_the_first(first, second, found)
        pictures = {"first": (first.radiograph.pixels, first.alpha), "second": (shown, alpha)}
        difference = picture_address(layer)
    else:
        pictures = {key: (one.radiograph.pixels, one.alpha) for key, one in sides.items()}
    return render(
        "comparison.html",
        words=words,
        sides=[side(words, key, sides[key], *pictures[key]) for key in sides],
        laid_over=bool(difference),
        difference=difference,
        apart=len(sides) == 2 and not difference,
        missing=next((key for key in ("first", "second") if key not in sides), None),
        rows=rows(words, *sides.values()) if len(sides) == 2 else [],
    )


def over_the_first(first, second, found):
    """The second as the first lies: pixels and alpha (H, W), on the first's greys; and the layer of differences."""
    shape = first.alpha.shape
    alpha = laid_over(second.alpha, found, shape)
    pixels = laid_over(second.radiograph.pixels, found, shape)
    pixels = on_one_scale(first.radiograph.pixels, pixels, np.maximum(first.alpha, alpha) > 0.5)
    return pixels, alpha, difference_layer(first.radiograph.pixels, pixels, np.maximum(first.alpha, alpha))


def difference_layer(first, second, alpha):
    """Where the second is darker or denser (whiter) than the first, in and around the lungs: a picture, mode RGBA.

    first, second, alpha: (H, W) float32 in [0, 1].
    """
    first, second, alpha = (reduced(x) for x in (first, second, alpha))
    side = max(first.shape)
    change = gaussian_filter(second, BLUR * side) - gaussian_filter(first, BLUR * side)
    near = (2 * gaussian_filter(alpha, RIM * side)).clip(0, 1)
    opacity = ((abs(change) - FAINT) / (FULL - FAINT)).clip(0, 1) * near
    colours = np.where(change[..., None] > 0, DENSER, DARKER)
    return Image.fromarray(np.dstack([as_bytes(colours), as_bytes(230 * opacity)]))


def side(words, key, analysis, pixels, alpha):
    (height, width), small = pixels.shape, reduced(alpha, OUTLINE_SIDE)
    drawn = not analysis.refused and (small > 0.5).any()
    return {
        "key": key,
        "title": words(f"compare_{key}"),
        "ratio": f"{width / height:.4f}",
        "picture": picture_address(grey_image(pixels), "JPEG"),
        "contour": outline_path(small) if drawn else "",
        "cells": "{1} {0}".format(*small.shape),
        "warnings": [words.warning(warning) for warning in analysis.warnings],
        "details": details(words, analysis),
    }


def rows(words, first, second):
    """Each finding's name and both answers; none where one was refused. No change is told: they may be two people's."""
    if first.refused or second.refused or not second.findings:
        return []
    return [
        {"name": words.title(one.name), "answers": [answer(words, finding) for finding in (one, second[one.name])]}
        for one in first.findings
    ]


def answer(words, finding):
    """A finding's level in words, with its share where it is detected: lower ones are read as risks."""
    level = words(f"level_{finding.level}")
    said = f"{percentage(words, finding.probability)} · {level}" if finding.detected else level
    return {"level": finding.level, "said": said}
