"""Validation radiographs harmed so that no segmenter draws all of them well: what tests the mask quality.

Same form as `train.augment.mild_corruptions`, which a good segmenter should bear; of these it should know that it
failed.
"""

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF

from train.augment.mild_corruptions import resized


def turned(image, mask, generator):
    """By 35 … 180 degrees to either side."""
    angle = generator.uniform(35, 180) * generator.choice([-1, 1])
    return tvF.rotate(image, angle, InterpolationMode.BILINEAR), tvF.rotate(mask, angle)


def enlarged(image, mask, generator):
    """A window of 40 … 70 % of each side, anywhere."""
    height, width = image.shape[-2:]
    share = generator.uniform(0.4, 0.7)
    inner = round(share * height), round(share * width)
    window = (*corner(generator, height - inner[0], width - inner[1]), *inner)
    return resized(tvF.crop(image, *window), tvF.crop(mask, *window), (height, width))


def shrunk(image, mask, generator):
    """To 15 … 50 % of each side, anywhere on black."""
    height, width = image.shape[-2:]
    share = generator.uniform(0.15, 0.5)
    inner = round(share * height), round(share * width)
    top, left = corner(generator, height - inner[0], width - inner[1])
    borders = [left, top, width - inner[1] - left, height - inner[0] - top]
    return tuple(tvF.pad(x, borders) for x in resized(image, mask, inner))


def hidden(image, mask, generator):
    """One grey rectangle over 4 … 30 % of the image; the mask stays whole."""
    height, width = image.shape[-2:]
    inner = round(generator.uniform(0.2, 0.6) * height), round(generator.uniform(0.2, 0.5) * width)
    top, left = corner(generator, height - inner[0], width - inner[1])
    image[..., top : top + inner[0], left : left + inner[1]] = generator.uniform()
    return image, mask


def posterised(image, mask, generator):
    """Three or four grey levels."""
    return (image * generator.integers(2, 4)).floor() / 3, mask


def thumbnail(image, mask, generator):
    """No more than 12 … 32 pixels along each side, then enlarged."""
    side = int(generator.integers(12, 33))
    return tvF.resize(tvF.resize(image, [side, side], antialias=True), list(image.shape[-2:])), mask


def noisy(image, mask, generator):
    """Gaussian noise, standard deviation 0.1 … 0.5."""
    noise = generator.normal(0, generator.uniform(0.1, 0.5), image.shape)
    return image + torch.from_numpy(noise).to(image.dtype), mask


def corner(generator, height, width):
    """top, left: anywhere within."""
    return int(generator.uniform(0, height)), int(generator.uniform(0, width))


SEVERE_CORRUPTIONS = {
    function.__name__: function for function in (turned, enlarged, shrunk, hidden, posterised, thumbnail, noisy)
}
