"""What of the outlined lungs can't be seen: covered by a rectangle of one grey, or white throughout."""

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects, label, maximum_filter, minimum_filter

from ..models.mask_postprocessing import box_of

FLAT = 2 / 255  # greys of one shade may lie so far apart
REACH = 5  # pixels: rows and columns in which they do
RECTANGLE = 0.85  # of its box that a covered part fills; lungs that are black by exposure fill less
MIN_SIDE = 0.04  # of the picture's side: the shorter side of what counts as covering
MIN_AREA = 0.02  # of the lungs' box
MAX_OPAQUE = 0.75  # of a lung as bright as the mediastinum: beyond, it is white throughout


def hidden_lungs(pixels, right, left):
    """Where the outlined lungs can't be seen.

    Args:
        pixels: (H, W) float32 array in [0, 1], bone white.
        right, left: (S, S) bool arrays, that fit when stretched over it.

    Returns:
        covered, white: (S, S) bool arrays, within the lungs.
    """
    lungs = right | left
    if not lungs.any():
        return lungs, lungs
    image = np.asarray(Image.fromarray(pixels).resize(lungs.shape[::-1], Image.Resampling.BOX))
    return covered(image, box_of(lungs)) & lungs, sum(opaque_lungs(image, right, left), lungs & False)


def covered(image, box):
    """The rectangles of one grey in the box (two slices) of a picture: (S, S) bool array."""
    near = tuple(slice(max(0, ends.start - REACH), ends.stop + REACH) for ends in box)
    part = image[near]
    flat = maximum_filter(part, REACH) - minimum_filter(part, REACH) < FLAT
    regions, _ = label(flat)
    found = np.zeros_like(image, bool)
    for number, (rows, columns) in enumerate(find_objects(regions), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        large = min(height, width) >= MIN_SIDE * len(image) - REACH + 1 and height * width > MIN_AREA * part.size
        if large and (regions[rows, columns] == number).mean() >= RECTANGLE:
            top, first = near[0].start + rows.start - REACH // 2, near[1].start + columns.start - REACH // 2
            found[max(0, top) : top + height + REACH - 1, max(0, first) : first + width + REACH - 1] = True
    return found


def opaque_lungs(image, right, left):
    """Those of two lungs that are as bright as what lies between them, while the other lets it be seen."""
    if not (right.any() and left.any()):
        return []
    middle = between(right, left)
    if not middle.any():
        return []
    soft = np.median(image[middle])
    return [lung for lung in (right, left) if (image[lung] > soft).mean() > MAX_OPAQUE]


def between(right, left):
    """(S, S) bool: between the right lung's inner border and the left's, in rows that have both."""
    columns = np.arange(right.shape[1])
    both = right.any(1) & left.any(1)
    end = right.shape[1] - 1 - right[:, ::-1].argmax(1)  # the last column of the right lung
    start = left.argmax(1)
    return both[:, None] & (columns > end[:, None]) & (columns < start[:, None])
