"""Disease painted into lungs whose mask is known, which stays as it is: lungs that are white are lungs.

Segmenters lose what they never saw: masks drawn by hand are of the fairly healthy, and a teacher that draws the others
leaves out what is white. So the white is painted: consolidation of a lobe or in patches, effusion, a lung white as a
whole, dense bases, haze. For a whole batch at once, on its device.
"""

import torch
from torch.nn import functional as F

from lungfusion.models.concatenation import inverse, lung_frame
from train.augment.batch import at_resolution, mean_around, uniform

BOTH = 0.4  # share of the painted whose two lungs are ill, each in its own way


def white_lungs(image, alpha):
    """Paint one of `OPACITIES` into one lung or both of each image.

    Args:
        image: (B, 1, S, S) float in [0, 1], bone white.
        alpha: (B, 1, S, S) float in [0, 1], its lungs.

    Returns:
        (B, 1, S, S) float in [0, 1]: nowhere darker, brighter in the lungs, and in a rim of S/64 around them, since a
        mask is not exact: a dark seam along it would tell where the lung ends.
    """
    lungs = places_in_lungs(alpha)
    kind = torch.randint(len(OPACITIES), (len(image),), device=image.device)
    density = torch.zeros_like(lungs[:, 0])
    for number, opacity in enumerate(OPACITIES):
        chosen = kind == number
        if chosen.any():
            _, height, lateral = lungs[chosen].unbind(1)
            density[chosen] = opacity(height, lateral)
    first = torch.rand(len(image), device=image.device) < 0.5
    affected = torch.stack([first, ~first], 1) | (torch.rand(len(image), 1, device=image.device) < BOTH)
    density = density * each_lung(density, 0.5, 1) * affected[:, :, None, None]
    density = (density * lungs[:, 0]).sum(1, keepdim=True).clamp(0, 1)
    detail = image - at_resolution(image, 24)
    white = soft_tissue(image, alpha) * (1 + 0.1 * clouds(image, (3, 6))) + uniform(image, 0.2, 0.9) * detail
    return (image + density * (white - image).clamp(min=0)).clamp(0, 1)


def places_in_lungs(alpha):
    """Where each pixel lies in the lung of its side.

    Args:
        alpha: (B, 1, S, S) float in [0, 1].

    Returns:
        (B, 3, 2, S, S) float in [0, 1], for the lung on the image's left and the other: whether it is there, softly
        and with the rim; how far down, 0 at its apex and 1 at its base; how far out, 0 at its inner and 1 at its outer
        border. Up and down are those of the patient, who may be tilted.
    """
    side = alpha.shape[-1]
    place = (2 * torch.arange(side, device=alpha.device) + 1) / side - 1
    x, y = place.view(1, 1, 1, -1), place.view(1, 1, -1, 1)
    turn = inverse(lung_frame(alpha))[..., None, None, None]  # (B, 2, 3, 1, 1, 1)
    across, down = (turn[:, row, 0] * x + turn[:, row, 1] * y + turn[:, row, 2] for row in (0, 1))  # (B, 1, S, S)
    sides = torch.cat([across < 0, across >= 0], dim=1)
    reach = max(1, side // 128)
    rim = mean_around(F.max_pool2d(alpha, 2 * reach + 1, stride=1, padding=reach), reach)
    inside = sides & (alpha > 0.5)
    return torch.stack([sides * rim, share_of_range(down, inside), share_of_range(across.abs(), inside)], dim=1)


def share_of_range(value, inside):
    """value (B, 1, S, S) → (B, 2, S, S) in [0, 1]: 0 at its least and 1 at its largest `inside` (B, 2, S, S) bool."""
    least = torch.where(inside, value, 9.0).amin((2, 3), keepdim=True)
    largest = torch.where(inside, value, -9.0).amax((2, 3), keepdim=True)
    return ((value - least) / (largest - least).clamp(min=1e-3)).clamp(0, 1)


def soft_tissue(image, alpha):
    """How bright the chest is around the lungs, between its mean and its bones: (B, 1, 1, 1)."""
    cell = max(1, image.shape[-1] // 64)
    small, lungs = F.avg_pool2d(image, cell), F.avg_pool2d(alpha, cell)
    ring = (F.max_pool2d(lungs, 9, stride=1, padding=4) > 0.5) & (lungs < 0.1)
    count = ring.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (small * ring).sum((2, 3), keepdim=True) / count
    deviation = ((small - mean).square() * ring).sum((2, 3), keepdim=True).div(count).sqrt()
    return (mean + uniform(image, 0, 1.8) * deviation).clamp(0.3, 1)


def clouds(image, cells):
    """Smooth noise of variance about 1, as many bright and dark places along a side as `cells` says: (B, 1, S, S)."""
    noise = [torch.randn(len(image), 1, n, n, device=image.device) for n in cells]
    layers = [F.interpolate(layer, image.shape[-2:], mode="bicubic", align_corners=True) for layer in noise]
    return sum(layers) / len(layers) ** 0.5 / 0.75


def each_lung(lungs, low, high):
    """A number for each lung: (B, 2, 1, 1)."""
    return torch.empty(len(lungs), 2, 1, 1, device=lungs.device).uniform_(low, high)


def lobe(height, lateral):
    """Consolidation between two fissures, which slope and are not straight."""
    depth = height + each_lung(height, -0.4, 0.4) * (lateral - 0.5) + 0.04 * clouds(height, (4, 8))
    top, softness = each_lung(height, -0.3, 0.6), each_lung(height, 0.01, 0.08)
    bottom = top + each_lung(height, 0.3, 0.8)
    return ((depth - top) / softness).sigmoid() * ((bottom - depth) / softness).sigmoid()


def patches(height, lateral):
    """Patchy consolidation, as of bronchopneumonia."""
    return ((clouds(height, (5, 10, 20)) - each_lung(height, -0.5, 0.8)) / each_lung(height, 0.1, 0.6)).sigmoid()


def effusion(height, lateral):
    """Fluid from the base up to a level that rises to the outer chest wall (meniscus)."""
    level = each_lung(height, 0.2, 0.9) - each_lung(height, 0, 0.4) * lateral**3
    return ((height - level) / each_lung(height, 0.01, 0.06)).sigmoid()


def whole(height, lateral):
    """A lung that is white from apex to base: collapsed, or full."""
    return torch.ones_like(height) * each_lung(height, 0.85, 1.6).clamp(max=1)


def base(height, lateral):
    """Dense towards the base: little breath taken, soft tissue in front, a stasis."""
    return height ** each_lung(height, 0.8, 4)


def haze(height, lateral):
    """Both lungs veiled unevenly, as in intensive care."""
    return (each_lung(height, 0.3, 0.9) * (1 + 0.3 * clouds(height, (3, 6)))).clamp(0, 1)


OPACITIES = (lobe, patches, effusion, whole, base, haze)
