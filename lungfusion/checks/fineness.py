"""How much a picture resolves, whatever its number of pixels: by its spectrum within the lungs."""

import numpy as np
from PIL import Image

from ..models.mask_postprocessing import box_of

MOST = 512  # pixels of the shorter side: nothing finer is asked for
LEAST_BOX = 48  # pixels of the lungs' box, in which a spectrum can be measured
COARSE = 24  # pixels of a side that show the lungs' outlines: what is finer is compared with that
TESTED = 0.7  # of the shorter side: a good picture's own limit comes close above
NOISE_FROM = 0.45  # cycles a pixel, from where on there is but noise
# Pixels of a side → amplitude of what is finer, as a share of all that is finer than `COARSE`, below which a picture
# resolves no more. The lowest 2 in 100 of real radiographs of seven hospitals have 1.1 times that and more; of pictures
# enlarged from so many pixels or fewer, or blurred as much, the highest have less, there or one step further.
LIMITS = {48: 0.36, 64: 0.22, 96: 0.15, 128: 0.09, 160: 0.065, 200: 0.065, 256: 0.065}
BLOCK = 8  # pixels: of JPEG
MAX_BLOCKINESS = 2.0  # steps between blocks, of those within: real ones have 1.3, JPEG of quality 20 has 2.3, of 10 3.4
SEEN_OF_BLOCK = 3 / 8  # of the frequencies in a block that so coarse a JPEG keeps


def effective_side(pixels, lungs):
    """How many pixels the picture's shorter side would need for what it resolves: at most those that it has.

    Args:
        pixels: (H, W) float32 array in [0, 1].
        lungs: (S, S) bool array, that fits when stretched over it; the middle of the picture is looked at if empty.

    Returns:
        float.
    """
    side = min(pixels.shape)
    rows, columns = lungs_box(lungs, pixels.shape)
    part = pixels[rows, columns]
    if min(part.shape) < LEAST_BOX:
        return float(side)
    resolved = SEEN_OF_BLOCK * side if blockiness(part) > MAX_BLOCKINESS else side
    if side > MOST:
        size = [max(1, round(length * MOST / side)) for length in part.shape[::-1]]
        part = np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize(size, Image.Resampling.BOX))
    return float(min(resolved, limit_of_spectrum(part, min(side, MOST))))


def lungs_box(lungs, shape):
    """The lungs' box in a picture of that shape: two slices."""
    box = box_of(lungs) if lungs.any() else [slice(round(0.15 * side), round(0.85 * side)) for side in lungs.shape]
    scales = (length / side for length, side in zip(shape, lungs.shape, strict=True))
    return tuple(slice(int(end.start * s), int(end.stop * s)) for end, s in zip(box, scales, strict=True))


def limit_of_spectrum(part, side):
    """The first of `LIMITS` that a part of a picture, its shorter side so many pixels, does not reach; else infinity.

    White noise, as of rounding to 256 greys, is measured where nothing else is and does not count.
    """
    part = (part - part.mean()) * np.hanning(part.shape[0])[:, None] * np.hanning(part.shape[1])
    power = np.abs(np.fft.rfft2(part)) ** 2
    cycles = np.hypot(np.fft.fftfreq(part.shape[0])[:, None], np.fft.rfftfreq(part.shape[1]))
    noise = power[cycles > NOISE_FROM].mean()

    def beyond(pixels):
        finer = cycles >= pixels / (2 * side)
        return np.sqrt(max(0.0, power[finer].sum() - noise * finer.sum()))

    whole = beyond(COARSE)
    tested = [pixels for pixels in LIMITS if pixels <= TESTED * side]
    return next((pixels for pixels in tested if beyond(pixels) < LIMITS[pixels] * whole), np.inf)


def blockiness(part):
    """How much larger the steps between a JPEG's blocks are than those within: of rows and columns the lesser."""
    found = []
    for picture in (part, part.T):
        steps = np.abs(np.diff(picture, axis=1)).mean(0)
        by_place = steps[: len(steps) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(0)
        found.append(by_place.max() / max(np.median(by_place), 1e-6))
    return min(found)
