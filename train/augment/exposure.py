"""Random changes of grey values, as other detectors, other processing, scanners, films and viewers make them.

Each takes and returns images (B, 1, S, S), float in [0, 1] before, every one changed by figures of its own.
"""

import math
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tvF

from lungfusion.models.image_processing_lungfusion import BRIGHT, DARK
from train.augment.batch import at_resolution, axes, mean_around, uniform


def jitter(images, brightness, contrast):
    """Brightness, and contrast around the mean grey, changed by the given share at most."""
    images = images * uniform(images, 1 - brightness, 1 + brightness)
    mean = images.mean((2, 3), keepdim=True)
    return mean + uniform(images, 1 - contrast, 1 + contrast) * (images - mean)


def gamma(images):
    """Another tone curve: exponents 0.5 … 2, as between a display's and a linear one."""
    return images.clamp(min=1e-4) ** uniform(images, -0.7, 0.7).exp()


def window(images):
    """Another grey window, some so narrow that black and white saturate."""
    low, high = uniform(images, -0.4, 0.25), uniform(images, 0.75, 1.5)
    return (images - low) / (high - low)


def flat(images):
    """Little contrast, anywhere between black and white; plates drawn later may keep it from being stretched."""
    contrast = uniform(images, 0.2, 0.6)
    return uniform(images, 0, 1) * (1 - contrast) + contrast * images


def inverted(images):
    """Bone black."""
    return 1 - images


def equalised(images):
    """Each shade of grey as often as any other."""
    return tvF.equalize((255 * images).byte()).float() / 255


def stretched(images):
    """The image processor's contrast stretch, through which every real image goes; by every 16th pixel."""
    shades = images[..., ::4, ::4].flatten(1)
    low, high = torch.quantile(shades, shades.new_tensor([DARK, BRIGHT]), dim=1).view(2, -1, 1, 1, 1)
    return (images - low) / (high - low).clamp(min=1e-6)


def slope(images):
    """Exposure that falls off to one side (heel effect, an off-centre grid)."""
    x, y = axes(images)
    exposure = 1 + uniform(images, -0.3, 0.3) * x + uniform(images, -0.3, 0.3) * y
    return images * exposure / exposure.amax((2, 3), keepdim=True)


def uneven(images):
    """One side of a line over- or underexposed."""
    x, y = axes(images)
    angle = uniform(images, 0, 2 * math.pi)
    beyond = (x * angle.cos() + y * angle.sin() - uniform(images, -0.3, 0.3)) / uniform(images, 0.02, 0.2)
    return images.lerp(images.clamp(min=1e-4) ** uniform(images, -1.4, 1.4).exp(), beyond.sigmoid())


def local_contrast(images):
    """Local contrast raised or flattened, as multi-frequency processing and CLAHE do."""
    return images + uniform(images, -0.5, 1.3) * (images - at_resolution(images, 24))


def sharpened(images):
    return images + uniform(images, 0.5, 2) * (images - mean_around(images, 1))


def coarse(images, least=1.2, most=3.0):
    """`least` to `most` times fewer pixels, then as many as before: a thumbnail. One factor for the batch."""
    return at_resolution(images, round(images.shape[-1] / float(torch.empty(()).uniform_(least, most))))


def jpeg(images):
    """Saved as JPEGs of quality 15 … 80."""
    saved = []
    for image in (255 * images).byte().cpu().numpy():
        file = BytesIO()
        Image.fromarray(image[0]).save(file, "JPEG", quality=int(torch.randint(15, 81, ())))
        saved.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(saved))[:, None].to(images.device) / 255


def noise(images, least=0.0, most=0.08):
    """Gaussian noise, of a standard deviation of `least` to `most`."""
    return images + uniform(images, least, most) * torch.randn_like(images)


def film(images):
    """Scanned or photographed film: base fog, light that falls off to the corners, paper grain fine and coarse."""
    x, y = axes(images)
    fog, falloff = uniform(images, 0, 0.25), 1 - uniform(images, 0, 0.5) * (x**2 + y**2)
    grain = F.interpolate(torch.randn_like(images[..., ::4, ::4]), images.shape[-2:], mode="bilinear")
    grain = grain * uniform(images, 0, 0.05) + torch.randn_like(images) * uniform(images, 0, 0.05)
    return fog + (1 - fog) * images * falloff + grain


def grid(images):
    """A fine line grid, as of a scatter grid or a screen photographed."""
    x = torch.arange(images.shape[-1], device=images.device)
    return images * (1 + uniform(images, 0.02, 0.08) * torch.sin(2 * math.pi * x / uniform(images, 2, 6)))


def mixed_amplitude(images):
    """The amplitude spectrum mixed with another picture's of the batch; phases, and so shapes, stay.

    As a rule the other picture is of another hospital (Xu et al. 2021, CVPR, "A Fourier-based framework for domain
    generalization").
    """
    spectrum = torch.fft.rfft2(images)
    amplitude, share = spectrum.abs(), uniform(images, 0.2, 1)
    others = amplitude[torch.randperm(len(images), device=images.device)]
    return torch.fft.irfft2(spectrum * (1 - share + share * others / amplitude.clamp(min=1e-6)), s=images.shape[-2:])
