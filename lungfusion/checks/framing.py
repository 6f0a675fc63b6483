"""Where in a picture the radiograph lies: without a margin of one grey, or the film or screen in a photograph."""

import math

import numpy as np

from ..analysis import UPRIGHT, Correction
from .film import film_corners

SAME_GREY = 0.04  # how far greys of one margin may lie apart
STRAY = 0.02  # share of a row or column that may be of another grey: dust, a marker
MIN_GAP = 0.02  # of a side, between the radiograph and what stands in a margin: a telephone's clock, a title
MAX_BESIDE = 0.25  # of the radiograph's length: what is longer is no such thing
# Of the picture's area: where a margin leaves more it stays, for the radiographs learned from have narrow ones, and in
# black wider ones where nothing stands in it.
MAX_KEPT, MAX_KEPT_IN_BLACK = 0.75, 0.5
MIN_BESIDE = 0.02  # of the picture's area: a viewer's smaller pictures beside the one that is looked at
BLACK = 0.1
LOOKED_AT = 256  # places of each row and column
MIN_KEPT = 0.02
MAX_SKEW = 0.012  # of the picture's sides: a film whose corners lie as near to a box has a border, and is no photograph


def find_frame(pixels):
    """The `Correction` that cuts the radiograph out of its picture; `UPRIGHT` where it fills it.

    Args:
        pixels: (H, W) float32 array in [0, 1].
    """
    corners = film_corners(pixels)
    if corners is not None and np.abs(np.subtract(corners, bounding_box(corners))).max() > MAX_SKEW:
        return Correction(0, False, corners)
    height, width = pixels.shape
    left, top, right, bottom = trimmed(pixels)
    kept = (right - left) * (bottom - top) / pixels.size
    if kept < MAX_KEPT_IN_BLACK or (kept < MAX_KEPT and not is_plain(pixels, left, top, right, bottom)):
        return Correction(0, False, box(left / width, top / height, right / width, bottom / height))
    return UPRIGHT if corners is None else Correction(0, False, bounding_box(corners))


def is_plain(pixels, left, top, right, bottom):
    """Whether the margin around a part of a picture is black, and nothing stands in it."""
    margin = pixels[0] if top else pixels[-1] if bottom < len(pixels) else pixels[:, 0 if left else -1]
    beside = (pixels > BLACK).sum() - (pixels[top:bottom, left:right] > BLACK).sum()
    return np.median(margin) < BLACK and beside < MIN_BESIDE * pixels.size


def bounding_box(corners):
    (left, top), (right, bottom) = np.min(corners, axis=0).tolist(), np.max(corners, axis=0).tolist()
    return box(left, top, right, bottom)


def box(left, top, right, bottom):
    """Its corners, from the upper left clockwise."""
    return (left, top), (right, top), (right, bottom), (left, bottom)


def trimmed(pixels):
    """(H, W) → left, top, right, bottom of what is left without margins of one grey; ints, in pixels."""
    step = math.ceil(max(pixels.shape) / LOOKED_AT)
    height, width = pixels.shape
    ends = [0, width, 0, height]
    for _ in range(2):  # what lay above a margin at the side no longer hides it
        part = pixels[ends[2] : ends[3], ends[0] : ends[1]]
        columns, rows = busy(part[::step].T), busy(part[:, ::step])
        if not (columns.size and rows.size):
            return 0, 0, width, height
        if len(columns) == part.shape[1] and len(rows) == len(part):
            break  # nothing was trimmed
        ends = [ends[0] + columns[0], ends[0] + columns[-1] + 1, ends[2] + rows[0], ends[2] + rows[-1] + 1]
    if (ends[1] - ends[0]) * (ends[3] - ends[2]) < MIN_KEPT * pixels.size:
        return 0, 0, width, height
    return int(ends[0]), int(ends[2]), int(ends[1]), int(ends[3])


def busy(lines):
    """Which lines (N, n) hold more than the grey of the nearer of the two outermost: their indices, (m,) int, without a
    gap. Of several parts it is the longest alone, if the others are short.
    """
    stray = np.empty((2, len(lines)), bool)
    for side, margin in enumerate((lines[0], lines[-1])):
        off = np.abs(lines - np.median(margin)) > SAME_GREY
        stray[side] = off.mean(1) > STRAY
    first, last = stray[0].argmax(), len(lines) - stray[1][::-1].argmax()
    if not (stray[0].any() and stray[1].any()):
        return np.arange(0)
    within = first + np.flatnonzero((stray[0] & stray[1])[first:last])
    parts = np.split(within, np.flatnonzero(np.diff(within) > MIN_GAP * len(lines)) + 1)
    longest = max(parts, key=np.size)
    if len(longest) and all(np.size(part) <= MAX_BESIDE * np.size(longest) for part in parts if part is not longest):
        first, last = longest[0], longest[-1] + 1
    return np.arange(first, last)
