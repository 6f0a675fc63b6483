"""Fit what a segmenter says of the view (`LungUNetOutput.view_logits`): one frontal chest, or what else it is.

Frontal radiographs of every source, as they are and as they are sent (photographed, cropped, mirrored, re-exposed, hidden
in parts), stand against other radiographs, real and drawn, against pictures that are none, and against themselves:
turned, twice in one picture, a part alone. Everything is altered in the same ways, so that no alteration tells which it
is. Each source is left out once, and each fifth of the other radiographs' patients: the table is of those left out.

    python -m train.calibrate.views --model lungfusion/checkpoints/default --others ../shared/data/other-radiographs \\
        --frontal ../shared/data/shenzhen-tuberculosis ../shared/data/nih-findings --output runs/views
"""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from lungfusion.checks.framing import find_frame
from lungfusion.checks.geometry import correct
from train.augment.ood_images import not_one_frontal_chest, ood_images
from train.augment.phantom.views import pair
from train.augment.photographs import photograph
from train.data.pictures import image_bytes

IMAGES = 200  # frontal radiographs of each source at most
COPIES = {"spine": 8, "lateral": 24, "no_radiograph": 10, "drawn": 3}  # altered ones of each picture


def as_sent(pixels, generator):
    """(H, W) in [0, 1] → the same as somebody may send it: some of `ALTERATIONS` after the other."""
    for alteration, probability in ALTERATIONS.items():
        if generator.random() < probability:
            pixels = alteration(pixels, generator)
    return np.clip(pixels, 0, 1).astype(np.float32)


def mirrored(pixels, generator):
    return pixels[:, ::-1]


def cropped(pixels, generator):
    """Up to 10 % cut off at each side."""
    return window(pixels, *generator.uniform(0, 0.1, 2), *(1 - generator.uniform(0, 0.1, 2)))


def margined(pixels, generator):
    """A margin of one grey, up to 15 % of a side."""
    margins = (generator.uniform(0, 0.15, (2, 2)) * np.array(pixels.shape)[:, None]).astype(int)
    return np.pad(pixels, margins, constant_values=generator.choice([0, 0, 1, 0.2]))


def tilted(pixels, generator):
    picture = Image.fromarray(np.asarray(pixels, np.float32))
    return np.asarray(picture.rotate(generator.uniform(-12, 12), Image.Resampling.BILINEAR))


def squeezed(pixels, generator):
    picture, (height, width) = Image.fromarray(np.asarray(pixels, np.float32)), pixels.shape
    return np.asarray(picture.resize((round(width * generator.uniform(0.75, 1.25)), height)))


def re_exposed(pixels, generator):
    """Another tone curve and window."""
    low, high = generator.uniform(-0.1, 0.15), generator.uniform(0.85, 1.2)
    return np.clip((np.clip(pixels, 0, 1) ** np.exp(generator.uniform(-0.6, 0.6)) - low) / (high - low), 0, 1)


def blurred(pixels, generator):
    return gaussian_filter(pixels, generator.uniform(0.002, 0.012) * max(pixels.shape))


def hidden(pixels, generator):
    """A rectangle of one grey over a part."""
    top, left = generator.uniform(0, 0.8, 2)
    height, width = generator.uniform(0.08, 0.35, 2)
    pixels = np.array(pixels)
    rows, columns = pixels.shape
    pixels[int(top * rows) : int((top + height) * rows), int(left * columns) : int((left + width) * columns)] = (
        generator.choice([0, 0, 1, 0.5])
    )
    return pixels


def photographed(pixels, generator):
    picture, _ = photograph(np.clip(pixels, 0, 1), generator)
    return picture.mean(2, dtype=np.float32) / 255


def compressed(pixels, generator):
    file = BytesIO()
    Image.fromarray(np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8)).save(
        file, "JPEG", quality=int(generator.integers(10, 60))
    )
    return np.asarray(Image.open(file), np.float32) / 255


ALTERATIONS = {
    mirrored: 0.3,
    cropped: 0.3,
    tilted: 0.25,
    squeezed: 0.25,
    re_exposed: 0.5,
    hidden: 0.15,
    blurred: 0.15,
    margined: 0.15,
    photographed: 0.12,
    compressed: 0.15,
}


def window(pixels, top, left, bottom, right):
    """A part of a picture, its ends as shares of the sides."""
    height, width = pixels.shape
    return pixels[int(top * height) : round(bottom * height), int(left * width) : round(right * width)]


def turned(pixels, generator):
    """On its side or upside down."""
    return np.rot90(pixels, generator.integers(1, 4))


def twice(pixels, other, generator):
    """Two pictures in one, beside each other or one above the other."""
    height, width = pixels.shape
    other = np.asarray(Image.fromarray(np.asarray(other, np.float32)).resize((width, height)))
    return pair(pixels, other, int(generator.integers(2)), int(generator.integers(0, 12)), generator.choice([0, 1]))


def enlarged(pixels):
    """A part of a small picture, so that it may be read."""
    scale = 96 / min(pixels.shape)
    size = [round(max(1, scale) * side) for side in pixels.shape[::-1]]
    return pixels if scale <= 1 else np.asarray(Image.fromarray(np.asarray(pixels, np.float32)).resize(size))


def part(pixels, generator):
    """What a film of a shoulder, a clavicle, the neck or the upper abdomen shows of a chest."""
    a, b = generator.uniform(0.3, 0.45, 2)
    ends = [
        (0, 0, a, b),  # shoulders
        (0, 1 - b, a, 1),
        (1 - 0.9 * a, 0, 1, 1),  # upper abdomen
        (0, 0, 0.7 * a, 1),  # neck and clavicles
        (0.2, 0, 0.2 + a, 0.8 * b),  # an arm and some ribs
        (0.2, 1 - 0.8 * b, 0.2 + a, 1),
    ]
    return enlarged(window(pixels, *ends[generator.integers(len(ends))]))


def pictures(frontal, others):
    """Yield (view, group, picture (H, W) float32 in [0, 1]): what the head is fitted to.

    frontal: name → `datasets.Dataset`. others: `datasets.Dataset` with `kind` and `patient_id`.
    """
    yield from of_frontal(frontal)
    yield from of_others(others)
    yield from of_drawn()


def of_frontal(frontal):
    generator, last = np.random.default_rng(0), None
    for name, data in frontal.items():
        data = data.shuffle(seed=0).select(range(min(IMAGES, len(data))))
        for number, row in enumerate(data):
            pixels = load_radiograph(image_bytes(row["image"])).pixels
            yield "frontal", name, pixels
            yield "frontal", name, as_sent(pixels, generator)
            if number % 2:
                yield "turned", name, as_sent(turned(pixels, generator), generator)
            if number % 2:
                yield "other_radiograph", name, as_sent(part(pixels, generator), generator)
            if number % 3 == 0 and last is not None:
                yield "several", name, as_sent(twice(pixels, last, generator), generator)
            last = pixels


def of_others(others):
    generator, last = np.random.default_rng(1), None
    for row in others:
        kind = "lateral" if "lateral" in row["kind"] else "spine"
        view = "lateral" if kind == "lateral" else "other_radiograph"
        pixels = load_radiograph(image_bytes(row["image"])).pixels
        yield view, f"{kind} {row['patient_id']}", pixels
        for _ in range(COPIES[kind]):
            yield view, f"{kind} {row['patient_id']}", as_sent(pixels, generator)
        if kind == "spine":
            yield "turned", f"{kind} {row['patient_id']}", as_sent(turned(pixels, generator), generator)
        if last is not None and len(row["patient_id"]) % 3 == 0:
            yield "several", f"{kind} {row['patient_id']}", as_sent(twice(pixels, last, generator), generator)
        last = pixels


def of_drawn():
    generator = np.random.default_rng(2)
    drawn = {"photographs": "no_radiograph", "photographs without colour": "no_radiograph", "noise": "no_radiograph"}
    drawn |= {"gradient": "no_radiograph", "text_page": "no_radiograph", "phantoms from the side": "lateral"}
    drawn |= {kind: "several" for kind in ("phantoms from both sides", "phantoms beside a caption")}
    drawn |= {"two phantoms side by side": "several", "two phantoms, one above the other": "several"}
    for kind, of_kind in (ood_images() | not_one_frontal_chest()).items():
        view = drawn.get(kind, "other_radiograph")
        for number, picture in enumerate(of_kind):
            pixels, group = load_radiograph(picture).pixels, f"{kind} {number}"
            yield view, group, pixels
            for _ in range(COPIES["no_radiograph" if view == "no_radiograph" else "drawn"]):
                if view == "no_radiograph":
                    top, left = generator.uniform(0, 0.5, 2)
                    shown = window(
                        pixels, top, left, top + generator.uniform(0.4, 0.5), left + generator.uniform(0.4, 0.5)
                    )
                    shown = shown if min(shown.shape) > 64 else pixels
                    yield view, group, as_sent(np.rot90(shown, generator.integers(4)), generator)
                else:
                    yield view, group, as_sent(pixels, generator)
