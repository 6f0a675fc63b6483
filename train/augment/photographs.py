"""Photographs of films and screens, made from radiographs: what a telephone sends instead of the file.

After CheXphoto (Phillips et al. 2020): a film or screen seen aslant on a darker or lighter ground, with its glow, the
beat of two rasters (moiré), glare, uneven light, a cast and JPEG's losses.
"""

from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from lungfusion.checks.geometry import homography, unwarp_to_original

GROUNDS = (0.02, 0.97)  # a dark room, a light box
LARGER = 1.3  # the photograph's sides, of the film's


def photograph(pixels, generator, strength=1.0):
    """A radiograph as a photograph of it.

    Args:
        pixels: (H, W) float in [0, 1], bone white.
        generator: `numpy.random.Generator`.
        strength: of moiré, glare, uneven light, cast and noise; 0 leaves place and ground alone.

    Returns:
        picture: (h, w, 3) uint8.
        corners: (4, 2) float, where the film's corners lie, as shares of the picture's sides, from the upper left
            clockwise.
    """
    corners = film_corners(generator)
    shape = tuple(round(LARGER * side) for side in pixels.shape)
    matrix = homography(2 * corners - 1)
    film = (0.13 + 0.74 * pixels).astype(np.float32)  # it glows, so it is neither black nor white
    covered = unwarp_to_original(np.ones_like(film), matrix, shape)
    y, x = np.mgrid[: shape[0], : shape[1]] / np.array(shape).reshape(2, 1, 1)
    seen = unwarp_to_original(film * (1 + strength * moire(film.shape, generator)), matrix, shape)
    seen += covered * strength * glare(x, y, generator)
    across, down = strength * generator.uniform(-0.06, 0.06, 2)
    seen *= 1 + across * (x - 0.5) + down * (y - 0.5)
    seen += (1 - covered) * generator.choice(GROUNDS)
    seen = gaussian_filter(seen, 0.6) + strength * generator.normal(0, 0.006, shape)
    gains = 1 - strength * generator.uniform(0, 0.12, 3)
    picture = Image.fromarray(np.round(255 * (seen[..., None] * gains).clip(0, 1)).astype(np.uint8))
    file = BytesIO()
    picture.save(file, "JPEG", quality=88)
    return np.asarray(Image.open(file)), corners


def film_corners(generator):
    """Corners of a film held nearly upright: (4, 2) float, shares of the picture's sides."""
    margin = generator.uniform(0.06, 0.12)
    corners = np.array([(margin, margin), (1 - margin, margin), (1 - margin, 1 - margin), (margin, 1 - margin)])
    angle = np.deg2rad(generator.uniform(-4, 4))
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    corners = (corners - 0.5) @ turn.T + 0.5 + generator.uniform(-0.025, 0.025, (4, 2))
    return corners.clip(0.025, 0.975)


def moire(shape, generator):
    """Bands of a few pixels' width across a screen, (H, W) float around 0."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    angle, period = generator.uniform(0, np.pi), generator.uniform(3, 9)
    return generator.uniform(0.005, 0.02) * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)


def glare(x, y, generator):
    """The reflection of a lamp, (H, W) float from 0."""
    (left, top), width = generator.uniform(0.1, 0.9, 2), generator.uniform(0.04, 0.1)
    return generator.uniform(0.05, 0.15) * np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * width**2))
