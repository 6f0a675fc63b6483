"""No frontal chest radiographs: photographs that scikit-image and scikit-learn ship, drawings made here, and the
phantom from the side, in pairs, beside a page of text, as a scout of CT, a whole newborn, a shoulder and an animal.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy.ndimage import gaussian_filter
from skimage import data
from sklearn.datasets import load_sample_images

from train.augment.phantom.others import (
    draw_animal,
    draw_animal_from_the_side,
    draw_newborn,
    draw_scout,
    draw_shoulder,
)
from train.augment.phantom.radiograph import draw_phantom
from train.augment.phantom.views import beside_caption, draw_lateral, pair

SIDE = 512
PHOTOGRAPHS = (  # those that come with scikit-image itself
    "astronaut",
    "brick",
    "camera",
    "cat",
    "cell",
    "coffee",
    "coins",
    "colorwheel",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
)
DRAWN = 8  # of each kind of drawing
PERSONS = 24  # drawn from each side, and in pairs


def ood_images():
    """kind → list of pictures: (H, W) or (H, W, 3) uint8 arrays."""
    photographs = [getattr(data, name)() for name in PHOTOGRAPHS] + list(load_sample_images().images)
    return {
        "photographs": photographs,
        "photographs without colour": [grey(Image.fromarray(p)) for p in photographs if p.ndim == 3],
        **{kind.__name__: [kind(np.random.default_rng(seed)) for seed in range(DRAWN)] for kind in DRAWINGS},
    }


def not_one_frontal_chest():
    """kind → list of pictures, (H, W) float32 in [0, 1], of the drawn persons."""
    frontal, lateral = ([draw(seed, SIDE)[0] for seed in range(PERSONS)] for draw in (draw_phantom, draw_lateral))
    others = frontal[1:] + frontal[:1]
    strange = {
        "scouts of CT": draw_scout,
        "whole newborns": draw_newborn,
        "shoulders": draw_shoulder,
        "animals on their backs": draw_animal,
        "animals from the side": draw_animal_from_the_side,
    }
    return {
        **{kind: [draw(seed, SIDE) for seed in range(PERSONS)] for kind, draw in strange.items()},
        "phantoms from the side": lateral,
        "two phantoms side by side": [pair(*two) for two in zip(frontal, others, strict=True)],
        "two phantoms, one above the other": [pair(*two, axis=0) for two in zip(frontal, others, strict=True)],
        "phantoms from both sides": [pair(*views) for views in zip(frontal, lateral, strict=True)],
        "phantoms beside a caption": [beside_caption(pixels, seed) for seed, pixels in enumerate(frontal)],
    }


def beside_its_mirror(pixels, generator):
    """(H, W) → a radiograph and its mirror image in one picture, beside each other or one above the other."""
    return pair(pixels, pixels[:, ::-1], axis=int(generator.integers(2)))


def grey(picture):
    """A PIL image → (H, W) uint8."""
    return np.asarray(picture.convert("L"))


def noise(generator):
    """White noise, blurred more or less."""
    values = gaussian_filter(generator.random((SIDE, SIDE)), generator.choice([0, 2, 8, 30]))
    return (255 * (values - values.min()) / np.ptp(values)).astype(np.uint8)


def gradient(generator):
    """From black to white, along any direction."""
    y, x = np.mgrid[:SIDE, :SIDE]
    angle = generator.uniform(0, 2 * np.pi)
    values = x * np.cos(angle) + y * np.sin(angle)
    return (255 * (values - values.min()) / np.ptp(values)).astype(np.uint8)


def text_page(generator):
    """Lines of letters, black on white or white on black."""
    paper, ink = ((255, 0), (0, 255))[generator.integers(2)]
    picture = Image.new("L", (SIDE, SIDE), paper)
    letters, size = list("abcdefghij klmnop qrstu vwxyz "), int(generator.integers(12, 30))
    font = ImageFont.load_default(size)
    for y in range(20, SIDE - 20, round(1.5 * size)):
        ImageDraw.Draw(picture).text((20, y), "".join(generator.choice(letters, 60)), fill=ink, font=font)
    return np.asarray(picture)


def limb(generator):
    """Two long bones with wider ends in soft tissue, more or less aslant."""
    picture, draw = body_part()
    middle, lean = generator.uniform(0.4, 0.6) * SIDE, generator.uniform(-0.15, 0.15) * SIDE
    draw.line([(middle - lean, -50), (middle + lean, SIDE + 50)], fill=110, width=round(0.45 * SIDE))
    for offset, width in ((-0.1, 0.09), (0.08, 0.06)):
        ends = [(middle - lean + offset * SIDE, -20), (middle + lean + offset * SIDE, SIDE + 20)]
        draw.line(ends, fill=210, width=round(width * SIDE))
        draw.line(ends, fill=150, width=round(0.4 * width * SIDE))
    return blurred(picture, generator)


def hand(generator):
    """A palm and five fingers of three bones each."""
    picture, draw = body_part()
    wrist = np.array([SIDE / 2, 0.95 * SIDE])
    draw.ellipse([0.28 * SIDE, 0.5 * SIDE, 0.72 * SIDE, 0.98 * SIDE], fill=100)
    for angle in np.deg2rad(np.array([-50, -20, 0, 18, 36]) + generator.uniform(-5, 5)):
        direction = np.array([np.sin(angle), -np.cos(angle)])
        tip = wrist + generator.uniform(0.75, 0.85) * SIDE * direction
        draw.line([tuple(wrist + 0.3 * SIDE * direction), tuple(tip)], fill=100, width=round(0.1 * SIDE))
        for start, end in ((0.15, 0.4), (0.43, 0.57), (0.6, 0.68), (0.7, 0.76)):
            bone = [tuple(wrist + share * SIDE * direction) for share in (start, end)]
            draw.line(bone, fill=220, width=round(0.035 * SIDE))
    return blurred(picture, generator)


def skull(generator):
    """A bright ring, darker inside, with orbits, nose and teeth."""
    picture, draw = body_part()
    width, top = generator.uniform(0.28, 0.36) * SIDE, 0.06 * SIDE
    draw.ellipse([SIDE / 2 - width, top, SIDE / 2 + width, 0.8 * SIDE], fill=230)
    inner = width - 0.03 * SIDE
    draw.ellipse([SIDE / 2 - inner, top + 15, SIDE / 2 + inner, 0.77 * SIDE], fill=150)
    draw.rectangle([SIDE / 2 - 0.6 * width, 0.6 * SIDE, SIDE / 2 + 0.6 * width, 0.92 * SIDE], fill=180)
    for side in (-1, 1):
        x, y, r = SIDE / 2 + side * 0.45 * width, 0.52 * SIDE, 0.28 * width
        draw.ellipse([x - r, y - r, x + r, y + r], fill=80)
    draw.polygon([(SIDE / 2, 0.55 * SIDE), (SIDE / 2 - 25, 0.67 * SIDE), (SIDE / 2 + 25, 0.67 * SIDE)], fill=70)
    return blurred(picture, generator)


def body_part():
    picture = Image.new("L", (SIDE, SIDE), 10)
    return picture, ImageDraw.Draw(picture)


def blurred(picture, generator):
    """As through a detector: unsharp, with noise."""
    values = np.asarray(picture.filter(ImageFilter.GaussianBlur(generator.uniform(1, 4))), float)
    return np.clip(values + generator.normal(0, 6, values.shape), 0, 255).astype(np.uint8)


DRAWINGS = (noise, gradient, text_page, limb, hand, skull)
