"""Augmentation of radiographs and lung masks for a segmenter, a whole batch at once, on its device.

As the preset `strong`, which takes some 20 ms an image of a processor's time, and with lungs painted white; as
operations on a batch it keeps up with a GPU.
"""

import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tvF

from lungfusion.models.image_processing_lungfusion import BRIGHT, DARK
from train.augment.devices import plates, tubes, writing
from train.augment.hospitals import (
    axes,
    film,
    gamma,
    grid,
    jpeg,
    local_contrast,
    mean_around,
    noise,
    random_affine,
    slope,
    sometimes,
    uniform,
    window,
)
from train.augment.spatial import ELASTIC_NODES
from train.augment.white_lungs import white_lungs


class LungAugmentation:
    """Disease and devices, position, collimation, exposure and film: what moves an image moves its mask alike.

    Args:
        flip: share mirrored.
        white: share whose lungs are painted white, in part or as a whole (`white_lungs`).
        devices: share with tubes, wires and electrodes.
    """

    def __init__(self, flip=0.5, white=0.3, devices=0.25):
        self.flip, self.white, self.devices = flip, white, devices

    def __call__(self, image, mask):
        """image, mask: (B, 1, S, S) float in [0, 1] → both the same, the mask soft as it was."""
        ill = torch.rand(len(image), device=image.device) < self.white
        if ill.any():
            image = image.clone()
            image[ill] = white_lungs(image[ill], mask[ill])
        image = sometimes(self.devices, tubes, image)
        image, mask = warp(image, mask, self.flip)
        image, mask = collimate(image, mask)
        for share, change in (
            (0.4, gamma),
            (0.2, slope),
            (0.15, uneven),
            (0.3, local_contrast),
            (0.4, window),
            (0.1, flat),
            (0.2, blurred),
            (0.1, sharpened),
            (0.15, film),
            (0.05, grid),
            (0.3, noise),
            (0.15, inverted),
            (0.3, plates),
            (0.2, writing),
            (0.1, equalised),
            (0.2, jpeg),
            (1.0, stretched),
        ):
            image = sometimes(share, change, image)
        return image, mask


def warp(image, mask, flip, share=0.9, elastic=0.012):
    """Mirror, tilt, magnify, stretch, shift and bend, in one resampling; black comes in from outside.

    Args:
        image, mask: (B, 1, S, S) float.
        flip: share mirrored.
        share: how many are moved otherwise, too.
        elastic: standard deviation of the elastic displacement, as a fraction of the side.
    """
    moved = (torch.rand(len(image), 1, 1) < share).float()
    upright = torch.eye(2, 3).repeat(len(image), 1, 1)
    upright[:, 0, 0] = torch.where(torch.rand(len(image)) < flip, -1.0, 1.0)
    affine = random_affine(len(image), flip, rotation=35, scale=(0.7, 1.45), aspect=1.4, shift=0.15)
    affine = moved * affine + (1 - moved) * upright
    places = F.affine_grid(affine.to(image.device), list(image.shape), align_corners=False)
    nodes = 2 * elastic * torch.randn(len(image), 2, ELASTIC_NODES, ELASTIC_NODES) * moved[..., None]
    bent = F.interpolate(nodes.to(image.device), image.shape[-2:], mode="bicubic").permute(0, 2, 3, 1)
    both = F.grid_sample(torch.cat([image, mask], dim=1), places + bent, align_corners=False)
    return both[:, :1], both[:, 1:]


def collimate(image, mask, share=0.2, depth=0.15, white=0.15):
    """In a `share` the X-ray field is a quadrilateral inside the picture: outside all is black or, on film, white.

    What the picture does not show is no lung in the mask either.

    Args:
        image, mask: (B, 1, S, S) float.
        depth: largest margin outside the field, as a fraction of the side.
        white: probability of white instead of black.
    """
    x, y = axes(image)
    chosen = uniform(image, 0, 1) < share
    field = torch.ones_like(image, dtype=torch.bool)
    for towards, beside in ((x, y), (-x, y), (y, x), (-y, x)):
        margin = 2 * uniform(image, -depth / 2, depth) + uniform(image, -0.04, 0.04) * beside
        field &= towards > margin - 1
    outside = (uniform(image, 0, 1) < white).float()
    return torch.where(field | ~chosen, image, outside), torch.where(field | ~chosen, mask, 0)


def uneven(image):
    """One side of a line over- or underexposed."""
    x, y = axes(image)
    angle = uniform(image, 0, 2 * torch.pi)
    beyond = (x * angle.cos() + y * angle.sin() - uniform(image, -0.3, 0.3)) / uniform(image, 0.02, 0.2)
    return image.lerp(image.clamp(min=1e-4) ** uniform(image, -1.4, 1.4).exp(), beyond.sigmoid())


def flat(image):
    """Little contrast, anywhere between black and white; plates drawn later may keep it from being stretched."""
    contrast = uniform(image, 0.2, 0.6)
    return uniform(image, 0, 1) * (1 - contrast) + contrast * image


def blurred(image):
    """Down- and upsampled to a half … a fifth; one factor for the batch."""
    side = round(image.shape[-1] / float(torch.empty(()).uniform_(1.5, 5)))
    small = F.interpolate(image, (side, side), mode="bilinear", antialias=True)
    return F.interpolate(small, image.shape[-2:], mode="bilinear")


def sharpened(image):
    return image + uniform(image, 0.5, 2) * (image - mean_around(image, 1))


def inverted(image):
    """Bone black."""
    return 1 - image


def equalised(image):
    """Each shade of grey as often as any other."""
    return tvF.equalize((255 * image).byte()).float() / 255


def stretched(image):
    """The image processor's contrast stretch, through which every real image goes; by every 16th pixel."""
    shades = image[..., ::4, ::4].flatten(1)
    low, high = torch.quantile(shades, shades.new_tensor([DARK, BRIGHT]), dim=1).view(2, -1, 1, 1, 1)
    return (image - low) / (high - low).clamp(min=1e-6)
