"""A correction carried out, and the way back: from the picture as the model saw it to the picture as loaded.

Places are (x, y) from −1 to 1 over a picture's width and height; a 3 × 3 matrix takes places in the corrected picture
to places in the picture as loaded (a homography, Hartley and Zisserman 2004, chapter 2).
"""

import math
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from ..models.concatenation import lung_frame

BLACK = 0.02  # a grey that is not seen
MAX_RESAMPLED = 4_000_000  # pixels of a picture turned by any angle, or straightened; quarter turns and cuts are exact
ROWS = 256  # of a map that are brought back at a time
CELLS = 128  # rows and columns in which a tilt is looked at
UNIT_SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float)


def apply_correction(radiograph, correction):
    """The `Radiograph`, cut to the part that counts, inverted, turned and mirrored as `Correction` says.

    One that is not turned by quarters grows, so that nothing is cut off; what is black around it then, as where it had
    been tilted by a program, is trimmed.
    """
    return replace(radiograph, pixels=correct_pixels(radiograph.pixels, correction)[0])


def correct_pixels(pixels, correction):
    """(H, W) float32 in [0, 1] → the corrected picture (h, w) float32, contiguous, and its matrix (3, 3)."""
    matrix = np.eye(3)
    if correction.is_box:
        height, width = pixels.shape
        (left, top), _, (right, bottom), _ = np.array(correction.corners) * [width, height]
        left, top, right, bottom = (round(end) for end in (left, top, right, bottom))
        pixels, matrix = pixels[top:bottom, left:right], box_matrix(left, top, right, bottom, pixels.shape)
    elif correction.corners is not None:
        pixels = bounded(pixels)
        matrix = homography(2 * np.array(correction.corners) - 1)
        pixels = resample(pixels, matrix, sides(correction.corners, pixels.shape))
    if correction.invert:
        pixels = 1 - pixels
    if correction.angle % 90 == 0:
        quarters = correction.angle // 90
        matrix = matrix @ turn_matrix(90 * quarters, pixels.shape, pixels.shape[:: -1 if quarters % 2 else 1])
        pixels = np.rot90(pixels, quarters)
    else:
        pixels = bounded(pixels)
        angle, (height, width) = math.radians(correction.angle), pixels.shape
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        shape = math.ceil(width * sin + height * cos), math.ceil(width * cos + height * sin)
        turned = turn_matrix(correction.angle, pixels.shape, shape)
        pixels = resample(pixels, turned, shape)
        rows, columns = (np.flatnonzero((pixels > BLACK).any(axis)) for axis in (1, 0))
        ends = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        matrix = matrix @ turned @ box_matrix(*ends, pixels.shape)
        pixels = pixels[ends[1] : ends[3], ends[0] : ends[2]]
    if correction.mirror:
        matrix, pixels = matrix @ np.diag([-1, 1, 1]), pixels[:, ::-1]
    return np.ascontiguousarray(pixels), matrix


def unwarp_to_original(x, matrix, shape):
    """A map of the corrected picture, as one of the picture as loaded.

    Args:
        x: (h, w) float32 array, of any size: stretched over the corrected picture it fits.
        matrix: (3, 3), as `correct_pixels` gives it.
        shape: (H, W) of the result.

    Returns:
        (H, W) float32 array; 0 where the corrected picture does not reach.
    """
    if (matrix == np.eye(3)).all():  # nothing was done
        x = torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None]
        return F.interpolate(x, shape, mode="bilinear", antialias=True, align_corners=False)[0, 0].numpy()
    back, result = np.linalg.inv(matrix), np.empty(shape, np.float32)
    for start in range(0, shape[0], ROWS):
        rows = slice(start, min(start + ROWS, shape[0]))
        result[rows] = sample_at(x, back, shape, rows)
    return result


def resample(pixels, matrix, shape):
    """(H, W) in [0, 1] seen through a matrix, (h, w) float32, as sharp as can be; black where nothing lies."""
    return sample_at(pixels, matrix, shape, slice(0, shape[0]), "bicubic").clip(0, 1)


def sample_at(x, matrix, shape, rows, mode="bilinear"):
    """Some rows of a picture of that shape, each place taken from `x` where the matrix says."""
    y = ((2 * np.arange(rows.start, rows.stop) + 1) / shape[0] - 1)[:, None]
    place = np.stack(np.broadcast_arrays((2 * np.arange(shape[1]) + 1) / shape[1] - 1, y, 1.0), -1) @ matrix.T
    grid = torch.from_numpy((place[..., :2] / place[..., 2:]).astype(np.float32))[None]
    x = torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None]
    return F.grid_sample(x, grid, mode, align_corners=False)[0, 0].numpy()


def bounded(pixels):
    """(H, W) → the same, made smaller if it has more than `MAX_RESAMPLED` pixels."""
    scale = math.sqrt(MAX_RESAMPLED / pixels.size)
    if scale >= 1:
        return pixels
    shape = [max(1, int(side * scale)) for side in pixels.shape]
    pixels = torch.from_numpy(np.ascontiguousarray(pixels))[None, None]
    return F.interpolate(pixels, shape, mode="bilinear", antialias=True, align_corners=False)[0, 0].numpy()


def homography(corners):
    """The matrix that takes the corners of the unit square, from the upper left clockwise, to four places (4, 2)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(UNIT_SQUARE, corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1).reshape(3, 3)


def box_matrix(left, top, right, bottom, shape):
    """The matrix of a part of a picture of that shape; ends in pixels."""
    height, width = shape
    return np.array(
        [
            [(right - left) / width, 0, (left + right) / width - 1],
            [0, (bottom - top) / height, (top + bottom) / height - 1],
            [0, 0, 1],
        ]
    )


def turn_matrix(angle, shape, turned_shape):
    """The matrix of a picture of that shape turned by an angle in degrees, anticlockwise, about its middle."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    (height, width), (turned_height, turned_width) = shape, turned_shape
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return np.diag([1 / width, 1 / height, 1]) @ turn @ np.diag([turned_width, turned_height, 1])


def sides(corners, shape):
    """(h, w) in pixels of a quadrilateral straightened: the longer of opposite sides, so that nothing fine is lost."""
    places = np.array(corners) * shape[::-1]
    top, right, bottom, left = np.linalg.norm(np.roll(places, -1, 0) - places, axis=1)
    return max(1, round(max(left, right))), max(1, round(max(top, bottom)))


def tilt(lungs, aspect=1.0):
    """By how many degrees the lungs lean clockwise: as `models.concatenation.lung_frame` measures it, by which the
    branches see them upright. 0 where there are none, and beyond 45°.

    Args:
        lungs: (S, S) bool array.
        aspect: the radiograph's width / height, for the mask is square.
    """
    shape = np.round(CELLS * np.array([1, aspect]) / max(1, aspect)).astype(int).clip(1).tolist()
    alpha = F.interpolate(torch.from_numpy(lungs).float()[None, None], shape, mode="area")
    margins = [CELLS - shape[1], CELLS - shape[0]]
    alpha = F.pad(alpha, [margins[0] // 2, margins[0] - margins[0] // 2, margins[1] // 2, margins[1] - margins[1] // 2])
    (cos, _, _), (sin, _, _) = lung_frame(alpha)[0].tolist()
    return math.degrees(math.atan2(sin, cos))
