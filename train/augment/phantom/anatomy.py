"""What a phantom's body is made of: thickness maps of soft tissue, air and bone, float (size, size), in cm.

A side is -1 for the image's left and +1 for its right.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from train.augment.phantom.film import bump, step


class Body:
    """What differs from person to person and from exposure to exposure."""

    def __init__(self, rng):
        self.lung_half_width = rng.uniform(12.0, 14.4)
        self.apex = rng.uniform(5.6, 7.0)  # y of the lungs' tips
        self.right_dome = rng.uniform(26.5, 31.5)  # y of the diaphragm's right dome
        self.left_dome = self.right_dome + rng.uniform(0.6, 1.8)
        self.heart = rng.uniform(0.86, 1.06)  # heart's size: 1 makes it half as wide as the chest
        self.rib_fall = rng.uniform(0.85, 1.15)  # ribs' slope: 1 lets the eighth fall 11.5 cm from back to front
        self.wall = rng.uniform(2.0, 3.6)  # muscle and fat outside the ribs
        self.breast = rng.uniform(0.0, 1.5)
        self.elbow = rng.uniform(21.0, 29.0)  # x at which the arms leave the film
        self.stature = rng.uniform(0.98, 1.16)  # size on the film
        self.latitude = rng.uniform(1.2, 1.5)  # of the film: the larger, the darker what lies behind much tissue
        self.contrast = rng.uniform(1.6, 2.4)  # of the film: the larger, the darker what lies behind little tissue

    def cavity(self, y):
        """Inner half-width of the rib cage at height y."""
        return self.lung_half_width * np.sqrt(1 - (1 - np.clip((y - self.apex) / (34 - self.apex), 0, 1)) ** 3.3)

    def diaphragm(self, x):
        """Height y of the diaphragm's crest at x: a dome on each side that falls steeply to the costophrenic angle."""
        t = (np.abs(x) - 6.0) / (self.lung_half_width - 6.0)
        crest = self.right_dome + (self.left_dome - self.right_dome) * step(x, 2)
        return crest + np.where(t < 0, 1.2 * t**2, 1.6 * t**2 + 2.6 * t**4)


def trunk(film, body):
    """Soft tissue of chest, neck, shoulders, arms and breasts, as if there were no air in it."""
    x, y = np.abs(film.x), film.y
    width = PchipInterpolator([-20, 6, 12, 17, 24, 34, 60], [3.0, 3.4, 10, 12.6, 13.3, 13.0, 13.6])(y) + body.wall
    depth = PchipInterpolator([-20, 0, 6, 14, 24, 60], [9.2, 9.6, 11.2, 15.6, 18.0, 18.4])(y) + body.wall / 1.5
    chest = depth * np.sqrt(np.clip(1 - (x / width) ** 3, 0, None))
    skyline = PchipInterpolator([0, 5.2, 5.9, 7.2, 10, 14, 18, 22, 40], [-30, -4, 0.5, 2.6, 4, 5, 6.2, 9, 30])(x)
    shoulders = (12.4 - x / 6) * np.sqrt(1 - (1 - np.clip((y - skyline) / 5.2, 0, 1)) ** 2)
    shoulders *= step(17.5 - y + 0.45 * (x - 15), 1.2)  # down to the fold of the armpit
    lean = np.rad2deg(np.arctan((body.elbow - 18.6) / 30))
    arms = sum(film.ellipsoid((side * body.elbow, 40), (6.0, 35), 10.5, turn=-side * lean) for side in (-1, 1))
    breasts = [film.ellipsoid((side * 8.2, 23.2), (6, 4.6 + body.breast / 3), 2 * body.breast) for side in (-1, 1)]
    return (chest**4 + shoulders**4 + arms**4) ** 0.25 + sum(breasts) * step(y - 22, 3)


def mediastinum(film, body):
    """Thickness of the heart and of all else between the lungs."""
    base, k = body.right_dome - 3.4, body.heart
    parts = [
        film.ellipsoid((2.6 * k, base), (7.0 * k, 4.7 * k), 9.6, turn=38),  # left ventricle
        film.ellipsoid((-0.9 * k, base - 0.4), (3.1 * k, 5.2 * k), 8.4, turn=-8),  # right atrium
        film.ellipsoid((1.4 * k, base + 4.2), (4.6 * k, 3.6), 7.0),  # where the heart rests on the diaphragm
        film.ellipsoid((1.6, base - 6.2), (2.5 * k, 3.6), 6.4, turn=-12),  # pulmonary trunk and left auricle
        film.ellipsoid((1.3, body.apex + 8.3), (2.1, 2.3), 5.2),  # aortic knob
        film.ellipsoid((1.2, body.apex + 18), (1.9, 11), 3.0, turn=2),  # descending aorta
        film.ellipsoid((-1.2, body.apex + 8), (1.5, 9), 2.6),  # superior vena cava
    ]
    half_width = 1.9 + 1.1 * np.exp(-np.clip(film.y - body.apex, 0, None) / 1.5) + 0.5 * step(film.y - base + 4, 3)
    column = 8 * step(half_width - np.abs(film.x), 0.3)
    return gaussian_filter(np.sum(np.power([*parts, column], 4), axis=0) ** 0.25, 0.1 / film.pitch)


def lungs(film, body):
    """Thickness of aerated lung, and the lungs' mask, bool: where nothing solid stands before them."""
    width = np.maximum(body.cavity(film.y), 1e-3)
    cavity = 1.24 * width * np.sqrt(np.clip(1 - (film.x / width) ** 2, 0, None))
    below = film.y - body.diaphragm(film.x)
    cavity -= 2 * np.sqrt(np.clip(below, 0, None) / 0.035)  # below a dome's crest, air is still behind it
    solid = mediastinum(film, body)
    return np.clip(cavity - 1.35 * solid, 0, None), (cavity > 0) & (below < 0) & (solid < 0.5)


def branches(film, body, rng, radius, forks):
    """Thickness of the trees that grow from both hila, of vessels or of bronchi."""
    side = np.repeat([-1, 1], 10)
    x, y = 2.5 * side, body.apex + 11.6 - 0.4 * side + rng.uniform(-1.4, 1.4, 20)
    heading = np.deg2rad(np.tile(np.linspace(-78, 84, 10), 2) + rng.uniform(-10, 10, 20))  # 0: sideways, 90: down
    radius = radius * rng.uniform(0.55, 1.0, 20) * (1 + 0.3 * np.sin(heading))
    trail = []
    for move in range(50 * (forks + 1)):  # small steps; after 50 of them each branch forks
        if move % 50 == 0 and move > 0:
            fork = np.deg2rad(rng.uniform(15, 45, len(x))) * rng.choice([-1, 1], len(x))
            thin = rng.uniform(0.6, 0.8, len(x))
            side, x, y = np.tile(side, 2), np.tile(x, 2), np.tile(y, 2)
            heading = np.concatenate([heading + fork, heading - 0.5 * fork])
            radius = np.concatenate([radius * thin, radius * (1.1 - thin / 4)])
        if move % 50 == 0:
            bend, pace = rng.uniform(-0.011, 0.011, len(x)), rng.uniform(0.05, 0.08, len(x)) * 0.9985**move
        heading, radius = heading + bend, radius * 0.9965
        dx, dy = side * np.cos(heading) * pace, np.sin(heading) * pace
        x, y = x + dx, y + dy
        trail.append((x, y, dx, dy, radius, np.hypot(dx, dy)))
    x, y, dx, dy, radius, length = np.concatenate(trail, axis=1)[..., None]  # (moves of all branches, 1)
    across = int(2 * radius.max() / film.pitch) + 3
    offset = (np.arange(across) + 0.5) / across * 2 - 1  # (across,), from one edge of the branch to the other
    ahead, aside = np.arange(across) * 0.618 % 1, offset * radius / length
    volume = 4 * radius**2 * np.sqrt(1 - offset**2) / across * length
    return gaussian_filter(film.project(x + ahead * dx - aside * dy, y + ahead * dy + aside * dx, volume), 0.4)


def airways_and_stomach(film, body, rng):
    """Air in the trachea, both main bronchi and the stomach, where fluid stands level below it."""
    carina = body.apex + 9.2
    trachea = film.ellipsoid((0.2, carina - 20), (0.95, 20.6), 1.9)
    bronchi = sum(film.ellipsoid((side * 1.3, carina + 0.9), (0.55, 1.7), 1.2, turn=-side * 50) for side in (-1, 1))
    top = body.left_dome + 1.3
    bubble = film.ellipsoid((5.8, top + 1.6), (rng.uniform(2, 4), 1.7), 4.4) * (1 + 0.1 * film.noise(rng, (16, 32)))
    return np.maximum(trachea, bronchi) + bubble * step(top + 2.1 - film.y, 0.12)


def ribs(film, body):
    """Twelve pairs of ribs: tilted ellipses around the cavity, of which the back lies flat and the front falls."""
    total = 0
    for number in range(1, 13):
        head = body.apex - 3.0 + 2.08 * number + 0.035 * number**2  # y at the spine
        fall = body.rib_fall * np.interp(number, [1, 2, 4, 8, 10, 12], [3.6, 5.6, 8.4, 11.5, 11.0, 8.0])
        end = np.pi * np.interp(number, [1, 7, 9, 10, 11, 12], [0.74, 0.72, 0.68, 0.62, 0.5, 0.36])  # at the cartilage
        a = body.cavity(head + fall / 2) + 0.35
        b = 0.62 * a
        phi = np.linspace(np.arcsin(1.8 / a), end, 14)  # 0 at the back, pi at the front
        y = head + fall * (1 - np.cos(phi)) / 2 - 0.08 * a * np.sin(2 * phi) * (phi < np.pi / 2)
        half_height = np.interp(phi, [0, 1, end], [0.48, 0.6, 0.72]) * min(1, 0.7 + 0.08 * number)
        for side in (-1, 1):
            outward = np.stack([side * b * np.sin(phi), 0 * phi, -a * np.cos(phi)], axis=1)
            outward /= np.linalg.norm(outward, axis=1, keepdims=True)
            knots = np.stack([side * a * np.sin(phi), y, -b * np.cos(phi)], axis=1)
            total += film.bone(knots, half_height, 0.38, outward)
    return gaussian_filter(total, 0.5)


def spine(film, body):
    """Vertebrae from neck to loins: bodies with dense plates and sides, pedicles, spinous and transverse processes."""
    edges = body.apex - 1.6 + np.cumsum(np.r_[-8.4, np.linspace(1.55, 1.75, 5), np.linspace(1.85, 3.3, 20)])
    u = np.interp(film.y, edges, np.arange(len(edges))) % 1 - 0.5  # -0.5 and 0.5: the discs above and below
    x = np.abs(film.x) / np.interp(film.y, [0, body.apex, 20, 40], [1.25, 1.45, 1.6, 2.3])
    waist = 1 - 0.12 * np.cos(2 * np.pi * u)
    wide, high = step(waist - x, 0.06), step(0.44 - np.abs(u), 0.05)
    pedicles = bump(np.hypot((x - 0.62) / 0.2, (u + 0.12) / 0.22) - 0.85, 0.3)
    processes = 0.45 * bump(x, 0.13) * bump(u - 0.25, 0.2)
    processes += 0.3 * bump(u + 0.15 - 0.08 * x, 0.16) * step(1.75 - x, 0.15) * step(x - 0.9, 0.1)
    plates = 0.3 * bump(np.abs(u) - 0.42, 0.05) * wide + 0.2 * bump(x - waist + 0.06, 0.06) * high
    return 0.45 * wide * high + plates + 0.35 * pedicles + processes


def shoulder_girdle(film, body):
    """Clavicles, shoulder blades and upper arms, each bone given by x, y, half-height and half-depth at its knots."""
    clavicle = [(1.9, 10.4, 0.9, 0.4), (4.5, 9.9, 0.7, 0.6), (8.5, 8.3, 0.5, 0.5), (12, 7, 0.6, 0.5), (17, 7, 0.4, 0.2)]
    acromion = [(12.6, 9.6, 0.1, 0.4), (15.0, 8.8, 0.5, 0.4), (17.6, 7.6, 0.8, 0.4), (18.9, 8.2, 0.1, 0.4)]
    border = [(15.9, 10.2, 0.9, 0.5), (15.6, 12.5, 0.5, 0.5), (14.9, 16.5, 0.35, 0.5), (13.9, 21.5, 0.2, 0.5)]
    blade = [(14.2, 9.2, 1.2, 0.16), (14.0, 13.0, 1.5, 0.16), (13.7, 17.5, 1.0, 0.16), (13.7, 21.5, 0.2, 0.16)]
    humerus = [(17.9, 8, 0.3, 0.3), (18.1, 8.8, 1.6, 1), (18.7, 10.6, 2, 1.2), (19.8, 13.5, 1.3, 0.8)]
    humerus.append((body.elbow, 48, 1.1, 0.8))
    total = 0
    for x, y, half_height, half_depth in (np.transpose(b) for b in (clavicle, acromion, border, blade, humerus)):
        for side in (-1, 1):
            knots = np.stack([side * x, y + body.apex - 6.3, 0 * x], axis=1)
            total += film.bone(knots, half_height, half_depth)
    return gaussian_filter(total, 0.5)
