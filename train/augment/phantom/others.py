"""Chests that are no frontal chest radiographs of a person, drawn with the phantom's means: CT scouts, whole newborns,
shoulders, four-legged animals.

No data were drawn from: the likenesses hold what tells such pictures apart, and how they are framed.
"""

import numpy as np

from train.augment.phantom.anatomy import Body, airways_and_stomach, branches, lungs, ribs, shoulder_girdle, spine
from train.augment.phantom.anatomy import trunk as upright_trunk
from train.augment.phantom.film import Film, step
from train.augment.phantom.radiograph import LUNG_DENSITY, MU_BONE, MU_SOFT, draw_phantom, expose
from train.augment.phantom.views import draw_lateral

AWAY = 200.0  # cm: an arm that lies there is on no film


def draw_scout(seed=0, size=512):
    """Draw the scout (topogram) of a CT: neck to hips, arms raised, on a table, air at both sides.

    Returns pixels (h, size) float32 in [0, 1], bone white: attenuation as it is, for no film bends it.
    """
    rng = np.random.default_rng(seed)
    body = Body(rng)
    body.elbow = AWAY
    film = Film(size, rng.uniform(-2, 2), rng.uniform(0.5, 0.62))
    air, _ = lungs(film, body)
    vessels = np.minimum(branches(film, body, rng, radius=0.68, forks=4), air)
    soft = upright_trunk(film, body) - (1 - LUNG_DENSITY) * (air - vessels) - airways_and_stomach(film, body, rng)
    for side in (-1, 1):
        soft = soft + film.ellipsoid((side * rng.uniform(13, 16), -8), (5, 22), 9, turn=side * 10)  # raised arm
        soft = soft + 1.5 * (np.abs(film.x - side * 21.5) < 0.5) + 0.4 * (np.abs(film.x) < 21.5) / 2  # table
    bone = ribs(film, body) + spine(film, body) + shoulder_girdle(film, body)
    for side in (-1, 1):
        bone = bone + film.ellipsoid((side * 8.5, 56), (6, 7), 2.5, turn=-side * 25)  # hip bone
    depth = MU_SOFT * np.clip(soft, 0, None) + (MU_BONE - MU_SOFT) * bone
    depth += rng.normal(0, 0.04, depth.shape)
    pixels = np.clip(depth / np.quantile(depth, 0.998), 0, 1).astype(np.float32)
    top = int(size * rng.uniform(0.05, 0.2))
    if seed % 2:
        pixels[[top + size // 8, -size // 5]] = 1  # the range to be scanned
    return np.ascontiguousarray(pixels[top:])


def draw_newborn(seed=0, size=512):
    """Draw a newborn from head to thighs, as its chest and belly are often taken at one go.

    Returns pixels (size, size) float32 in [0, 1], bone white.
    """
    rng = np.random.default_rng(seed)
    body = Body(rng)
    body.elbow, body.breast, body.heart = AWAY, 0.0, rng.uniform(1.0, 1.2)
    film = Film(size, rng.uniform(-6, 6), rng.uniform(0.46, 0.6))
    air, _ = lungs(film, body)
    vessels = np.minimum(branches(film, body, rng, radius=0.68, forks=4), air)
    head = (0, -15), (10, 13)
    soft = upright_trunk(film, body) * step(47 - film.y, 3) + film.ellipsoid(*head, 18)
    soft = soft - (1 - LUNG_DENSITY) * (air - vessels) - airways_and_stomach(film, body, rng)
    bone = ribs(film, body) + spine(film, body) * step(46 - film.y, 2) + shoulder_girdle(film, body)
    bone = bone + film.ellipsoid(*head, 1.6) + film.ellipsoid((0, -8), (6, 4), 1.2)
    for side in (-1, 1):
        soft = soft + film.ellipsoid((side * 21, 14), (4, 15), 7, turn=-side * rng.uniform(20, 60))
        soft = soft + film.ellipsoid((side * 10, 56), (5.5, 16), 10, turn=-side * rng.uniform(10, 35))
        bone = (
            bone
            + film.ellipsoid((side * 8, 44), (5, 5), 1.5)
            + film.ellipsoid((side * 12, 58), (1.2, 10), 1.5, -side * 15)
        )
        for _ in range(3):  # the gut's air
            where = side * rng.uniform(1, 8), rng.uniform(34, 44)
            soft = soft - film.ellipsoid(where, rng.uniform(1.5, 3.5, 2), 3)
    return expose(film, body, np.clip(soft, 0, None), bone, rng)


def draw_shoulder(seed=0, size=512):
    """Draw what a film of a shoulder shows: the joint, and the upper part of one lung.

    Returns pixels (size, size) float32 in [0, 1], bone white.
    """
    rng = np.random.default_rng(seed)
    left = int(rng.integers(2)) * size
    pixels, _ = draw_phantom(seed, 2 * size)
    top = int(rng.uniform(0, 0.25) * size)
    return np.ascontiguousarray(pixels[top : top + size, left : left + size])


class NarrowFilm(Film):
    """A film on which all is `narrow` times as wide: a chest deep instead of broad."""

    def __init__(self, size, tilt, stature, narrow):
        super().__init__(size, tilt, stature)
        self.narrow, self.x = narrow, self.x / narrow

    def project(self, x, y, volume):
        return super().project(self.narrow * x, y, self.narrow * volume)


def draw_animal(seed=0, size=512):
    """Draw the chest of a dog or cat that lies on its back: deep, narrow and long, heart in the middle, forelegs
    forward, no collar bones.

    Returns pixels (size, size) float32 in [0, 1], bone white.
    """
    rng = np.random.default_rng(seed)
    body = Body(rng)
    body.elbow, body.breast, body.rib_fall, body.heart = AWAY, 0.0, 0.82, 0.75
    body.right_dome += 6
    body.left_dome = body.right_dome + 0.2
    film = NarrowFilm(size, rng.uniform(-4, 4), rng.uniform(0.85, 1.0), rng.uniform(0.55, 0.75))
    air, _ = lungs(film, body)
    air = np.clip(air - film.ellipsoid((0.8, body.right_dome - 8), (7, 9), 14, turn=-12), 0, None)  # the heart
    vessels = np.minimum(branches(film, body, rng, radius=0.7, forks=4), air)
    chest = film.ellipsoid((0, 26), (17, 34), 20)  # barrel of chest and belly
    neck = film.ellipsoid((0, -6), (6, 18), 11)
    legs = [film.ellipsoid((side * 14, body.apex - 4), (4.5, 14), 7, turn=side * 20) for side in (-1, 1)]
    soft = (chest**4 + neck**4 + sum(leg**4 for leg in legs)) ** 0.25
    bone = ribs(film, body) + 1.3 * spine(film, body)
    for side in (-1, 1):
        knots = np.array([(side * 9, body.apex + 4, 0), (side * 12, body.apex - 2, 2), (side * 17, -10, 3)], float)
        bone = bone + film.bone(knots, np.array([1.6, 1.1, 1.0]), 0.9)
    soft = soft - (1 - LUNG_DENSITY) * (air - vessels)
    return expose(film, body, soft, bone, rng)


def draw_animal_from_the_side(seed=0, size=512):
    """The same lying on its side, as it is mostly seen: spine above, head to the left or right.

    Returns pixels (size, size) float32 in [0, 1], bone white.
    """
    pixels, _ = draw_lateral(seed, size)
    return np.ascontiguousarray(np.rot90(pixels, -1 if seed % 2 else 1))  # the back, on either side, comes to lie above
