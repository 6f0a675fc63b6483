"""Made nodules: shadows of round bodies drawn into healthy lungs, and look-alikes that are none.

A body takes the place of lung and weakens the rays that pass it, so its projected thickness is added to a picture that
is about logarithmic: ribs and vessels stay seen through it. How light it is, is chosen by how much the lungs around
it vary, for that, not the body, decides whether it is seen.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from lungfusion.models.local_contrast import surroundings
from lungfusion.models.nodule_detector import AROUND, FINE

PATCH = 64  # pixels in which a body is drawn
ACROSS = 40  # pixels of its diameter there; spicules reach beyond
KINDS = ("solid", "lobulated", "spiculated", "part_solid", "ground_glass", "cavitated", "calcified")
SHARES = (0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.08)
SIZES = 5.0, 50.0  # mm, diameter
CONTRASTS = 0.45, 3.0  # of the standard deviation of the lungs around it
SMALL = 12  # mm, below which a body is drawn from its coarse patch


@dataclass
class Bank:
    """Patches to draw from: (N, 2, 64, 64) uint8, sharp and smoothed for small ones, brightest at 255."""

    bodies: torch.Tensor
    look_alikes: torch.Tensor  # as bodies
    look_alike_sizes: torch.Tensor  # (M, 2) float: least and largest diameter, mm
    look_alike_contrasts: torch.Tensor  # (M, 2) float


def make_bank(seed, bodies=3000, look_alikes=1200):
    rng = np.random.default_rng(seed)
    drawn = [body(rng, rng.choice(KINDS, p=SHARES)) for _ in range(bodies)]
    others, sizes, contrasts = [], [], []
    for _ in range(look_alikes):
        draw, size, contrast = LOOK_ALIKES[rng.choice(len(LOOK_ALIKES), p=LOOK_ALIKE_SHARES)]
        others.append(draw(rng))
        sizes.append(size)
        contrasts.append(contrast)
    return Bank(packed(drawn), packed(others), torch.tensor(sizes), torch.tensor(contrasts))


def packed(patches):
    both = np.stack([np.stack([patch, gaussian_filter(patch, 3)]) for patch in patches])
    return torch.from_numpy((both.clip(0, 1) * 255).astype(np.uint8))


def polar(x=0.0, y=0.0):
    """Distance in radii from a place, and direction: (64, 64) each."""
    place = (np.arange(PATCH) + 0.5 - PATCH / 2) / (ACROSS / 2)
    dx, dy = place[None] - x, place[:, None] - y
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def ball(rng, x=0.0, y=0.0, radius=1.0, rough=0.12, power=None):
    """Thickness of an uneven ellipsoid, 1 in its middle: (64, 64)."""
    away, turn = polar(x, y)
    phase, size = rng.uniform(0, 2 * math.pi, 7), rng.normal(0, rough, 7) / np.arange(1, 8)
    outline = 1 + sum(a * np.cos(k * turn + p) for k, (a, p) in enumerate(zip(size, phase, strict=True), 1))
    flat, angle = rng.uniform(0, 0.3), rng.uniform(0, math.pi)
    outline = outline * radius * (1 - flat * np.cos(turn - angle) ** 2)
    inside = (1 - (away / np.maximum(outline, 0.2 * radius)) ** 2).clip(0)
    return inside ** (power or rng.uniform(0.4, 1.1))


def body(rng, kind):
    if kind == "lobulated":
        lobes = [ball(rng, power=0.6)]
        for _ in range(rng.integers(2, 5)):
            turn, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 0.7)
            lobes.append(ball(rng, reach * math.cos(turn), reach * math.sin(turn), rng.uniform(0.4, 0.7), power=0.6))
        shape = np.maximum.reduce(lobes) + 0.3 * sum(lobes)
    elif kind == "spiculated":
        shape = ball(rng, radius=0.8) + spicules(rng)
    elif kind == "part_solid":
        turn, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.4)
        core = ball(rng, reach * math.cos(turn), reach * math.sin(turn), rng.uniform(0.3, 0.6))
        shape = rng.uniform(0.3, 0.8) * ball(rng, power=rng.uniform(0.8, 1.6)) + core
    elif kind == "ground_glass":
        shape = ball(rng, power=rng.uniform(1, 2.2), rough=0.2)
    elif kind == "cavitated":
        turn, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.25)
        hole = ball(rng, reach * math.cos(turn), reach * math.sin(turn), rng.uniform(0.4, 0.7), power=0.5)
        shape = (ball(rng, power=0.5) - rng.uniform(0.5, 0.9) * hole).clip(0)
    elif kind == "calcified":
        turn, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.5)
        chalk = ball(rng, reach * math.cos(turn), reach * math.sin(turn), rng.uniform(0.2, 0.9), power=0.4)
        shape = ball(rng) + rng.uniform(0.5, 2) * chalk
    else:
        shape = ball(rng)
    grain = gaussian_filter(rng.normal(size=(PATCH, PATCH)), rng.uniform(2, 5))
    shape = shape * (1 + rng.uniform(0, 0.25) * grain / grain.std())
    return normal(gaussian_filter(shape, rng.uniform(0.5, 2)))


def spicules(rng):
    away, turn = polar()
    rays = np.zeros_like(away)
    for _ in range(rng.integers(6, 16)):
        angle, length, width = rng.uniform(0, 2 * math.pi), rng.uniform(1.0, 1.5), rng.uniform(0.03, 0.09)
        aside = away * np.abs(np.sin(turn - angle))
        ahead = np.cos(turn - angle) > 0
        rays += ahead * np.exp(-((aside / width) ** 2)) * (1 - away / length).clip(0)
    return rng.uniform(0.3, 0.8) * rays


def normal(shape):
    return shape / max(shape.max(), 1e-6)


def vessel_end(rng):
    """A vessel that runs towards the film, with branches that run along it."""
    shape = ball(rng, radius=rng.uniform(0.7, 1), rough=0.04, power=0.4) + 0.0
    away, turn = polar()
    for _ in range(rng.integers(1, 4)):
        angle, width = rng.uniform(0, 2 * math.pi), rng.uniform(0.25, 0.5)
        aside, ahead = away * np.sin(turn - angle), np.cos(turn - angle) > 0
        branch = (1 - (aside / width) ** 2).clip(0) ** 0.5 * ahead * (1 - away / rng.uniform(1.6, 3)).clip(0)
        shape = np.maximum(shape, rng.uniform(0.4, 0.9) * branch)
    return normal(gaussian_filter(shape, 1))


def line(rng):
    """A vessel, a septum or a tube along the film; two of them may cross."""
    shape = np.zeros((PATCH, PATCH))
    for _ in range(rng.integers(1, 3)):
        away, turn = polar(0, rng.uniform(-0.3, 0.3))
        angle, width, bend = rng.uniform(0, math.pi), rng.uniform(0.05, 0.25), rng.uniform(-0.25, 0.25)
        along = away * np.cos(turn - angle)
        aside = away * np.sin(turn - angle) - bend * along**2
        shape += (1 - (aside / width) ** 2).clip(0) ** rng.uniform(0.3, 0.8)
    return normal(gaussian_filter(shape, 0.7))


def pad(rng):
    """An electrode: a flat disc of sharp rim, a snap in its middle, a wire."""
    away, turn = polar()
    shape = 0.5 * (away < 1) + (away < rng.uniform(0.2, 0.5)) * rng.uniform(0, 1)
    if rng.random() < 0.4:
        shape = shape * (away > rng.uniform(0.5, 0.85))
    if rng.random() < 0.6:
        angle = rng.uniform(0, 2 * math.pi)
        shape += (np.abs(away * np.sin(turn - angle)) < 0.08) * (np.cos(turn - angle) > 0)
    return normal(gaussian_filter(shape, 0.5))


def letter(rng):
    picture = Image.new("L", (PATCH, PATCH))
    text = "".join(rng.choice(list("LRAPXT0123456789"), rng.integers(1, 4)))
    font = ImageFont.load_default(int(rng.integers(20, 44)))
    ImageDraw.Draw(picture).text((PATCH / 2, PATCH / 2), text, 255, font, anchor="mm")
    return np.asarray(picture) / 255.0


LOOK_ALIKES = [  # how it is drawn; diameters, mm; contrasts
    (vessel_end, (3.0, 7.0), (0.8, 3.5)),
    (line, (15.0, 60.0), (0.4, 3.0)),
    (pad, (8.0, 40.0), (1.0, 6.0)),
    (letter, (10.0, 50.0), (2.0, 8.0)),
]
LOOK_ALIKE_SHARES = (0.45, 0.35, 0.12, 0.08)


def draw_bodies(pictures, places, bank, generator, share=0.6, most=2):
    """Draw bodies into pictures.

    Args:
        pictures: (B, 1, h, w) float in [0, 1].
        places: (B, 1, h / 4, w / 4) float, how likely a body's centre is anywhere; all 0: none is drawn.
        bank: `Bank`.
        share: of the pictures, in which one or more are drawn.

    Returns:
        pictures (B, 1, h, w) in [0, 1]; centres (B, most, 2): x, y in pixels; diameters (B, most) in pixels, 0 where
        there is none; contrasts (B, most), of the standard deviation around.
    """
    shape = (len(pictures), most)

    def between(low, high):
        return low + (high - low) * torch.rand(shape, generator=generator)

    diameters = torch.exp(between(math.log(SIZES[0]), math.log(SIZES[1])))
    contrasts = torch.exp(between(math.log(CONTRASTS[0]), math.log(CONTRASTS[1])))
    contrasts = contrasts * (diameters / 14).clamp(0.5, 1.6) ** 0.4
    chosen = torch.rand(len(pictures), 1, generator=generator) < share
    second = torch.arange(most) < torch.randint(1, most + 1, (len(pictures), 1), generator=generator)
    allowed = places.flatten(1).amax(1, keepdim=True) > 0
    diameters = diameters * (chosen & second & allowed)
    centres = random_centres(places, most, generator)
    which = torch.randint(len(bank.bodies), shape, generator=generator)
    added = rendered(pictures, bank.bodies, which, centres, diameters, contrasts, generator)
    return (pictures + added).clamp(0, 1), centres, diameters, contrasts


def draw_look_alikes(pictures, bank, generator, share=0.35, most=2):
    """As `draw_bodies`, anywhere: what is no nodule. Returns the pictures alone."""
    shape = (len(pictures), most)
    which = torch.randint(len(bank.look_alikes), shape, generator=generator)
    part = torch.rand(*shape, 2, generator=generator)
    low, high = bank.look_alike_sizes[which].log().unbind(-1)
    diameters = torch.exp(low + (high - low) * part[..., 0])
    low, high = bank.look_alike_contrasts[which].log().unbind(-1)
    contrasts = torch.exp(low + (high - low) * part[..., 1])
    diameters = diameters * (torch.rand(shape, generator=generator) < share)
    centres = random_centres(torch.ones_like(F.avg_pool2d(pictures, 4)), most, generator)
    added = rendered(pictures, bank.look_alikes, which, centres, diameters, contrasts, generator)
    return (pictures + added).clamp(0, 1)


def random_centres(places, count, generator):
    cells = torch.multinomial(places.flatten(1) + 1e-6, count, generator=generator)
    width = places.shape[-1]
    jitter = torch.rand(*cells.shape, 2, generator=generator)
    return 4 * (torch.stack([cells % width, cells // width], dim=-1) + jitter)


def rendered(pictures, patches, which, centres, diameters, contrasts, generator):
    """What the bodies add to the pictures: (B, 1, h, w)."""
    height, width = pictures.shape[-2:]
    fine = pictures - surroundings(pictures, FINE, 4)
    spread = surroundings(fine.square(), AROUND, 4).clamp(min=0).sqrt().clamp(min=0.012)
    added = torch.zeros_like(pictures)
    row, body_of = torch.nonzero(diameters > 0, as_tuple=True)
    if not len(row):
        return added
    at, diameter = centres[row, body_of], diameters[row, body_of]
    patch = patches[which[row, body_of]].float() / 255  # (n, 2, 64, 64)
    patch = torch.where((diameter < SMALL)[:, None, None, None], patch[:, 1:], patch[:, :1])
    angle = 2 * math.pi * torch.rand(len(row), generator=generator)
    scale = ACROSS / diameter * 2 / PATCH  # of the patch's −1 … 1 to a pixel of the picture
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    x, y = (at - torch.tensor([width / 2, height / 2])).unbind(1)
    theta = torch.stack([cos, -sin, sin * y - cos * x, sin, cos, -sin * x - cos * y], dim=1).view(-1, 2, 3)
    theta = theta * torch.tensor([width / 2, height / 2, 1.0])
    grid = F.affine_grid(theta, [len(row), 1, height, width], align_corners=False)
    shape = F.grid_sample(patch, grid, align_corners=False)
    cell = at.long()
    here = spread[row, 0, cell[:, 1].clamp(0, height - 1), cell[:, 0].clamp(0, width - 1)]
    light = (contrasts[row, body_of] * here)[:, None, None, None]
    return added.index_add(0, row, shape * light)
