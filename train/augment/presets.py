"""Augmentation of image and mask together (torchvision.transforms.v2): the presets, side by side."""

import torch
from torch import nn
from torchvision.transforms import v2

from lungfusion.models.image_processing_lungfusion import stretch_contrast
from train.augment.intensity import OfImage, burn_in, coarse, gamma, jpeg, local_contrast, noise, slope, window
from train.augment.spatial import Collimate, Warp


def augmentation(preset="plain", **settings):
    """The augmentation a recipe asks for.

    Args:
        preset: `none`, `plain`, `strong` or `mixed`.
        settings: arguments of that preset's function below.

    Returns:
        a transform of (tv_tensors.Image, tv_tensors.Mask), both (1, S, S) float in [0, 1].
    """
    if preset not in PRESETS:
        raise ValueError(f"augmentation.preset is {preset!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[preset](**settings)


def plain(flip=0.0, rotation=30, shift=0.1, scale=(0.8, 1.2), shear=5, brightness=0.3, contrast=0.3, noise=0.05):
    """Random changes a radiograph may show: position, tilt, exposure, noise.

    Geometry moves image and mask alike; exposure and noise touch the image alone.

    Args:
        flip: probability of a horizontal flip. 0 where a finding is of one side: a flip destroys laterality.
        rotation: largest tilt, degrees.
        shift: largest shift, as a fraction of the side.
        scale: smallest and largest magnification.
        shear: largest shear, degrees.
        brightness, contrast: largest relative change.
        noise: standard deviation of the Gaussian noise, added to half of the images.
    """
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(flip),
            v2.RandomAffine(rotation, (shift, shift), tuple(scale), shear, v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(brightness, contrast),
            v2.RandomApply(nn.ModuleList([v2.GaussianNoise(sigma=noise)]), p=0.5),
        ]
    )


def strong(flip=0.0):
    """What sets one hospital's radiographs apart from another's, in one training set.

    The idea is that of stacked transformations (Zhang et al. 2020, IEEE TMI 39(7)): strong, cheap changes of place,
    sharpness and grey levels carry a segmenter to scanners it never saw. The last step is the image processor's own
    contrast stretch, through which every real image goes.

    Args:
        flip: probability of a horizontal flip. 0 where a finding is of one side: a flip destroys laterality.
    """
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(flip),
            sometimes(0.9, Warp(rotation=35, shear=10, scale=(0.7, 1.4), aspect=1.4, shift=0.15, elastic=0.012)),
            sometimes(0.2, Collimate(depth=0.15, white=0.15)),
            sometimes(0.4, OfImage(gamma)),
            sometimes(0.2, OfImage(slope)),
            sometimes(0.3, OfImage(local_contrast)),
            sometimes(0.4, OfImage(window)),
            sometimes(0.15, OfImage(coarse)),
            sometimes(0.15, v2.GaussianBlur(7, (0.5, 2.0))),
            v2.RandomAdjustSharpness(3, p=0.15),
            sometimes(0.3, OfImage(noise)),
            v2.RandomInvert(p=0.15),
            sometimes(0.3, OfImage(burn_in)),
            v2.ToDtype(torch.uint8, scale=True),
            v2.RandomEqualize(p=0.1),
            v2.ToDtype(torch.float32, scale=True),
            sometimes(0.2, OfImage(jpeg)),
            OfImage(stretch_contrast),
        ]
    )


def mixed(flip=0.0):
    """`plain` or `strong`, each for half of the images: for what strong changes would hide."""
    return v2.RandomChoice([plain(flip), strong(flip)])


def sometimes(probability, transform):
    return v2.RandomApply([transform], probability)


PRESETS = {"none": v2.Identity, "plain": plain, "strong": strong, "mixed": mixed}
