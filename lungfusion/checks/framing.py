"""Where in a picture the radiograph lies: without a margin of one grey, or the film or screen in a photograph."""

import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_filter, label
from scipy.spatial import ConvexHull

from ..analysis import UPRIGHT, Correction

SAME_GREY = 0.04  # how far greys of one margin may lie apart
STRAY = 0.02  # share of a row or column that may be of another grey: dust, a marker
MIN_GAP = 0.02  # of a side, between the radiograph and what stands in a margin: a telephone's clock, a title
MAX_BESIDE = 0.15  # of the radiograph's length: what is longer is no such thing
# Of the picture's area: where a margin leaves more it stays, for the radiographs learned from have narrow ones.
MAX_KEPT, MAX_KEPT_IN_BLACK = 0.75, 0.5
BLACK = 0.1
MIN_KEPT = 0.02
SIDE = 256  # pixels of the longer side, in which a film is looked for
MIN_CONTRAST = 0.06  # between a film and what it lies on
MIN_FILM, MAX_FILM = 0.15, 0.95  # of the picture's area
MIN_RIM = 0.015  # of the picture's sides, that what it lies on is seen all around it
MAX_SKEW = 0.012  # of the picture's sides: a film whose corners lie as near to a box has a border, and is no photograph
MIN_FIT = 0.95  # overlap of a film and its four corners (intersection over union)


def find_frame(pixels):
    """The `Correction` that cuts the radiograph out of its picture; `UPRIGHT` where it fills it.

    Args:
        pixels: (H, W) float32 array in [0, 1].
    """
    height, width = pixels.shape
    left, top, right, bottom = trimmed(pixels)
    margin = pixels[0] if top else pixels[-1] if bottom < height else pixels[:, 0 if left else -1]
    kept = MAX_KEPT_IN_BLACK if np.median(margin) < BLACK else MAX_KEPT
    if (right - left) * (bottom - top) < kept * pixels.size:
        return Correction(0, False, box(left / width, top / height, right / width, bottom / height))
    if (corners := film_corners(pixels)) is None:
        return UPRIGHT
    (left, top), (right, bottom) = np.min(corners, axis=0), np.max(corners, axis=0)
    straight = box(float(left), float(top), float(right), float(bottom))
    photographed = np.abs(np.subtract(corners, straight)).max() > MAX_SKEW
    return Correction(0, False, corners if photographed else straight)


def box(left, top, right, bottom):
    """Its corners, from the upper left clockwise."""
    return (left, top), (right, top), (right, bottom), (left, bottom)


def trimmed(pixels):
    """(H, W) → left, top, right, bottom of what is left without margins of one grey; ints, in pixels."""
    step = max(1, max(pixels.shape) // 1024)  # rows and columns looked at across
    height, width = pixels.shape
    ends = [0, width, 0, height]
    for _ in range(2):  # what lay above a margin at the side no longer hides it
        part = pixels[ends[2] : ends[3], ends[0] : ends[1]]
        columns, rows = busy(part[::step].T), busy(part[:, ::step])
        if not (columns.size and rows.size):
            return 0, 0, width, height
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


def film_corners(pixels):
    """Corners of a film or screen that lies on something darker or lighter; None where none is seen.

    Returns:
        four (x, y), as shares of the picture's sides, from the upper left clockwise; or None.
    """
    step = max(1, max(pixels.shape) // SIDE)
    small = gaussian_filter(pixels[::step, ::step], 1.0)
    rim = np.concatenate([small[:3].ravel(), small[-3:].ravel(), small[:, :3].ravel(), small[:, -3:].ravel()])
    ground = np.median(rim)
    contrast = max(MIN_CONTRAST, 4 * np.median(np.abs(rim - ground)))
    regions, count = label(np.abs(small - ground) > contrast)
    if count == 0:
        return None
    film = binary_fill_holes(regions == np.bincount(regions.ravel())[1:].argmax() + 1)
    if not MIN_FILM < film.mean() < MAX_FILM:
        return None
    y, x = np.nonzero(film)
    rim = MIN_RIM * np.array(film.shape)
    if y.min() < rim[0] or x.min() < rim[1] or y.max() >= len(film) - rim[0] or x.max() >= film.shape[1] - rim[1]:
        return None  # it reaches the picture's edge: a body does
    places = np.stack([x, y], 1) + 0.5
    hull = ConvexHull(places)
    if len(places) < MIN_FIT * hull.volume:  # a body's outline, as a rule
        return None
    hull = places[hull.vertices]
    corners = largest_quadrilateral(hull)
    rows, columns = np.mgrid[: film.shape[0], : film.shape[1]] + 0.5
    inside = np.ones(film.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        inside &= (x1 - x0) * (rows - y0) - (y1 - y0) * (columns - x0) >= -np.hypot(x1 - x0, y1 - y0)
    if (inside & film).sum() < MIN_FIT * (inside | film).sum():
        return None
    return tuple(map(tuple, (corners / film.shape[::-1]).clip(0, 1).tolist()))


def largest_quadrilateral(hull):
    """Of a convex hull's corners (n, 2) the four that span most area, from the upper left clockwise: (4, 2)."""
    hull = hull[:: max(1, len(hull) // 60)]
    best, area = None, -1.0
    count = len(hull)
    for one in range(count):
        for other in range(one + 2, count):
            axis = hull[other] - hull[one]
            offset = axis[0] * (hull[:, 1] - hull[one, 1]) - axis[1] * (hull[:, 0] - hull[one, 0])
            if (size := offset.max() - offset.min()) > area:
                best, area = [one, offset.argmin(), other, offset.argmax()], size
    corners = hull[sorted(best)] if best else hull[:4]
    middle = corners.mean(0)
    clockwise = corners[np.argsort(np.arctan2(*(corners - middle).T[::-1]))]
    return np.roll(clockwise, -np.argmin(clockwise.sum(1)), 0)
