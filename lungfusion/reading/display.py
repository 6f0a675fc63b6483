"""DICOM: from stored values to what a screen shows (PS3.3 C.7.6.3.1.2, C.11.1, C.11.2).

Bits Stored and High Bit → padding out → Modality LUT or rescale → VOI LUT, window, or the data's own range →
MONOCHROME1 inverted. All of it is optional but the values, and devices write it empty, as other types, or for another
picture. So each means is tried in turn, and one that is unreadable, out of range, or leaves hardly anything to see is
passed over for the next. What is shown depends on the value alone, so each that occurs is worked out once.
"""

from dataclasses import dataclass, replace

import numpy as np

from .elements import items, numbers, words
from .grey_levels import DEPTHS, bands, continuous, is_continuous, used_range

_SEEN = 0.2  # of the pixels must be neither black nor white, or a window or table was meant for something else
_FLAT = 1 / 16  # of the range between black and white must be used, too


@dataclass(frozen=True)
class Stored:
    """How values are stored: the bits that count, whether they are signed, and whether 0 is shown white; and of those
    that were rounded to fewer bits, what 0 stands for and a step.
    """

    bits: int
    high_bit: int
    signed: bool
    inverted: bool
    least: float = 0.0
    step: float = 1.0

    @property
    def range(self):
        """Least and greatest value that fit."""
        least = -(2 ** (self.bits - 1)) if self.signed else 0
        return self.least + self.step * least, self.least + self.step * (least + 2**self.bits - 1)


def shown_pixels(codes: np.ndarray, stored: Stored, dataset) -> np.ndarray:
    """Pixel cells (H, W), unsigned integers of 8 or 16 bits → (H, W) float32 in [0, 1], as a viewer shows them."""
    codes, stored = continuous_cells(codes, stored)
    counts = np.zeros(256**codes.dtype.itemsize, np.int64)
    for rows in bands(codes):
        counts += np.bincount(codes[rows].ravel(), minlength=len(counts))
    present = np.flatnonzero(counts)
    table = np.zeros(len(counts), np.float32)
    table[present] = shown_values(actual_values(present, stored), counts[present], stored, dataset)
    pixels = np.empty(codes.shape, np.float32)
    for rows in bands(codes):
        pixels[rows] = table[codes[rows]]
    return pixels


def continuous_cells(cells: np.ndarray, stored: Stored) -> tuple[np.ndarray, Stored]:
    """Cells that jump between black and white where they lie closely, read as what is continuous: unsigned where they
    are said to be signed, or as `grey_levels.continuous` says.
    """
    sign = 2 ** (stored.bits - 1) if stored.signed else 0
    values = in_their_bits(cells, stored) ^ sign
    turned = continuous(values, 2**stored.bits)
    if turned is values:
        return cells, stored
    unsigned = replace(stored, high_bit=stored.bits - 1, signed=False)
    return (values ^ sign if stored.signed and is_continuous(values ^ sign, 2**stored.bits) else turned), unsigned


def in_their_bits(cells: np.ndarray, stored: Stored) -> np.ndarray:
    """The bits up to High Bit; what lies above them is overlay."""
    kind = cells.dtype.type
    return (cells >> kind(stored.high_bit + 1 - stored.bits)) & kind(2**stored.bits - 1)


def actual_values(cells: np.ndarray, stored: Stored) -> np.ndarray:
    """Pixel cells (N,) → the values that they stand for, (N,) int64, or float64 of those that were rounded."""
    values = in_their_bits(cells, stored).astype(np.int64)
    if stored.signed:
        values = np.where(values >= 2 ** (stored.bits - 1), values - 2**stored.bits, values)
    return values if stored.step == 1 and stored.least == 0 else stored.least + stored.step * values


def shown_values(values: np.ndarray, counts: np.ndarray, stored: Stored, dataset) -> np.ndarray:
    """Values that occur (N,), and how often → how bright each is shown, (N,) float32 in [0, 1]."""
    values, counts = without_padding(values, counts, stored, dataset)
    values, limits = modality_values(values, counts, stored, dataset)
    for shown in (*through_tables(values, counts, stored, dataset), *through_windows(values, dataset)):
        if is_worth_seeing(shown, counts):
            break
    else:
        shown = scaled(values, *range_to_show(values, counts, limits, stored.bits))
    return (1 - shown if stored.inverted else shown).astype(np.float32)


def without_padding(values, counts, stored, dataset):
    """Values that mark the outside of the picture become the darkest of the rest, and count no more."""
    ends = numbers(dataset, "PixelPaddingValue")[:1] + numbers(dataset, "PixelPaddingRangeLimit")[:1]
    if not numbers(dataset, "PixelPaddingValue"):
        return values, counts
    ends = [end - 2**16 if stored.signed and end > stored.range[1] else end for end in ends]
    padding = (values >= min(ends)) & (values <= max(ends))
    if counts[~padding].sum() < 0.05 * counts.sum():  # it would take nearly the whole picture
        return values, counts
    darkest = values[~padding].max() if stored.inverted else values[~padding].min()
    return np.where(padding, darkest, values), np.where(padding, 0, counts)


def modality_values(values, counts, stored, dataset):
    """Values through the Modality LUT, else the rescale, else as they are; and the limits that the result has."""
    for item in items(dataset, "ModalityLUTSequence"):
        looked_up = look_up(values, item, stored)
        if looked_up and used(looked_up[0], counts):
            return looked_up
    for place in (dataset, *items(dataset, "PixelValueTransformationSequence")):
        slope, intercept = ((numbers(place, f"Rescale{what}") or [None])[0] for what in ("Slope", "Intercept"))
        if (slope, intercept) != (None, None):
            slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
            if 1e-9 < abs(slope) < 1e9 and abs(intercept) < 1e9:
                return values * slope + intercept, sorted(limit * slope + intercept for limit in stored.range)
    return values, stored.range


def through_tables(values, counts, stored, dataset):
    """What each VOI LUT that can be read shows, (N,) float64 in [0, 1]."""
    for item in items(dataset, "VOILUTSequence"):
        if (looked_up := look_up(values, item, stored)) and used(looked_up[0], counts):
            yield scaled(looked_up[0], *range_to_show(looked_up[0], counts, looked_up[1], stored.bits))


def through_windows(values, dataset):
    """What each window that can be read shows (PS3.3 C.11.2.1.2), (N,) float64 in [0, 1]."""
    for place in (dataset, *items(dataset, "FrameVOILUTSequence")):
        function = "".join(words(place, "VOILUTFunction")[:1])
        centers, widths = (numbers(place, f"Window{what}", keep=True) for what in ("Center", "Width"))
        for center, width in zip(centers, widths, strict=False):
            if center is None or width is None or width < 1:
                continue
            if function == "SIGMOID":
                yield 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
            elif function == "LINEAR_EXACT":
                yield np.clip((values - center) / width + 0.5, 0, 1)
            elif width > 1:
                yield np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def is_worth_seeing(shown, counts):
    """Whether enough pixels are neither black nor white, and they differ."""
    between = (shown > 0.004) & (shown < 0.996)
    return counts[between].sum() >= _SEEN * counts.sum() and used(shown, counts) >= _FLAT


def used(values, counts):
    """How wide the range of the values is that pixels have, without outliers."""
    low, high = range_of(values, counts)
    return high - low


def range_to_show(values, counts, limits, bits):
    """The limits, or the values' own range where that is less than a quarter of them (12 bits declared as 16)."""
    low, high = range_of(values, counts)
    return (low, high) if bits > 8 and 0 < high - low < (limits[1] - limits[0]) / 4 else limits


def range_of(values, counts):
    """`used_range` of values in any order, of those that count."""
    order = np.argsort(values, kind="stable")
    order = order[counts[order] > 0]
    return used_range(values[order], counts[order])


def scaled(values, black, white):
    return np.clip((values - black) / (white - black), 0, 1)


def look_up(values, item, stored):
    """Values through one table of a Modality or VOI LUT Sequence → values and their limits; None if it can't be read.

    Not left to pydicom 3.0, which reads wrong entries from an 8-bit VOI table of more than 256, and refuses a modality
    table of 10 to 15 bits.
    """
    try:
        entries, first, bits = map(int, numbers(item, "LUTDescriptor"))
        table = item.LUTData
        if isinstance(table, bytes):
            table = np.frombuffer(table, "<u2" if bits > 8 or len(table) >= 2 * (entries or 2**16) else "u1")
        table = np.atleast_1d(np.asarray(table)).astype(np.int64)[: entries or 2**16]
        highest = int(table.max())
    except Exception:  # there is none, or it is of another type
        return None
    if not 1 <= bits <= 16 or highest >= 2**bits:
        bits = next((depth for depth in DEPTHS if highest < 2**depth), DEPTHS[-1])
    if stored.signed and first > stored.range[1]:
        first -= 2**16
    return table[np.clip(values - first, 0, len(table) - 1).astype(np.intp)], (0, 2**bits - 1)
