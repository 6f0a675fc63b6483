"""The film on which a phantom is drawn: where its pixels lie in the body, and shapes projected onto it.

Lengths are in cm: x runs from the midline to the image's right, which is the patient's left, y from the film's upper
edge down, z from back to front.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, map_coordinates

FIELD = 40.0  # cm, the side of the film: a 35 x 43 cm cassette made square
SPONGY = 0.15  # of compact bone: what marrow and trabeculae add to the soft tissue whose place they take; set by eye


class Film:
    """The film plane: x and y (size, size) of the pixels' centres in the body's coordinates, and shapes drawn on it."""

    def __init__(self, size, tilt, stature):
        self.size, self.pitch = size, FIELD / stature / size  # pixels, cm
        self.cos, self.sin = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
        centres = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) * self.pitch
        self.x = self.cos * centres + self.sin * centres[:, None]
        self.y = self.cos * centres[:, None] - self.sin * centres + FIELD / 2

    def project(self, x, y, volume):
        """Thickness map of a cloud of points: x, y and volume (cm3) are arrays of one shape."""
        y = y - FIELD / 2
        if self.sin:
            x, y = self.cos * x - self.sin * y, self.sin * x + self.cos * y
        column, row = (places / self.pitch + self.size / 2 - 0.5 for places in (x, y))
        inside = (column >= 0) & (column < self.size - 1) & (row >= 0) & (row < self.size - 1)
        column, row, volume = column[inside], row[inside], volume[inside]
        left, above = column.astype(np.intp), row.astype(np.intp)
        right, down = column - left, row - above  # each point is shared out between the four pixels around it
        first, near, far = above * self.size + left, volume * (1 - right), volume * right
        total = np.bincount(first, near * (1 - down), self.size**2)
        total += np.bincount(first + 1, far * (1 - down), self.size**2)
        total += np.bincount(first + self.size, near * down, self.size**2)
        total += np.bincount(first + self.size + 1, far * down, self.size**2)
        return total.reshape(self.size, self.size) / self.pitch**2

    def ellipsoid(self, centre, half_axes, depth, turn=0.0):
        """Thickness of an ellipsoid, depth at its centre; its half-axes in the film turn clockwise, in degrees."""
        c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        x, y = self.x - centre[0], self.y - centre[1]
        square = ((c * x + s * y) / half_axes[0]) ** 2 + ((c * y - s * x) / half_axes[1]) ** 2
        return depth * np.sqrt(np.clip(1 - square, 0, None))

    def bone(self, knots, half_height, half_depth, outward=(0, 0, 1)):
        """Bone thickness of a curved tube: a shell of compact bone around spongy bone.

        knots (n, 3) lie on its axis. The section there is an oval of half_depth along outward, (3,) or (n, 3), and
        half_height across it; both are numbers or (n,).
        """
        table = [np.reshape(v, (-1, w)) for v, w in ((knots, 3), (outward, 3), (half_height, 1), (half_depth, 1))]
        table = np.hstack([np.broadcast_to(v, (len(knots), v.shape[1])) for v in table])
        n = int(np.linalg.norm(np.diff(table[:, :3], axis=0), axis=1).sum() / self.pitch) + 2
        table = PchipInterpolator(np.arange(len(knots)), table)(np.linspace(0, len(knots) - 1, n))
        axis, outward, half_height, half_depth = np.split(table, [3, 6, 7], axis=1)
        along = np.gradient(axis, axis=0)
        length = np.linalg.norm(along, axis=1, keepdims=True)
        upward = np.cross(along / length, outward)
        rings, spokes = 5, int(5 * half_height.max() / self.pitch) + 8
        radius = np.sqrt((np.arange(rings) + 0.5) / rings).repeat(spokes)  # (points,) of the section, 1 at its rim
        angle = np.tile(2 * np.pi * np.arange(spokes) / spokes, rings) + 7 * radius
        share = np.where(radius > 0.8, 1, SPONGY) * np.pi / len(radius)
        stagger = np.arange(len(radius)) * 0.618 % 1  # along the axis: rows of points would beat with the pixels
        up, out = radius * np.cos(angle) * half_height, radius * np.sin(angle) * half_depth  # (n, points)
        x, y = (axis[:, i] + stagger * along[:, i] + up * upward[:, i] + out * outward[:, i] for i in ([0], [1]))
        return self.project(x, y, share * length * half_height * half_depth)

    def noise(self, rng, cells):
        """Smooth noise of unit variance, fixed to the body: one layer for each number of cells along the film."""
        layers = []
        for n in cells:
            grid = gaussian_filter(rng.standard_normal((2 * n, 2 * n)), 0.7, mode="wrap")
            where = [(self.y / FIELD + 0.5) * n, (self.x / FIELD + 1) * n]
            layers.append(map_coordinates(grid / grid.std(), where, order=1, mode="grid-wrap"))
        return sum(layers) / np.sqrt(len(cells))


def step(distance, softness):
    """1 where distance is well above 0, 0 where it is well below, smooth over about that softness."""
    return 0.5 + 0.5 * np.tanh(distance / softness)


def bump(distance, width):
    return np.exp(-((distance / width) ** 2))
