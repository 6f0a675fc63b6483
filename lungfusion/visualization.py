"""What a person sees of an analysis, as PIL images.

Those to look at have sides of at most `MAX_SIDE` pixels, so that a browser stays quick; the mask keeps the
radiograph's size. Layers are transparent pictures to be laid over `radiograph_image`.
"""

import base64
from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter

from .analysis import Analysis

MAX_SIDE = 1024  # pixels
CONTOUR_COLOUR = (86, 180, 233)  # sky blue of Okabe and Ito 2008: told from greys and heat by the colour-blind too
CONTOUR_WIDTH = 0.004  # of the picture's longer side
HEAT_OPACITY = 0.6  # where saliency is 1
COLD = 0.3  # saliency up to which a layer of heat is transparent
HEAT_COLOURS = np.array(  # matplotlib's plasma (Smith and van der Walt 2015) at nine even steps: perceptually uniform
    [(13, 8, 135), (76, 2, 161), (126, 3, 168), (170, 35, 149), (204, 71, 120),
     (230, 108, 92), (248, 149, 64), (253, 197, 39), (240, 249, 33)]
)  # fmt: skip

ENCODING = {"PNG": {"compress_level": 1}, "JPEG": {"quality": 92}}  # quick; the pictures are sent once


def radiograph_image(analysis: Analysis) -> Image.Image:
    """The radiograph: mode L."""
    return grey_image(analysis.radiograph.pixels)


def overlay_image(analysis: Analysis) -> Image.Image:
    """The radiograph with a line around the lungs, where alpha is 0.5: mode RGB."""
    return with_contour(as_rgb(reduced(analysis.radiograph.pixels)), reduced(analysis.alpha))


def masked_image(analysis: Analysis) -> Image.Image:
    """The radiograph times alpha, so that the background is black: mode L."""
    return grey_image(analysis.radiograph.pixels * analysis.alpha)


def mask_image(analysis: Analysis) -> Image.Image:
    """Alpha, as large as the radiograph, 255 in the lungs: mode L."""
    return Image.fromarray(as_bytes(255 * analysis.alpha))


def cut_out_image(analysis: Analysis) -> Image.Image:
    """The lungs cut out, as large as the radiograph: mode RGBA, alpha is the mask; black where alpha is 0."""
    alpha = as_bytes(255 * analysis.alpha)
    grey = as_bytes(255 * analysis.radiograph.pixels) * (alpha > 0)
    return Image.fromarray(np.stack([grey, grey, grey, alpha], axis=-1))


def saliency_image(analysis: Analysis, saliency: np.ndarray) -> Image.Image:
    """A heat map over the radiograph, with a line around the lungs: mode RGB.

    saliency: (H, W) float in [0, 1], as `LungFusionPipeline.explain` gives it.
    """
    heat = reduced(saliency)
    picture = blend(as_rgb(reduced(analysis.radiograph.pixels)), heat_colours(heat), HEAT_OPACITY * heat)
    return with_contour(picture, reduced(analysis.alpha))


def background_layer(analysis: Analysis) -> Image.Image:
    """Black outside the lungs, nothing inside: mode P."""
    return layer(1 - reduced(analysis.alpha), np.zeros((256, 3)))


def heat_layer(saliency: np.ndarray) -> Image.Image:
    """A heat map, the more opaque the hotter and nothing at all where it is cold: mode P.

    saliency: (h, w) float in [0, 1], of any geometry.
    """
    return layer(((saliency - COLD) / (1 - COLD)).clip(0, 1), heat_colours(np.linspace(COLD, 1, 256)))


def layer(opacity: np.ndarray, colours: np.ndarray) -> Image.Image:
    """opacity (h, w) float in [0, 1], the colour of each of its 256 levels (256, 3) in [0, 255] → a picture, mode P."""
    picture = Image.fromarray(as_bytes(255 * opacity), "P")
    picture.putpalette(as_bytes(colours).tobytes())
    picture.info["transparency"] = bytes(range(256))
    return picture


def heat_colours(heat: np.ndarray) -> np.ndarray:
    """(…) float in [0, 1] → (…, 3) float in [0, 255]."""
    steps = np.linspace(0, 1, len(HEAT_COLOURS))
    return np.stack([np.interp(heat, steps, channel) for channel in HEAT_COLOURS.T], axis=-1)


def grey_image(values: np.ndarray) -> Image.Image:
    """(H, W) float in [0, 1] → a picture to look at: mode L."""
    return Image.fromarray(as_bytes(255 * reduced(values)))


def reduced(values: np.ndarray, max_side: int = MAX_SIDE) -> np.ndarray:
    """(H, W) float → (h, w) float32 of the same proportions, no side longer than `max_side`."""
    scale = min(1, max_side / max(values.shape))
    return reduced_to(values, tuple(max(1, round(scale * side)) for side in values.shape))


def reduced_to(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) float → float32 of the given shape."""
    picture = Image.fromarray(np.asarray(values, np.float32))
    return np.asarray(picture.resize(shape[::-1], Image.Resampling.BOX))


def as_rgb(values: np.ndarray) -> np.ndarray:
    """(h, w) float in [0, 1] → (h, w, 3) float in [0, 255]."""
    return np.repeat(255 * values[..., None], 3, axis=-1)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Float in [0, 255] → uint8, rounded."""
    return np.round(values).clip(0, 255).astype(np.uint8)


def blend(picture: np.ndarray, colours, opacity: np.ndarray) -> np.ndarray:
    """picture (h, w, 3) under colours (h, w, 3) or (3,), opacity (h, w) in [0, 1] → (h, w, 3)."""
    return picture + (colours - picture) * opacity[..., None]


def with_contour(picture: np.ndarray, alpha: np.ndarray) -> Image.Image:
    """picture (h, w, 3) in [0, 255], alpha (h, w) in [0, 1] → the picture with the contour on it: mode RGB."""
    return Image.fromarray(as_bytes(blend(picture, CONTOUR_COLOUR, contour(alpha))))


def contour(alpha: np.ndarray) -> np.ndarray:
    """alpha (h, w) in [0, 1] → opacity (h, w) in [0, 1] of an antialiased line along alpha = 0.5.

    A blurred straight edge is a normal distribution of the distance to it, so the blur's inverse (here that of the
    logistic distribution, which is close to it) gives the distance in pixels.
    """
    width = max(1.5, CONTOUR_WIDTH * max(alpha.shape))
    inside = Image.fromarray(as_bytes(255.0 * (alpha > 0.5)))
    share = np.asarray(inside.filter(ImageFilter.GaussianBlur(width))) / 255
    share = share.clip(1e-3, 1 - 1e-3)
    distance = width / 1.7 * np.log(share / (1 - share))
    return (width / 2 + 0.5 - abs(distance)).clip(0, 1)


def picture_address(picture: Image.Image, format: str = "PNG") -> str:
    """A picture as an address for HTML, which holds it: as PNG, or as JPEG where it is only looked at."""
    file = BytesIO()
    picture.save(file, format, **ENCODING[format])
    return data_address(file.getvalue(), f"image/{format.lower()}")


def data_address(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
