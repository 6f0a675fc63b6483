"""Arrays of any type → grey in [0, 1]: which value is white, what colours weigh, and which values don't count.

A burned-in marker or a hot pixel may lie far from everything else. It must not decide how bright the rest is shown, so
the range of a picture is that of its values without outliers: those farther from the middle 90 % than that is wide.
"""

import numpy as np

from .errors import check_size, refusal

DEPTHS = (8, 10, 12, 14, 16)  # bits that detectors and files use
LUMA = np.array([19595, 38470, 7471]) / 65536  # ITU-R 601 as Pillow rounds it: exact in float64, and sums to exactly 1
_TAIL = 0.05  # of the pixels at either end, that may be outliers
_BAND = 256  # rows converted at a time: wider types than the result's take memory for these only
_CLOSE = 1 / 32  # of all greys: as near lie neighbours that jumped, if black and white are the same
# Shares of neighbouring pixels that jump so. Of 4,360 real radiographs 0.00053 at most; where numbers overflowed in a
# hundredth of the picture or more, 0.0006 and more in 97 of 100.
_SOME_JUMPS, _MANY_JUMPS = 0.0002, 0.0008
# Of jumps of more than three quarters, what may remain with another grey as the beginning: of few, and of many.
_HARDLY_ANY, _FEWER, _FEW = 0.05, 0.3, 0.002
# With every grey as the beginning: so many jumps are strewn over a picture that kept its low bits alone. Real
# radiographs have 0.0008 at most, pages of text 0.0007; low bytes of 10 bits and more 0.011 at least.
_STREWN = 0.01
_STRAIGHT = 0.25  # of a row or column of a quarter: where so much of it jumps, a line was drawn or a shutter ends
_ROUGH = 3 / 16  # of all greys, from one pixel to the next where it may begin anew: in noise a quarter
_LOOKED_AT = 256  # rows and columns of a quarter
_BEGINNINGS = 128  # greys that are tried as black
_SAMPLE = 2**20  # values from which percentiles of floats are taken


def bands(array: np.ndarray) -> list[slice]:
    """Slices that take an array _BAND rows at a time."""
    return [slice(start, start + _BAND) for start in range(0, len(array), _BAND)]


def array_pixels(array: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W), (H, W, C) or (C, H, W) as a user gives it → (H, W) float32 in [0, 1], its colour.

    Of a masked array what is masked is black. Axes of length 1 before these are left out.

    Raises RadiographError for other shapes and types, and for values out of range: floats must lie in [0, 1], integers
    in 0 to 65535.
    """
    if isinstance(array, np.ma.MaskedArray):
        array = array.filled(0)
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise refusal("array_shape")
    check_size(array.shape[1], array.shape[0])
    if array.dtype.kind not in "biuf":
        raise refusal("array_dtype")
    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and not 0 <= low <= high <= 1:  # also where there is a NaN
        raise refusal("array_floats")
    if array.dtype.kind in "iu" and (low < 0 or high >= 2 ** DEPTHS[-1]):
        raise refusal("array_integers")
    return decoded_pixels(array)


def decoded_pixels(array: np.ndarray, inverted: bool = False) -> tuple[np.ndarray, float]:
    """What a decoder made of a file: (H, W), or (H, W, C) of C = 2 grey and alpha, 3 RGB, 4 RGBA → as `array_pixels`.

    Values that `array_pixels` refuses are spread from their minimum to their maximum, without outliers. Where alpha is
    greatest nothing shines through; one that is the same everywhere says nothing. inverted: 0 is white.
    """
    colours = array if array.ndim == 2 else array[..., 0] if array.shape[2] == 2 else array[..., :3]
    black, white = black_and_white(colours)
    steps = 256 if array.dtype.kind == "f" else int(white) + 1
    counted = white == 1 if array.dtype.kind == "f" else array.dtype.kind != "b" and colours.max() <= white < 2**16
    if black == 0 and counted and _is_grey(colours, white):
        grey = colours if colours.ndim == 2 else colours[..., 1]
        if (turned := continuous(grey, steps)) is not grey:
            colours, white = turned, np.float32(steps - 1)
    alpha = array[..., -1] if array.shape[2:] in ((2,), (4,)) else None
    if alpha is not None and (opaque := np.float32(alpha.max())) == alpha.min():
        alpha = None
    pixels = np.empty(array.shape[:2], np.float32)
    for rows in bands(array):
        grey = _luma(colours[rows])
        scaled = grey.astype(np.float32) / white if black == 0 else (grey.astype(np.float64) - black) / (white - black)
        pixels[rows] = scaled
        np.clip(pixels[rows], 0, 1, out=pixels[rows])
        if inverted:
            np.subtract(1, pixels[rows], out=pixels[rows])
        if alpha is not None:
            pixels[rows] *= alpha[rows].astype(np.float32) / opaque
    if colours.ndim == 2:
        return pixels, 0.0
    sample = colours[::4, ::4].astype(np.float32)  # every 16th pixel says enough of the colour
    return pixels, _colour(np.clip((sample - black) / (white - black), 0, 1))


def continuous(values: np.ndarray, modulus: int) -> np.ndarray:
    """(H, W) integers from 0 to modulus − 1, or floats in [0, 1] of so many steps, as they are, or as integers turned
    about so that no smooth region jumps.

    Numbers that were added to beyond their range, or whose sign was mistaken, begin anew at black where they should be
    white: lines of jumps run through the picture. Another beginning then makes it continuous.

    Raises:
        RadiographError: the picture jumps, and no beginning makes it continuous, as when its high bits are lost.
    """
    if values.dtype.kind != "f":
        modulus = min(modulus, max(256, 1 << int(values.max()).bit_length()))  # fewer bits may have been kept than said
    one, other, pairs = _steep_pairs(values, modulus)
    _check_high_bits(one, other, pairs, modulus)
    begin = _beginning(one, other, pairs, modulus)
    if begin == 0:
        return values
    turned = np.empty(values.shape, np.uint16)
    for rows in bands(values):
        turned[rows] = (_in_steps(values[rows], modulus).astype(np.int64) - begin) % modulus
    return turned


def _is_noise(one: np.ndarray, other: np.ndarray, modulus: int) -> bool:
    """Whether it is no picture, however it is read. It takes a while, and is asked where there are jumps."""
    apart = np.abs(one - other)
    return np.median(np.minimum(apart, modulus - apart)) > _ROUGH * modulus


def _check_high_bits(one: np.ndarray, other: np.ndarray, pairs: int, modulus: int) -> None:
    """Raises RadiographError where jumps are strewn over the picture, whichever grey it may begin at: low bytes alone
    were kept.
    """
    far = np.count_nonzero(np.abs(one - other) > 3 * modulus // 4)
    if far <= _STREWN * pairs or _is_noise(one, other, modulus):
        return
    if _jumps_by_beginning(one, other, pairs, modulus)[1].min() > _STREWN:
        raise refusal("wrapped")


def _beginning(one: np.ndarray, other: np.ndarray, pairs: int, modulus: int) -> int:
    """The grey that should be black, of numbers that were added to beyond their range; 0 where they were not.

    Raises:
        RadiographError: they were, and no beginning makes the picture continuous.
    """
    close = _close_jumps(one, other, modulus) / pairs
    if close <= _SOME_JUMPS or _is_noise(one, other, modulus):
        return 0
    begins, shares = _jumps_by_beginning(one, other, pairs, modulus)
    if shares.min() > _HARDLY_ANY * shares[0]:
        if close <= _MANY_JUMPS:
            return 0
        if shares.min() > min(_FEW, _FEWER * shares[0]):
            raise refusal("wrapped")
    return int(begins[_end_of_longest_run(shares <= shares.min() + _HARDLY_ANY * shares[0])])


def _end_of_longest_run(marked: np.ndarray) -> int:
    """Where the longest run of true values in a ring (N,) ends."""
    ends = np.flatnonzero(marked & ~np.roll(marked, -1))
    if not len(ends):
        return len(marked) - 1
    others = np.flatnonzero(~marked)
    lengths = [(end - others[others < end].max(initial=others.max() - len(marked))) for end in ends]
    return int(ends[np.argmax(lengths)])


def is_continuous(values: np.ndarray, modulus: int) -> bool:
    """Whether (H, W) integers from 0 to modulus − 1 have hardly any jumps."""
    first, second, pairs = _steep_pairs(values, modulus)
    return _close_jumps(first, second, modulus) <= _SOME_JUMPS * pairs


def _close_jumps(one: np.ndarray, other: np.ndarray, modulus: int) -> int:
    return np.count_nonzero(modulus - np.abs(one - other) < _CLOSE * modulus)


def _quarters(values: np.ndarray) -> list[np.ndarray]:
    """Its quarters; of a large picture the middle of each, whose pixels are still neighbours."""
    parts = [quarter for half in np.array_split(values, 2) for quarter in np.array_split(half, 2, axis=1)]
    return [part[tuple(_middle(length, _LOOKED_AT) for length in part.shape)] for part in parts]


def _middle(length: int, most: int) -> slice:
    """The middle of so many places."""
    start = max(0, length - most) // 2
    return slice(start, start + most)


def _steep_pairs(values: np.ndarray, modulus: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Neighbours of (H, W) that lie neither between two plateaus nor along a straight line, as letters and frames make
    them: two (n,) arrays, and how many pairs there were.
    """
    kept, pairs, flat = [], 0, modulus // 256  # how far greys of a plateau may lie apart
    for part in _quarters(values):
        part = _in_steps(part, modulus).astype(np.int32)
        for lines in (part, part.T):
            before, one, other, after = (lines[:, i : lines.shape[1] - 3 + i] for i in range(4))
            steep = (np.abs(one - before) > flat) | (np.abs(after - other) > flat)
            steep &= (modulus - np.abs(one - other) < _CLOSE * modulus).mean(0) < _STRAIGHT
            kept.append((one[steep], other[steep]))
            pairs += steep.size
    return *map(np.concatenate, zip(*kept, strict=True)), pairs


def _in_steps(values: np.ndarray, modulus: int) -> np.ndarray:
    """Integers as they are; floats in [0, 1] as the nearest of so many steps."""
    return np.rint(values * (modulus - 1)) if values.dtype.kind == "f" else values


def _is_grey(colours: np.ndarray, white: float) -> bool:
    """Whether (H, W) or (H, W, 3) has no colour, but for what JPEG leaves of it."""
    if colours.ndim == 2:
        return True
    channels = colours[::4, ::4].astype(np.float32)
    return float((channels.max(2) - channels.min(2)).max()) <= white / 100


def _jumps_by_beginning(one: np.ndarray, other: np.ndarray, pairs: int, modulus: int) -> tuple[np.ndarray, np.ndarray]:
    """Greys that are tried as black, from 0 on, and the share of the pairs that then lie more than three quarters of
    the range apart.

    With a black above the lower one of a pair and not above the higher, the lower one becomes the brighter.
    """
    low, high = np.minimum(one, other), np.maximum(one, other)
    far, near = high - low > 3 * modulus // 4, modulus - (high - low) > 3 * modulus // 4

    def turned(some):
        ends = [np.bincount(side[some] + 1, minlength=modulus + 1)[:modulus] for side in (low, high)]
        return np.cumsum(ends[0] - ends[1])

    begins = np.arange(_BEGINNINGS) * modulus // _BEGINNINGS
    return begins, ((np.count_nonzero(far) - turned(far) + turned(near)) / pairs)[begins]


def _colour(sample: np.ndarray) -> float:
    """(h, w, 3) in [0, 1] → the mean gap between its channels, once each is compared with what it is on average where
    the picture is as bright: a blue film, a sepia print or a green monitor have none.
    """
    brightness = np.minimum(sample @ LUMA * 32, 31).astype(np.intp).ravel()
    channels = sample.reshape(-1, 3)
    counts = np.maximum(np.bincount(brightness, minlength=32), 1)
    usual = np.stack([np.bincount(brightness, channel, 32) / counts for channel in channels.T], 1)
    off = channels - usual[brightness]
    return float((off.max(1) - off.min(1)).mean())


def _luma(colours: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) of any type → (H, W), float64 where it was colours."""
    return colours if colours.ndim == 2 else np.einsum("hwc,c->hw", colours, LUMA)


def black_and_white(colours: np.ndarray) -> tuple[float, np.float32]:
    """The values that stand for black and white in an array of bool, integers or floats.

    Of unsigned integers within 16 bits, black is 0 and white that of the smallest usual depth which holds the largest
    value that counts; floats in [0, 1] stay as they are; anything else is spread over what it uses.
    """
    low, high = colours.min(), colours.max()
    if colours.dtype.kind == "f":
        if not (np.isfinite(low) and np.isfinite(high)):
            raise refusal("not_finite")
        if 0 <= low <= high <= 1:
            return 0, np.float32(1)
    elif low >= 0 and high < 2 ** DEPTHS[-1]:
        return 0, np.float32(_depth_white(colours))
    low, high = _range_of(colours)
    return low, high if high > low else low + 1


def _depth_white(values: np.ndarray) -> int:
    """White of the smallest usual depth that holds all values but outliers. (…) integers or floats from 0 on."""
    if values.dtype.kind in "bf":
        return 1
    high = int(values.max())
    if high >= 2 ** DEPTHS[0]:
        high = _range_of(values)[1]
    return 2 ** next((bits for bits in DEPTHS if high < 2**bits), DEPTHS[-1]) - 1


def _range_of(array: np.ndarray) -> tuple[float, float]:
    """`used_range` of (H, W) or (H, W, C), of large ones from a sample where there are outliers."""
    low, high = float(array.min()), float(array.max())
    step = max(1, int(np.sqrt(array.size / _SAMPLE)))
    values, counts = np.unique(array[::step, ::step], return_counts=True)
    least, greatest = _fences(values, counts)
    kept = used_range(values, counts)
    return low if low >= least else kept[0], high if high <= greatest else kept[1]


def used_range(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Least and greatest of the values without outliers.

    Args:
        values: (N,), rising.
        counts: (N,) how many pixels have each.
    """
    least, greatest = _fences(values, counts)
    kept = values[(values >= least) & (values <= greatest)]
    return float(kept[0]), float(kept[-1])


def _fences(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Between which values one is no outlier."""
    total = np.cumsum(counts)
    low, high = values[np.searchsorted(total, np.array([_TAIL, 1 - _TAIL]) * total[-1])].astype(np.float64)
    span = high - low or np.inf  # where nearly all is one shade, the rest is what there is to see
    return low - span, high + span
