"""A film or screen in a photograph: four straight, sharp edges, and what it lies on seen all around it."""

import numpy as np
from scipy.ndimage import gaussian_filter

SIDE = 256  # pixels of the longer side, in which a film is looked for
SMOOTH, REACH_OF_SMOOTH = 1.0, 4  # pixels: of the Gaussian, and how far it is reckoned
RIM = 3  # pixels at the picture's edge, that show what the film lies on
MAX_UNEVEN = 0.2  # between greys of what it lies on, along a side; where a body reaches the picture's edge it is more
MIN_CONTRAST = 0.03  # between a film and what it lies on
REACH = 3  # pixels, about the place where something new begins, in which its edge is looked for
PICKS = 24  # places of an edge, of which any two may say how it runs
MAX_SLOPE = 0.36  # 20°
NEAR = 1.0  # pixels that places of an edge may lie beside it
MIN_SEEN = 0.6  # of an edge: the rest may be hidden, by glare or as black on black
MIN_FILM, MAX_FILM = 0.15, 0.95  # of the picture's area
MIN_RIM = 0.015  # of the picture's sides: what reaches its edge is a body, as a rule


def film_corners(pixels):
    """Corners of a film or screen that lies on something darker or lighter; None where none is seen.

    Args:
        pixels: (H, W) float32 array in [0, 1].

    Returns:
        four (x, y), as shares of the picture's sides, from the upper left clockwise; or None.
    """
    step = max(1, max(pixels.shape) // SIDE)
    small = pixels[::step, ::step]
    grounds = [lies_on(picture) for picture in from_all_sides(small)]
    if any(np.ptp(np.percentile(ground, (10, 90))) > MAX_UNEVEN for ground in grounds):
        return None  # as of nearly every radiograph, and soon known
    edges = []
    for picture, ground in zip(from_all_sides(smooth(small)), grounds, strict=True):
        if (edge := first_edge(picture, ground)) is None:
            return None
        edges.append(edge)
    (*top, _), right, bottom, (*left, _) = edges
    bottom, right = ((-edge[0], end - 1 - edge[1]) for edge, end in zip((bottom, right), small.shape, strict=True))
    corners = np.array([meet(top, left), meet(top, right), meet(bottom, right), meet(bottom, left)])
    lengths = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    if any(seen < MIN_SEEN * length for (*_, seen), length in zip(edges, lengths, strict=True)):
        return None
    corners = (step * corners + 0.5) / pixels.shape[::-1]
    (x, y), (next_x, next_y) = corners.T, np.roll(corners, -1, 0).T
    area = (x * next_y - next_x * y).sum() / 2
    if not MIN_FILM < area < MAX_FILM or corners.min() < MIN_RIM or corners.max() > 1 - MIN_RIM:
        return None
    return tuple(map(tuple, corners.tolist()))


def from_all_sides(picture):
    """(h, w) → four views of it: seen from above, the right, below, the left, that side on top."""
    return picture, picture.T[::-1], picture[::-1], picture.T


def smooth(picture):
    return gaussian_filter(picture, SMOOTH, radius=REACH_OF_SMOOTH)


def lies_on(picture):
    """What a film may lie on, (w,): the grey along the upper rim of a picture (h, w), smoothed."""
    return np.median(smooth(picture[: RIM + REACH_OF_SMOOTH])[:RIM], axis=0)


def first_edge(picture, ground):
    """The straight, sharp edge that is met first from above.

    Args:
        picture: (h, w) float32 array in [0, 1], smoothed.
        ground: (w,), what it lies on.

    Returns:
        slope and offset of y = slope * x + offset, in pixels, and how many columns it is seen in; None without one.
    """
    contrast = max(MIN_CONTRAST, 4 * float(np.median(np.abs(np.diff(ground)))))
    new = np.abs(picture - ground) > contrast
    x, rows = np.flatnonzero(new.any(0)), new.argmax(0)
    x = x[(rows[x] >= REACH) & (rows[x] < len(picture) - REACH)]
    around = picture[rows[x] + np.arange(-REACH, REACH + 1)[:, None], x]
    sharp = np.abs(around[-2] - around[1]) > contrast  # what fades in is no edge
    x, steps = x[sharp], np.diff(around[:, sharp], axis=0) ** 2
    if len(x) < PICKS:
        return None
    y = rows[x] + (np.arange(0.5 - REACH, REACH)[:, None] * steps).sum(0) / steps.sum(0)
    picks = np.linspace(0, len(x) - 1, PICKS).astype(int)
    one, other = picks[np.array(np.triu_indices(PICKS, 1))]
    slopes = (y[other] - y[one]) / (x[other] - x[one])
    one, slopes = one[np.abs(slopes) < MAX_SLOPE, None], slopes[np.abs(slopes) < MAX_SLOPE, None]
    if not len(one):
        return None
    near = np.abs(y - y[one] - slopes * (x - x[one])) < NEAR
    near = near[near.sum(1).argmax()]
    for _ in range(2):
        slope, offset = np.polyfit(x[near], y[near], 1)
        near = np.abs(y - slope * x - offset) < NEAR
    return slope, offset, near.sum()


def meet(row, column):
    """(x, y) where y = a * x + b and x = c * y + d meet; each line a pair of floats."""
    (a, b), (c, d) = row, column
    x = (c * b + d) / (1 - a * c)
    return x, a * x + b
