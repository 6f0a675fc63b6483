"""Pictures of the drawn person that are not one frontal chest: from the side, two in one picture, beside a caption.

Lengths and directions are those of `phantom`; in a lateral view x runs from the back to the front.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import PchipInterpolator

from train.augment.phantom.anatomy import Body, branches, ribs, spine
from train.augment.phantom.film import Film
from train.augment.phantom.radiograph import LUNG_DENSITY, expose

DEPTH = 0.68  # of the rib cage, as a share of its width
EXPOSURE = 11.0  # cm of soft tissue that the automatic exposure makes up for: a chest is thicker from the side


class LateralFilm(Film):
    """The film beside the patient: bones are projected along the other axis."""

    def bone(self, knots, half_height, half_depth, outward=(0, 0, 1)):
        knots, outward = np.asarray(knots)[:, ::-1], np.asarray(outward)[..., ::-1]  # x, y, z → z, y, x
        return super().bone(knots, half_height, half_depth, outward)

    def moved(self, distance):
        """The same film in coordinates that begin at `distance`, a number or (size, size)."""
        film = LateralFilm.__new__(LateralFilm)
        vars(film).update(vars(self), x=self.x - distance)
        return film


def lateral_trunk(film, body):
    """Soft tissue from side to side, arms raised."""
    y = film.y
    front = PchipInterpolator([-20, 2, 8, 16, 24, 34, 60], [4.5, 5.0, 7.6, 10.6, 11.6, 11.2, 12.0])(y)
    width = PchipInterpolator([-20, 4, 10, 17, 24, 60], [11, 13, 26, 29, 30, 31])(y) + body.wall
    chest = width * np.sqrt(np.clip(1 - np.abs(film.x / (front + body.wall / 1.5)) ** 2.6, 0, None))
    arms = film.ellipsoid((5.0, body.apex - 9.0), (5.2, 15), 19, turn=28)
    return (chest**4 + arms**4) ** 0.25 + film.ellipsoid((9, 22), (5.5, 5.5), 2 * body.breast)


def lateral_mediastinum(film, body):
    """Heart, great vessels and trachea's walls from side to side: the heart lies on diaphragm and breastbone."""
    base, k = body.right_dome - 3.0, body.heart
    parts = [
        film.ellipsoid((3.6 * k, base - 1.6), (5.2 * k, 6.2 * k), 11.5, turn=-28),
        film.ellipsoid((1.4, body.apex + 9.5), (4.4, 4.0), 6.0, turn=20),
        film.ellipsoid((-2.2, body.apex + 20), (1.5, 13), 3.0, turn=4),
    ]
    return np.sum(np.power(parts, 4), axis=0) ** 0.25


def lateral_lungs(film, body):
    """Thickness of aerated lung of both lungs, one behind the other, and where they are seen, bool."""
    width = np.maximum(body.cavity(film.y), 1e-3)
    cavity = 1.75 * width * np.sqrt(np.clip(1 - (film.x / (DEPTH * width)) ** 2, 0, None))
    crest = body.right_dome - 0.5 + np.where(film.x < 2.5, 0.055, 0.02) * (film.x - 2.5) ** 2
    cavity -= 2 * np.sqrt(np.clip(film.y - crest, 0, None) / 0.035)
    solid = lateral_mediastinum(film, body)
    return np.clip(cavity - 1.1 * solid, 0, None), (cavity > 0) & (film.y < crest) & (solid < 7)


def draw_lateral(seed=0, size=512):
    """Draw the person of a seed from the side, arms raised.

    Returns pixels (size, size) float32 in [0, 1], bone white, and mask (size, size) bool: where lung is seen, one
    region for both. Every other seed faces the other way.
    """
    rng = np.random.default_rng(seed)
    body = Body(rng)
    film = LateralFilm(size, 0.0, body.stature)
    air, mask = lateral_lungs(film, body)
    vessels = np.minimum(branches(film, body, rng, radius=0.68, forks=4), air)
    aerated = (air - vessels) * (1 + 0.015 * film.noise(rng, (40, 80, 160)))
    trachea = film.ellipsoid((-0.4, body.apex - 6), (0.95, 18), 1.9, turn=6)
    soft = lateral_trunk(film, body) - (1 - LUNG_DENSITY) * aerated - trachea
    back = -0.62 * DEPTH * np.maximum(body.cavity(np.clip(film.y, 14, 26)), 1) - 1.2
    bone = ribs(film, body) + 1.6 * spine(film.moved(back), body)
    for offset in (0, 1.6):  # both upper arms, raised forwards
        knots = np.array([(0, body.apex + 1, -0.5), (0, body.apex - 4, 2), (0, -9, 8)]) + np.array([0, 0, offset])
        bone = bone + film.bone(knots, np.array([1.6, 1.2, 1.1]), 0.9, (1.0, 0, 0))
    breastbone = np.array([(0, body.apex + 5, 8.0), (0, body.apex + 14, 9.6), (0, body.apex + 20, 9.4)], float)
    bone = bone + film.bone(breastbone, np.array([0.6, 0.5, 0.4]), 1.8, (1.0, 0, 0))
    pixels = expose(film, body, soft - EXPOSURE, bone, rng)
    facing = slice(None, None, 1 if seed % 2 else -1)
    return np.ascontiguousarray(pixels[:, facing]), np.ascontiguousarray(mask[:, facing])


def pair(first, second, axis=1, gap=0, grey=0.0):
    """Two (H, W) pictures of one size as one: beside each other (axis 1) or stacked (axis 0), a strip between them."""
    between = np.full((gap, first.shape[1]) if axis == 0 else (first.shape[0], gap), grey, np.float32)
    return np.concatenate([first, between, second], axis)


def beside_caption(pixels, seed=0):
    """(H, W) → (H, 2 W) float32 in [0, 1]: the picture, and a page of text to its right."""
    rng = np.random.default_rng(seed)
    height, width = pixels.shape
    page = Image.new("L", (width, height), 255)
    letters, size = list("abcdefghij klmnop qrstu vwxyz "), max(8, height // 32)
    font = ImageFont.load_default(size=size)
    for y in range(size, height - 2 * size, round(1.6 * size)):
        ImageDraw.Draw(page).text((size, y), "".join(rng.choice(letters, 2 * width // size - 4)), fill=30, font=font)
    return pair(pixels, np.asarray(page, np.float32) / 255)
