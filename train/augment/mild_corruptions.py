"""Validation radiographs made to look like another scanner's: named, and the same at every call.

Each alteration is a function of image and mask, (1, H, W) float in [0, 1] both, and of a random generator; it returns
the same two in the same shape. What it moves or hides it moves or hides in the mask too. They say how much a model
depends on the look of the images it was trained on; they do not stand for a hospital it never saw.
"""

import numpy as np
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


def blurred(image, mask, generator):
    """No more than 64 pixels along each side, then enlarged."""
    return tvF.resize(tvF.resize(image, [64, 64], antialias=True), list(image.shape[-2:])), mask


def other_crop(image, mask, generator):
    """Up to 15 % cut off at each side, and what is left stretched to the old size."""
    height, width = image.shape[-2:]
    left, top, right, bottom = (generator.uniform(0, 0.15, 4) * (width, height, width, height)).astype(int)
    window = (top, left, height - top - bottom, width - left - right)
    return resized(tvF.crop(image, *window), tvF.crop(mask, *window), (height, width))


def black_bands(image, mask, generator):
    """Squeezed to 65 … 85 % of its width or height, black bands filling up the rest."""
    height, width = image.shape[-2:]
    share = generator.uniform(0.65, 0.85)
    inner = (height, round(share * width)) if generator.random() < 0.5 else (round(share * height), width)
    left, top = (width - inner[1]) // 2, (height - inner[0]) // 2
    bands = [left, top, width - inner[1] - left, height - inner[0] - top]
    return tuple(tvF.pad(x, bands) for x in resized(image, mask, inner))


def small_field(image, mask, generator):
    """Collimated: 4 … 15 % at each side black, and no lung drawn there."""
    height, width = image.shape[-2:]
    left, top, right, bottom = (generator.uniform(0.04, 0.15, 4) * (width, height, width, height)).astype(int)
    window = (top, left, height - top - bottom, width - left - right)
    return tuple(tvF.pad(tvF.crop(x, *window), [left, top, right, bottom]) for x in (image, mask))


def tilted_30(image, mask, generator):
    """Turned by up to 30 degrees to either side, black corners."""
    angle = generator.uniform(-30, 30)
    return tvF.rotate(image, angle, InterpolationMode.BILINEAR), tvF.rotate(mask, angle)


def resized(image, mask, size):
    return tvF.resize(image, list(size), antialias=True), tvF.resize(mask, list(size), InterpolationMode.NEAREST_EXACT)


MILD_CORRUPTIONS = {
    function.__name__: function
    for function in (inverted, low_contrast, gamma, blurred, other_crop, black_bands, small_field, tilted_30)
}


def alter(name, image, mask, index, alterations=MILD_CORRUPTIONS):
    """Apply one alteration.

    Args:
        name: a key of `alterations`.
        image, mask: (1, H, W) float in [0, 1].
        index: of the image in its data set; seeds whatever is random.
        alterations: name → function.
    """
    image, mask = alterations[name](image.clone(), mask, np.random.default_rng(index))
    return image.clamp(0, 1), mask


class AlteredRadiographs(Dataset):
    """A `RadiographDataset` of images and masks, each image under one alteration that its index chooses.

    The contrast is stretched afterwards, as the image processor does with an image from outside.
    """

    def __init__(self, radiographs):
        self.radiographs = radiographs

    def __len__(self):
        return len(self.radiographs)

    def __getitem__(self, index):
        item = self.radiographs[index]
        # seeded otherwise than what is random in the alteration, which would always be the same of those chosen here
        chosen = np.random.default_rng([index, len(MILD_CORRUPTIONS)]).integers(len(MILD_CORRUPTIONS))
        name = list(MILD_CORRUPTIONS)[chosen]
        image, mask = alter(name, item["pixel_values"], item["labels"], index)
        return {"pixel_values": stretch_contrast(image), "labels": mask}
