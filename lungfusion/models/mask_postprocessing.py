"""What of a drawn mask is lung, and which lung it is."""

import numpy as np
from scipy.ndimage import label, maximum_filter

MIN_SHARE = 0.1  # of the larger lung's area: below, a region is a speck and no lung, however collapsed
MAX_HOLE = 0.1  # of the lungs' area: beyond, it is the heart, between lungs joined above and below it
SOFT_RIM = 1 / 40  # of the image's side: how far beyond the lungs their mask fades out
# Of patients, the least first; the midline may lean a little further than the patient.
TILTS = np.deg2rad([0, -10, 10, -20, 20, -30, 30, -40, 40])
# Of the smaller lung's length: a longer cut goes through a lung, not between two. On phantoms tilted by up to 30° the
# best cut through a single lung has 0.63 or more, and between lungs that a quarter of the image joins 0.55 or less.
WAIST = 0.6


def keep_lungs(alpha):
    """Drop specks, fill holes, keep the soft border.

    The lungs are the largest region where alpha is above 0.5, and the second largest if it is more than a speck. A
    region's pixels touch by their sides, so that scaling up by interpolation leaves it whole.

    Args:
        alpha: (S, S) float32 array in [0, 1].

    Returns:
        (S, S) float32 array in [0, 1], above 0.5 in the lungs and nowhere else: 1 in filled holes, as it was in the
        rest of the lungs and in a rim around them, 0 further out.
    """
    drawn = alpha > 0.5
    if not drawn.any():
        return np.zeros_like(alpha)
    reach, kept = round(SOFT_RIM * len(alpha)), np.zeros_like(alpha)
    near = tuple(slice(max(0, part.start - reach), part.stop + reach) for part in box_of(drawn))
    alpha, drawn = alpha[near], drawn[near]
    lungs = fill_holes(two_largest(drawn))
    rim = maximum_filter(lungs, 2 * reach + 1) & ~drawn
    kept[near] = np.where(lungs & ~drawn, 1, alpha) * (lungs | rim)
    return kept


def expected_dice(alpha):
    """The Dice that the mask `alpha > 0.5` would have if alpha were right: 2 Σ αm / (Σ α + Σ m).

    A network that draws with doubt has a low one; it costs nothing beyond the alpha itself. Networks are surer than
    they should be, so the figure is then calibrated on images whose masks are known (`quality_slope` of the config).

    Args:
        alpha: (S, S) float32 array in [0, 1], as the network drew it.

    Returns:
        float in [0, 1]; 0 where nothing is above 0.5.
    """
    mask = alpha > 0.5
    return float(2 * alpha[mask].sum() / max(alpha.sum() + mask.sum(), 1))


def calibrated_quality(expected, slope, offset):
    """sigmoid(slope · logit(expected) + offset); 0 and 1 stay as they are."""
    if expected in (0, 1):
        return expected
    return float(1 / (1 + ((1 - expected) / expected) ** slope * np.exp(-offset)))


def box_of(mask):
    """The smallest part of a mask (S, S) bool, not empty, that holds all of it: two slices, of rows and of columns."""
    ends = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return tuple(slice(end[0], end[-1] + 1) for end in ends)


def two_largest(mask):
    """mask (S, S) bool → its largest region, and the second largest unless that is a speck: (S, S) bool."""
    regions, _ = label(mask)
    areas = np.bincount(regions.ravel())
    areas[0] = 0  # what is no region
    kept = areas > MIN_SHARE * areas.max()
    kept[np.argsort(areas)[:-2]] = False
    return kept[regions]


def fill_holes(mask):
    """mask (S, S) bool → the same and what it encloses, unless that is too large for a hole: (S, S) bool."""
    regions, _ = label(np.pad(~mask, 1, constant_values=True))  # padded, so that all that is outside is one region
    hole = np.bincount(regions.ravel()) <= MAX_HOLE * mask.sum()
    hole[[0, regions[0, 0]]] = False  # the mask itself, and the outside
    return mask | hole[regions[1:-1, 1:-1]]


def split_lungs(mask):
    """Tell the lungs apart, joined ones too, by a straight cut from above downwards.

    Args:
        mask: (H, W) bool array, the lungs of a patient who is seen from the front and tilted by 30° at most.

    Returns:
        right, left: (H, W) bool arrays, the patient's right lung (on the image's left) and left lung. If there is only
        one, the other is empty, and it is named after the half of the image its centre lies in.
    """
    y, x = np.nonzero(mask)
    waist, tilt, place = shortest_cut(x, y)
    right = np.zeros_like(mask)
    if waist <= WAIST:
        right[y, x] = across(x, y, tilt) < place
    elif x.sum() < (mask.shape[1] - 1) / 2 * len(x):
        right = mask
    return right, mask & ~right


def shortest_cut(x, y):
    """The best of `best_cut` at all tilts; the least tilted where several are as short."""
    cuts = []
    for tilt in TILTS:
        cuts.append(best_cut(x, y, tilt))
        if cuts[-1][0] == 0:
            break  # it goes between them
    return min(cuts, key=lambda cut: cut[0])


def best_cut(x, y, tilt):
    """Where a straight cut at a given tilt goes through least lung, with a lung on either side.

    Args:
        x, y: (N,) int arrays, the pixels of the lungs.
        tilt: in radians, clockwise.

    Returns:
        waist: how long the cut is within the lungs, as a share of the smaller of the lungs' lengths on its two sides;
            in [0, 1], 1 where there is no cut.
        tilt: as given.
        place: of the cut, on the axis that `across` gives.
    """
    place = across(x, y, tilt)
    start = np.floor(place.min(initial=0))
    column = (place - start).astype(int)
    part, count = place - start - column, column.max(initial=0) + 2
    lengths = np.bincount(column, 1 - part, count) + np.bincount(column + 1, part, count)  # each pixel is shared out
    longest = np.minimum(np.maximum.accumulate(lengths), np.maximum.accumulate(lengths[::-1])[::-1])
    before = lengths.cumsum()
    least = MIN_SHARE / (1 + MIN_SHARE) * len(x)
    between = (before > least) & (before < len(x) - least)
    waists = np.where(between, lengths / np.maximum(longest, 1e-9), 1)
    lowest = np.flatnonzero(waists == waists.min())
    middle = lowest[len(lowest) // 2]
    return waists[middle], tilt, start + middle


def across(x, y, tilt):
    """How far to the image's right pixels lie, as a patient sees it who is tilted clockwise by `tilt`."""
    return x * np.cos(tilt) + y * np.sin(tilt)
