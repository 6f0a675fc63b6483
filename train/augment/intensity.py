"""Random changes of grey levels, as other detectors, other processing, scanners and viewers make them.

Each takes an image (1, H, W) float in [0, 1] and returns the same; the mask stays as it is (`OfImage`).
"""

import math
from functools import cache
from io import BytesIO

import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvF

from train.augment.spatial import uniform

WORDS = ("R", "L", "AP", "PA", "ERECT", "SUPINE", "PORTABLE", "MOBILE AP", "12:41", "1.7", "SID 180 CM")


class OfImage(v2.Transform):
    """A function of the image alone as a transform of image and mask."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def transform(self, inpt, params):
        if isinstance(inpt, tv_tensors.Mask):
            return inpt
        return tv_tensors.wrap(self.function(inpt.as_subclass(torch.Tensor)), like=inpt)


def window(image):
    """Another grey window: brighter, darker, softer, harder, or so narrow that black and white saturate."""
    low, high = uniform(-0.4, 0.2), uniform(0.8, 1.5)
    return ((image - low) / (high - low)).clamp(0, 1)


def gamma(image):
    """Another tone curve, exponents 0.5 … 2, as between a display's and a linear one."""
    return image ** math.exp(uniform(-0.7, 0.7))


def slope(image):
    """Exposure that falls off to one side (heel effect, an off-centre grid)."""
    x, y = torch.linspace(-1, 1, image.shape[-1]), torch.linspace(-1, 1, image.shape[-2])[:, None]
    exposure = 1 + uniform(-0.3, 0.3) * x + uniform(-0.3, 0.3) * y
    return image * exposure / exposure.max()


def local_contrast(image):
    """Local contrast raised or flattened, as multi-frequency processing and local equalisation (CLAHE) do."""
    height, width = image.shape[-2:]
    around = F.avg_pool2d(image[None], max(height, width) // 32)
    around = F.interpolate(F.avg_pool2d(around, 5, 1, 2, count_include_pad=False), (height, width), mode="bilinear")[0]
    return (image + uniform(-0.4, 1.2) * (image - around)).clamp(0, 1)


def coarse(image):
    """Down- and upsampled: a thumbnail, a photograph of a screen."""
    small = [round(side / uniform(1.5, 4)) for side in image.shape[-2:]]
    return tvF.resize(tvF.resize(image, small, antialias=True), list(image.shape[-2:])).clamp(0, 1)


def noise(image):
    """Gaussian noise of random strength."""
    return (image + uniform(0, 0.08) * torch.randn_like(image)).clamp(0, 1)


def jpeg(image):
    """Saved as a JPEG of quality 15 … 80."""
    file = BytesIO()
    tvF.to_pil_image(image).save(file, "JPEG", quality=torch.randint(15, 81, ()).item())
    return tvF.pil_to_tensor(Image.open(file)) / 255


def burn_in(image):
    """Up to three cut-out rectangles (a pacemaker, a black name plate, a marker) and up to two words, anywhere."""
    height, width = image.shape[-2:]
    picture = Image.fromarray(image[0].numpy())
    draw = ImageDraw.Draw(picture)
    for _ in range(torch.randint(4, ()).item()):
        left, top = uniform(-0.05, 0.95) * width, uniform(-0.05, 0.95) * height
        size = uniform(0.03, 0.2) * width, uniform(0.03, 0.15) * height
        draw.rectangle((left, top, left + size[0], top + size[1]), fill=uniform(0, 1))
    for _ in range(torch.randint(3, ()).item()):
        word, place = WORDS[torch.randint(len(WORDS), ())], (uniform(0, 0.9) * width, uniform(0, 0.95) * height)
        draw.text(place, word, fill=float(uniform(0, 1) < 0.8), font=font(round(uniform(0.03, 0.08) * height)))
    return tvF.pil_to_tensor(picture)


@cache
def font(size):
    return ImageFont.load_default(size)
