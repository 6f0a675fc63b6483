"""What sets one hospital's pictures apart from another's, changed at random for a whole batch at once.

Per image the transforms of `presets` cost more than a small network on a CPU; as operations on a batch they cost a
tenth of it and run on the accelerator. Each function takes and returns (B, 1, H, W) float in [0, 1]; `sometimes`
applies it to a share of the batch, every image with figures of its own.
"""

import math

import torch
from torch.nn import functional as F

from lungfusion.models.concatenation import compose, halved, sample

FRAME = 1.15  # times the size of the branches' view: what is shown around the lungs, for the view to be moved in


class HospitalAugmentation:
    """Position, exposure, film and amplitude spectrum: image and alpha are moved together, grey values change alone.

    Args:
        size: side of the pictures that come out, pixels.
        region: function of alpha → (B, 2, 3), the part of the picture the branches see (`Concatenation.roi_affine`).
        film: share of the pictures that are made to look like scanned or photographed film.
        fourier: share whose amplitude spectrum is mixed with that of another picture of the batch, as a rule from
            another hospital (Xu et al. 2021, CVPR, "A Fourier-based framework for domain generalization").
        histogram: share whose grey values are distributed somewhat as another picture's of the batch.
        flip: share mirrored; 0 where a finding is of one side.
    """

    def __init__(self, size, region, film=0.35, fourier=0.3, histogram=0.0, flip=0.5):
        self.size, self.region, self.flip = size, region, flip
        self.film, self.fourier, self.histogram = film, fourier, histogram

    def __repr__(self):
        """All settings: what is kept of pictures altered by them is kept under it."""
        settings = {key: value for key, value in vars(self).items() if key != "region"}
        return f"HospitalAugmentation({', '.join(f'{key}={value}' for key, value in settings.items())})"

    def __call__(self, image, alpha):
        """image, alpha: (B, 1, S, S) and (B, 1, s, s) float in [0, 1] → both (B, 1, size, size)."""
        frame = self.region(alpha) * image.new_tensor([FRAME, FRAME, 1.0])
        view = compose(frame, random_affine(len(image), self.flip).to(image.device))
        image, alpha = sample(halved(image, self.size), view, self.size), sample(alpha, view, self.size)
        for share, change in (
            (0.5, gamma),
            (0.3, slope),
            (0.4, local_contrast),
            (0.5, window),
            (0.25, coarse),
            (0.2, jpeg),
            (self.film, film),
            (self.film / 3, grid),
            (self.fourier, mixed_amplitude),
            (self.histogram, mixed_histogram),
            (0.3, noise),
        ):
            image = sometimes(share, change, image)
        return image, alpha


def random_affine(count, flip=0.5, rotation=15, scale=(0.85, 1.2), aspect=1.2, shift=0.08):
    """(count, 2, 3): small turns, magnifications, stretches and shifts, as the mask's errors and patients bring them.

    Args:
        flip: probability of a mirror image.
        rotation: largest turn, degrees; small ones are likelier (triangular), shifts too.
        scale: smallest and largest part seen, times the view.
        aspect: largest ratio of one side's magnification to the other's.
        shift: largest shift, as a fraction of the side.
    """
    angle = torch.deg2rad(triangular(count, rotation))
    zoom = torch.empty(count).uniform_(math.log(scale[0]), math.log(scale[1])).exp()
    stretch = (torch.empty(count).uniform_(-0.5, 0.5) * math.log(aspect)).exp()
    mirror = torch.where(torch.rand(count) < flip, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    dx, dy = 2 * triangular(count, shift), 2 * triangular(count, shift)
    rows = [
        cos * zoom * stretch * mirror,
        -sin * zoom / stretch,
        dx,
        sin * zoom * stretch * mirror,
        cos * zoom / stretch,
        dy,
    ]
    return torch.stack(rows, dim=1).unflatten(1, (2, 3))


def triangular(count, limit):
    return limit * (torch.rand(count) - torch.rand(count))


def sometimes(share, change, image):
    """`change` for a random `share` of a batch."""
    chosen = torch.rand(len(image), device=image.device) < share
    if not chosen.any():
        return image
    image = image.clone()
    image[chosen] = change(image[chosen]).clamp(0, 1)
    return image


def uniform(image, low, high):
    """A number for each image of a batch: (B, 1, 1, 1)."""
    return torch.empty(len(image), 1, 1, 1, device=image.device).uniform_(low, high)


def axes(image):
    """x (W,) and y (H, 1), both from −1 to 1."""
    height, width = image.shape[-2:]
    return torch.linspace(-1, 1, width, device=image.device), torch.linspace(-1, 1, height, device=image.device)[
        :, None
    ]


def gamma(image):
    """Another tone curve: exponents 0.5 … 2."""
    return image.clamp(min=1e-4) ** uniform(image, -0.7, 0.7).exp()


def slope(image):
    """Exposure that falls off to one side (heel effect)."""
    x, y = axes(image)
    exposure = 1 + uniform(image, -0.3, 0.3) * x + uniform(image, -0.3, 0.3) * y
    return image * exposure / exposure.amax((2, 3), keepdim=True)


def local_contrast(image):
    """Local contrast raised or flattened, as multi-frequency processing and CLAHE do."""
    around = mean_around(mean_around(image, image.shape[-1] // 32), image.shape[-1] // 32)
    return image + uniform(image, -0.5, 1.3) * (image - around)


def mean_around(image, reach):
    """Mean of the pixels up to `reach` away in rows and columns, of those within the image."""
    for kernel, padding in (((2 * reach + 1, 1), (reach, 0)), ((1, 2 * reach + 1), (0, reach))):
        image = F.avg_pool2d(image, kernel, stride=1, padding=padding, count_include_pad=False)
    return image


def window(image):
    """Another grey window, some so narrow that black and white saturate."""
    low, high = uniform(image, -0.4, 0.25), uniform(image, 0.75, 1.5)
    return (image - low) / (high - low)


def coarse(image):
    """Fewer pixels, then as many as before: a thumbnail, a photograph of a screen. One factor for the batch."""
    side = round(image.shape[-1] / float(torch.empty(()).uniform_(1.2, 3)))
    small = F.interpolate(image, (side, side), mode="bilinear", antialias=True)
    return F.interpolate(small, image.shape[-2:], mode="bilinear")


def jpeg(image):
    """What a JPEG of quality 15 … 80 keeps."""
    return quantised(image, uniform(image, 15, 80))


def quantised(image, quality):
    """A grey JPEG's loss: cosine transform of 8 × 8 blocks, rounded by the table of ITU-T T.81, K.1, and back.

    Args:
        image: (B, 1, H, W) float in [0, 1].
        quality: (B, 1, 1, 1) float, 1 … 100, as libjpeg scales that table.
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, (0, -width % 8, 0, -height % 8), mode="replicate")
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    step = (LUMINANCE.to(image) * scale + 0.5).floor().clamp(1, 255)[:, :, :, None]  # (B, 1, 8, 1, 8)
    blocks = (255 * padded - 128).unflatten(3, (-1, 8)).unflatten(2, (-1, 8))[:, 0]  # (B, H/8, 8, W/8, 8)
    cosines = COSINES.to(image)
    waves = torch.einsum("ki,bhiwj,lj->bhkwl", cosines, blocks, cosines)
    blocks = torch.einsum("ki,bhkwl,lj->bhiwj", cosines, (waves / step).round() * step, cosines)
    kept = blocks.flatten(3).flatten(1, 2)[:, None, :height, :width]
    return (kept + 128) / 255


LUMINANCE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
WAVES = torch.arange(8)
COSINES = ((2 * WAVES + 1) * WAVES[:, None] * math.pi / 16).cos() / 2 * torch.where(WAVES == 0, 0.5**0.5, 1)[:, None]


def film(image):
    """Scanned or photographed film: base fog, light that falls off to the corners, paper grain fine and coarse."""
    x, y = axes(image)
    fog, falloff = uniform(image, 0, 0.25), 1 - uniform(image, 0, 0.5) * (x**2 + y**2)
    grain = F.interpolate(torch.randn_like(image[..., ::4, ::4]), image.shape[-2:], mode="bilinear")
    grain = grain * uniform(image, 0, 0.05) + torch.randn_like(image) * uniform(image, 0, 0.05)
    return fog + (1 - fog) * image * falloff + grain


def grid(image):
    """A fine line grid, as of a scatter grid or a screen photographed."""
    x = torch.arange(image.shape[-1], device=image.device)
    return image * (1 + uniform(image, 0.02, 0.08) * torch.sin(2 * math.pi * x / uniform(image, 2, 6)))


def mixed_amplitude(image):
    """The amplitude spectrum mixed with another picture's of the batch; phases, and so shapes, stay."""
    spectrum = torch.fft.rfft2(image)
    share, other = uniform(image, 0.2, 1), torch.randperm(len(image), device=image.device)
    amplitude = (1 - share) * spectrum.abs() + share * spectrum[other].abs()
    return torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), s=image.shape[-2:])


def mixed_histogram(image):
    """Grey values moved, by a random share of the way, to those of the same rank in another picture of the batch."""
    flat = image.flatten(1)
    ordered = flat.sort(1).values
    ranks = torch.searchsorted(ordered, flat).clamp(max=flat.shape[1] - 1)
    others = ordered[torch.randperm(len(image), device=image.device)].gather(1, ranks).view_as(image)
    return image + uniform(image, 0, 1) * (others - image)


def noise(image):
    return image + uniform(image, 0, 0.08) * torch.randn_like(image)
