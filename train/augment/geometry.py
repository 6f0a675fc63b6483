"""Random changes of where things lie, image and mask together.

Each takes images and masks, (B, 1, S, S) float in [0, 1], masks perhaps None, and returns both.
"""

import math

import torch
from torch.nn import functional as F

from train.augment.batch import axes, uniform

ELASTIC_NODES = 5  # random displacements along each side; between them they are interpolated


def mirrored(images, masks):
    return images.flip(3), None if masks is None else masks.flip(3)


def warp(images, masks, elastic=0.0, **limits):
    """Tilt, magnify, stretch, shear, shift and bend, in one resampling; black comes in from outside.

    `v2.ElasticTransform` takes 90 ms for 256 px at the smoothness of a body; a grid with few nodes takes 1 ms.

    Args:
        elastic: standard deviation of the elastic displacement, as a fraction of the side.
        limits: of `random_affine`.
    """
    size = images.shape[-1]
    view = random_affine(len(images), **limits).to(images.device)
    cells = size // 8  # the grid is smooth: made coarse and interpolated it costs a third
    view = view * view.new_tensor([1 - 1 / size, 1 - 1 / size, 1])  # from the centre of the first pixel to the last's
    places = F.affine_grid(view, [len(images), 1, cells, cells], align_corners=True).permute(0, 3, 1, 2).contiguous()
    if elastic:
        nodes = 2 * elastic * torch.randn(len(images), 2, ELASTIC_NODES, ELASTIC_NODES, device=images.device)
        places = places + F.interpolate(nodes, (cells, cells), mode="bicubic")
    grid = F.interpolate(places, (size, size), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
    return tuple(None if x is None else F.grid_sample(x, grid, align_corners=False) for x in (images, masks))


def random_affine(count, rotation=0, scale=(1, 1), aspect=1, shear=0, shift=0):
    """(count, 2, 3): small turns, magnifications, stretches, shears and shifts, from the result to its source.

    Args:
        rotation, shear: largest ones, degrees; small ones are likelier (triangular), shifts too.
        scale: smallest and largest magnification.
        aspect: largest ratio of one side's magnification to the other's. Below magnification 1 this puts bars at two
            sides, as letterboxing does.
        shift: largest shift, as a fraction of the side.
    """
    angle, slant = torch.deg2rad(triangular(count, rotation)), torch.deg2rad(triangular(count, shear)).tan()
    zoom = torch.empty(count).uniform_(*map(math.log, scale)).exp()
    stretch = (torch.empty(count).uniform_(-0.5, 0.5) * math.log(aspect)).exp()
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    shape = torch.stack([stretch, slant, torch.zeros(count), 1 / stretch], dim=1).view(-1, 2, 2)
    moved = 2 * torch.stack([triangular(count, shift), triangular(count, shift)], dim=1)  # places go from −1 to 1
    return torch.cat([turn @ shape / zoom.view(-1, 1, 1), moved[:, :, None]], dim=2)


def bent(masks, dice, steps=8):
    """Outlines that wander: masks moved by a smooth random displacement, each as far as takes it to a Dice with itself.

    Args:
        masks: (B, 1, S, S) float in [0, 1].
        dice: to which it falls, about.
        steps: halvings of the reach, from a fifth of the side.

    Returns:
        (B, 1, S, S) float; a mask without lung as it was.
    """
    size, generator = masks.shape[-1], torch.Generator().manual_seed(0)
    nodes = torch.randn(len(masks), 2, ELASTIC_NODES, ELASTIC_NODES, generator=generator).to(masks)
    field = F.interpolate(nodes, (size, size), mode="bicubic").permute(0, 2, 3, 1)
    still = F.affine_grid(torch.eye(2, 3).to(masks)[None], [1, 1, size, size], align_corners=False)
    whole = masks > 0.5
    low, high = masks.new_zeros(len(masks), 1, 1, 1), masks.new_full((len(masks), 1, 1, 1), 0.4)
    for _ in range(steps):
        reach = (low + high) / 2
        moved = F.grid_sample(masks, still + reach * field, align_corners=False)
        both, sizes = (whole & (moved > 0.5)).sum((1, 2, 3)), (whole.sum((1, 2, 3)) + (moved > 0.5).sum((1, 2, 3)))
        near = (2 * both >= dice * sizes).view(-1, 1, 1, 1)
        low, high = torch.where(near, reach, low), torch.where(near, high, reach)
    return F.grid_sample(masks, still + low * field, align_corners=False)


def triangular(count, limit):
    return limit * (torch.rand(count) - torch.rand(count))


def collimate(images, masks, depth=0.15, white=0.15):
    """The X-ray field is a quadrilateral inside the picture: outside all is black or, on scanned film, white.

    What the picture does not show is no lung in the mask either.

    Args:
        depth: largest margin outside the field, as a fraction of the side.
        white: probability of white instead of black.
    """
    x, y = axes(images)
    field = torch.ones_like(images, dtype=torch.bool)
    for towards, beside in ((x, y), (-x, y), (y, x), (-y, x)):
        margin = 2 * uniform(images, -depth / 2, depth) + uniform(images, -0.04, 0.04) * beside
        field &= towards > margin - 1
    outside = (uniform(images, 0, 1) < white).float()
    return torch.where(field, images, outside), None if masks is None else torch.where(field, masks, 0)
