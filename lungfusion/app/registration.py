"""A second radiograph laid over a first by the outlines of the lungs, and both on one grey scale.

Places and matrices are those of `checks.geometry`: (x, y) from −1 to 1 over a picture's width and height.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from ..checks.geometry import resample
from ..models.mask_postprocessing import box_of, split_lungs

CELLS = 96  # rows and columns in which outlines are laid over each other
STEPS = 40  # of L-BFGS
STIFFNESS = 0.2  # how dear it is, in Dice, to stretch one side by e more than the other, or to shear by 45°
MIN_DICE = 0.75  # between outlines laid over each other: below, they are not of one chest, or one is wrong
MAX_SCALE = 2.0  # of the second to the first
QUANTILES = (0.05, 0.95)  # of the greys around the lungs, by which the second is matched


@dataclass(frozen=True)
class Registration:
    """How the second lies to the first.

    matrix: (3, 3) float, takes places in the first picture to places in the second: an affine map.
    dice: of the two outlines, laid over each other, in [0, 1].
    """

    matrix: np.ndarray
    dice: float

    @property
    def holds(self):
        """Whether the outlines agree well enough for pictures to be compared place by place."""
        return self.dice >= MIN_DICE


def register(first, second):
    """Lay the second's lungs over the first's: by their moments, then refined for the largest overlap.

    Args:
        first, second: `Analysis`.

    Returns:
        `Registration`; None where one has no lungs.
    """
    if not (first.alpha > 0.5).any() or not (second.alpha > 0.5).any():
        return None
    shapes = [np.array(one.alpha.shape[::-1]) / max(one.alpha.shape) for one in (first, second)]  # width, height
    frames = [frame(one.alpha, shape) for one, shape in zip((first, second), shapes, strict=True)]
    start = moments_map(*frames)
    fixed, moving = (torch.from_numpy(small(one.alpha))[None, None] for one in (first, second))
    to_units = torch.tensor(np.diag([*shapes[0], 1]), dtype=torch.float32)  # the same unit along both sides
    from_units = torch.tensor(np.diag([*(1 / shapes[1]), 1]), dtype=torch.float32)
    start = torch.tensor(start, dtype=torch.float32)
    change = torch.zeros(6, requires_grad=True)

    def overlap():
        affine = from_units @ start @ around(change, frames[0]) @ to_units
        grid = F.affine_grid(affine[None, :2], fixed.shape, align_corners=False)
        moved = F.grid_sample(moving, grid, align_corners=False)
        return affine, 2 * (moved * fixed).sum() / (moved.square().sum() + fixed.square().sum())

    def step():
        optimizer.zero_grad()
        stretch, shear = change[0] - change[1], change[2] + change[3]
        loss = 1 - overlap()[1] + STIFFNESS * (stretch**2 + shear**2)
        loss.backward()
        return loss

    optimizer = torch.optim.LBFGS([change], max_iter=STEPS, line_search_fn="strong_wolfe")
    optimizer.step(step)
    with torch.no_grad():
        affine, dice = overlap()
    scale = math.sqrt(abs(float(torch.linalg.det((start @ around(change.detach(), frames[0]))[:2, :2]))))
    plausible = 1 / MAX_SCALE <= scale <= MAX_SCALE
    return Registration(affine.double().numpy(), float(dice) if plausible else 0.0)


def small(alpha):
    """(H, W) → (CELLS, CELLS) float32, blurred a little, so that outlines attract each other from afar."""
    x = torch.from_numpy(np.ascontiguousarray(alpha, np.float32))[None, None]
    return gaussian_filter(F.interpolate(x, (CELLS, CELLS), mode="area")[0, 0].numpy(), 2)


def frame(alpha, shape):
    """Middle (2,), spread and angle of the lungs, in units of the picture's longer half side."""
    mask = small(alpha) > 0.5
    mask = mask if mask.any() else small(alpha) >= small(alpha).max()
    right, left = split_lungs(mask)
    places = [centre_and_spread(part, shape) for part in (mask, right, left) if part.any()]
    (middle, spread), angle = places[0], 0.0
    if right.any() and left.any():
        across = places[2][0] - places[1][0]
        angle = math.atan2(across[1], across[0])
    return middle, spread, angle


def centre_and_spread(mask, shape):
    y, x = np.nonzero(mask)
    places = ((2 * np.stack([x, y], 1) + 1) / CELLS - 1) * shape
    return places.mean(0), math.sqrt(places.var(0).sum())


def moments_map(first, second):
    """The similarity (3, 3) that takes the first's middle, spread and angle to the second's."""
    scale, angle = second[1] / max(first[1], 1e-6), second[2] - first[2]
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, second[0] - turn @ first[0]
    return matrix


def around(change, frame):
    """Six numbers, 0 for nothing → an affine map (3, 3) about the middle of the lungs: two logarithms of scale, two of
    shear and turn, two of shift.
    """
    middle = torch.tensor(frame[0], dtype=torch.float32)
    linear = torch.stack([torch.stack([change[0].exp(), change[2]]), torch.stack([change[3], change[1].exp()])])
    shift = middle + change[4:] - linear @ middle
    bottom = torch.tensor([[0.0, 0.0, 1.0]])
    return torch.cat([torch.cat([linear, shift[:, None]], 1), bottom])


def laid_over(x, registration, shape):
    """A map (H, W) of the second picture as one of the first, of that shape: float32; 0 where nothing lies."""
    return resample(x, registration.matrix, shape)


def on_one_scale(first, second, lungs):
    """The second's greys as the first's: a straight line through two quantiles of the box around the lungs.

    Args:
        first, second: (H, W) float32 in [0, 1].
        lungs: (H, W) bool, not empty; around them both show the same.

    Returns:
        (H, W) float32 in [0, 1].
    """
    box = box_of(lungs)
    (low, high), (own_low, own_high) = (np.quantile(x[box], QUANTILES) for x in (first, second))
    if own_high - own_low < 1e-3:
        return second
    return ((second - own_low) * ((high - low) / (own_high - own_low)) + low).clip(0, 1).astype(np.float32)
