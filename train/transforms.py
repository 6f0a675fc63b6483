"""Augmentation of image and mask together (torchvision.transforms.v2): one preset for each task, side by side."""

from torch import nn
from torchvision.transforms import v2


def augmentation(flip=0.0, rotation=30, shift=0.1, scale=(0.8, 1.2), shear=5, brightness=0.3, contrast=0.3, noise=0.05):
    """Random changes a radiograph may show: position, tilt, exposure, noise.

    Geometry moves image and mask alike; exposure and noise touch the image alone.

    Args:
        flip: probability of a horizontal flip. 0 for classification: a flip destroys laterality.
        rotation: largest tilt, degrees.
        shift: largest shift, as a fraction of the side.
        scale: smallest and largest magnification.
        shear: largest shear, degrees.
        brightness, contrast: largest relative change.
        noise: standard deviation of the Gaussian noise, added to half of the images.

    Returns:
        a transform of (tv_tensors.Image, tv_tensors.Mask), both (1, S, S) float in [0, 1].
    """
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(flip),
            v2.RandomAffine(rotation, (shift, shift), tuple(scale), shear, v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(brightness, contrast),
            v2.RandomApply(nn.ModuleList([v2.GaussianNoise(sigma=noise)]), p=0.5),
        ]
    )
