"""Validation radiographs corrupted: by name, and the same at every call.

Each corruption is a function of image and mask, (1, H, W) float in [0, 1] both, and of a random generator; it returns
the same two in the same shape. What it moves or hides it moves or hides in the mask too. The mild ones look like
another scanner's or viewer's images, and a good segmenter bears them: they say how much it depends on the look of the
images it was trained on, and do not stand for a hospital it never saw. The severe ones no segmenter draws well: of
these it should know that it failed, which tests the mask quality.
"""

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF

from lungfusion.models.image_processing_lungfusion import stretch_contrast


def inverted(image, mask, generator):
    """Bone black, as a viewer shows a DICOM file whose photometric interpretation it ignores."""
    return 1 - image, mask


def low_contrast(image, mask, generator):
    """A quarter of the contrast, between a black rim and a white name plate, which keep it from being stretched."""
    height, width = image.shape[-2:]
    image = generator.uniform(0.15, 0.6) + 0.25 * image
    rim = max(1, round(0.01 * min(height, width)))
    image[..., :rim, :] = image[..., -rim:, :] = image[..., :rim] = image[..., -rim:] = 0
    image[..., rim : rim + round(0.06 * height), rim : rim + round(0.15 * width)] = 1
    return image, mask


def gamma(image, mask, generator):
    """Another tone curve: half or double the exponent."""
    return image ** generator.choice([0.5, 2.0]), mask


def blurred(image, mask, generator, side=64):
    """No more than `side` pixels along each side, then enlarged."""
    return tvF.resize(tvF.resize(image, [side, side], antialias=True), list(image.shape[-2:])), mask


def other_crop(image, mask, generator):
    """Up to 15 % cut off at each side, and what is left stretched to the old size."""
    return resized(*cut(image, mask, margins(image, generator, 0, 0.15)), image.shape[-2:])


def black_bands(image, mask, generator):
    """Squeezed to 65 … 85 % of its width or height, black bands filling up the rest."""
    share = generator.uniform(0.65, 0.85)
    rows, columns = (1, share) if generator.random() < 0.5 else (share, 1)
    return shrunk_to(image, mask, (rows, columns), (0.5, 0.5))


def small_field(image, mask, generator):
    """Collimated: 4 … 15 % at each side black, and no lung drawn there."""
    sides = margins(image, generator, 0.04, 0.15)
    return tuple(tvF.pad(x, sides) for x in cut(image, mask, sides))


def tilted_30(image, mask, generator):
    """Turned by up to 30 degrees to either side, black corners."""
    return rotated(image, mask, generator.uniform(-30, 30))


def turned(image, mask, generator):
    """By 35 … 180 degrees to either side."""
    return rotated(image, mask, generator.uniform(35, 180) * generator.choice([-1, 1]))


def enlarged(image, mask, generator):
    """A window of 40 … 70 % of each side, anywhere."""
    height, width = image.shape[-2:]
    share, place = generator.uniform(0.4, 0.7), generator.random(2)
    rows, columns = height - round(share * height), width - round(share * width)
    top, left = int(place[0] * rows), int(place[1] * columns)
    return resized(*cut(image, mask, [left, top, columns - left, rows - top]), (height, width))


def shrunk(image, mask, generator):
    """To 15 … 50 % of each side, anywhere on black."""
    share = generator.uniform(0.15, 0.5)
    return shrunk_to(image, mask, (share, share), generator.random(2))


def hidden(image, mask, generator):
    """One grey rectangle over 4 … 30 % of the image; the mask stays whole."""
    height, width = image.shape[-2:]
    rows, columns = round(generator.uniform(0.2, 0.6) * height), round(generator.uniform(0.2, 0.5) * width)
    top, left = int(generator.uniform(0, height - rows)), int(generator.uniform(0, width - columns))
    image[..., top : top + rows, left : left + columns] = generator.uniform()
    return image, mask


def posterised(image, mask, generator):
    """Three or four grey levels."""
    return (image * generator.integers(2, 4)).floor() / 3, mask


def thumbnail(image, mask, generator):
    """No more than 12 … 32 pixels along each side, then enlarged."""
    return blurred(image, mask, generator, side=int(generator.integers(12, 33)))


def noisy(image, mask, generator):
    """Gaussian noise, standard deviation 0.1 … 0.5."""
    noise = generator.normal(0, generator.uniform(0.1, 0.5), image.shape)
    return image + torch.from_numpy(noise).to(image.dtype), mask


def margins(image, generator, least, most):
    """Random margins in pixels: left, top, right, bottom."""
    height, width = image.shape[-2:]
    return (generator.uniform(least, most, 4) * (width, height, width, height)).astype(int).tolist()


def cut(image, mask, sides):
    left, top, right, bottom = sides
    height, width = image.shape[-2:]
    return (tvF.crop(x, top, left, height - top - bottom, width - left - right) for x in (image, mask))


def shrunk_to(image, mask, shares, place):
    """`shares` of height and width, the rest black; `place`, down and across in 0 … 1, says where the picture lies."""
    height, width = image.shape[-2:]
    inner = [round(share * side) for share, side in zip(shares, (height, width), strict=True)]
    rows, columns = height - inner[0], width - inner[1]
    top, left = int(place[0] * rows), int(place[1] * columns)
    return tuple(tvF.pad(x, [left, top, columns - left, rows - top]) for x in resized(image, mask, inner))


def rotated(image, mask, angle):
    return tvF.rotate(image, angle, InterpolationMode.BILINEAR), tvF.rotate(mask, angle)


def resized(image, mask, size):
    return tvF.resize(image, list(size), antialias=True), tvF.resize(mask, list(size), InterpolationMode.NEAREST_EXACT)


def by_name(*functions):
    return {function.__name__: function for function in functions}


MILD_CORRUPTIONS = by_name(inverted, low_contrast, gamma, blurred, other_crop, black_bands, small_field, tilted_30)
SEVERE_CORRUPTIONS = by_name(turned, enlarged, shrunk, hidden, posterised, thumbnail, noisy)


def corrupt(name, image, mask, index):
    """Apply one corruption.

    Args:
        name: a key of `MILD_CORRUPTIONS` or `SEVERE_CORRUPTIONS`.
        image, mask: (1, H, W) float in [0, 1].
        index: of the image in its data set; seeds whatever is random.
    """
    image, mask = (MILD_CORRUPTIONS | SEVERE_CORRUPTIONS)[name](image.clone(), mask, np.random.default_rng(index))
    return image.clamp(0, 1), mask


class CorruptedRadiographs(Dataset):
    """A `RadiographDataset` of images and masks, each image under one mild corruption that its index chooses.

    The contrast is stretched afterwards, as the image processor does with an image from outside.
    """

    def __init__(self, radiographs):
        self.radiographs = radiographs

    def __len__(self):
        return len(self.radiographs)

    def __getitem__(self, index):
        item = self.radiographs[index]
        # seeded otherwise than what is random in the corruption, which would always be the same of those chosen here
        chosen = np.random.default_rng([index, len(MILD_CORRUPTIONS)]).integers(len(MILD_CORRUPTIONS))
        name = list(MILD_CORRUPTIONS)[chosen]
        image, mask = corrupt(name, item["pixel_values"], item["labels"], index)
        return {"pixel_values": stretch_contrast(image), "labels": mask}
