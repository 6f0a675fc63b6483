"""The radiograph with its layers, to be looked at in a browser: viewer.js makes the controls work."""

import base64
import zlib
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from ...analysis import UPRIGHT
from ...checks.geometry import correct_pixels, resample
from ...explanation import share_inside
from ...visualization import background_layer, heat_layer, picture_address, radiograph_image, reduced, reduced_to
from .phrases import percentage
from .render import render

SOFT_EDGE = 1 / 30  # of a heat map's side
DEEP_SIDE = 2048  # pixels, at most, of all pixels that are sent
DEPTHS = (8, 12, 16)  # bits
LEAST_RATIO, MOST_RATIO = 0.25, 0.85  # of heart to chest: beyond, an outline is wrong
SEGMENTS = {  # corners in the lungs (upper left 8, upper right 4, lower right 2, left 1) → edges a line goes between
    8: ("LT",), 4: ("TR",), 2: ("RB",), 1: ("BL",), 12: ("LR",), 6: ("TB",), 3: ("RL",), 9: ("BT",),
    14: ("LB",), 13: ("BR",), 11: ("RT",), 7: ("TL",), 10: ("LT", "RB"), 5: ("TR", "BL"),
}  # fmt: skip


def viewer_html(words, analysis, saliency, correction, spots=()):
    """A figure with its controls.

    Args:
        words: `Words`.
        analysis: `Analysis`, in the geometry in which it was analysed.
        saliency: finding → (S, S) float array in [0, 1], of those that have a heat map; may be empty.
        correction: `Correction` that the radiograph has been given already.
        spots: as `spots_of` gives them.
    """
    drawn = analysis.lung_area > 0 and not analysis.refused
    saliency, pixels = saliency if drawn else {}, analysis.radiograph.pixels
    height, width = pixels.shape
    return render(
        "viewer.html",
        words=words,
        key=key(pixels),
        bits=depth(pixels),
        spacing=analysis.radiograph.spacing or "",
        width=width,
        height=height,
        ratio=f"{width / height:.4f}",
        drawn=drawn,
        base=picture_address(radiograph_image(analysis), "JPEG"),
        background=picture_address(background_layer(analysis)) if drawn else "",
        contour=outline_path(analysis.model_alpha) if drawn else "",
        side=len(analysis.model_alpha),
        maps=[heat_map(words, analysis, name, heat) for name, heat in saliency.items()],
        spots=spots,
        presets=presets(analysis) if drawn else [],
        sides_known=analysis.radiograph.sides_known,
        corrected=correction != UPRIGHT,
    )


def heat_map(words, analysis, name, heat):
    return {
        "key": name,
        "name": words.title(name),
        "picture": picture_address(heat_layer(faded(heat))),
        "share": share_words(words, analysis, heat),
    }


def faded(heat):
    """(S, S) float in [0, 1] → the same, but where the part that the networks saw ends it fades out."""
    soft = gaussian_filter(heat, SOFT_EDGE * len(heat))
    return soft * (heat.max() / max(soft.max(), 1e-12))


def share_words(words, analysis, heat):
    """How much of a heat map lies inside the lungs, in a sentence."""
    share = share_inside(heat, reduced_to(analysis.alpha, heat.shape))
    return words("heat_empty") if share is None else words("heat_inside", share=percentage(words, share))


def spots_of(words, analysis, findings):
    """Where findings are seen: a dict for each `Spot`, in pixels of the picture that is shown."""
    height, width = analysis.radiograph.pixels.shape
    return [
        {
            "name": finding.name,
            "title": words.title(finding.name),
            "x": round(spot.x),
            "y": round(spot.y),
            "radius": max(round(spot.radius), round(0.012 * max(height, width))),
        }
        for finding in findings
        for spot in finding.places
    ]


def presets(analysis):
    """Windows to look through: (name, low, high), greys in [0, 1]: the whole range, the lungs, what is between them."""
    pixels, alpha = reduced(analysis.radiograph.pixels, 256), reduced(analysis.alpha, 256)
    lungs = alpha > 0.5
    rows, columns = (np.flatnonzero(lungs.any(axis)) for axis in (1, 0))
    if not len(rows):
        return [("whole", "0.000", "1.000")]
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    parts = {"lungs": pixels[lungs], "between": pixels[box][~lungs[box]]}
    ends = {name: np.quantile(part, (0.02, 0.98)) for name, part in parts.items() if part.size}
    return [("whole", "0.000", "1.000")] + [
        (name, f"{low:.3f}", f"{max(high, low + 0.02):.3f}") for name, (low, high) in ends.items()
    ]


def outline_path(alpha):
    """A line along alpha = 0.5 as an SVG path, in cells of (S, S) alpha: sharp at any zoom (marching squares)."""
    x = np.pad(alpha, 1)
    inside = x > 0.5
    corners = inside[:-1, :-1] * 8 + inside[:-1, 1:] * 4 + inside[1:, 1:] * 2 + inside[1:, :-1] * 1
    follows = {}  # the edge where the line enters a cell → the one where it leaves
    for row, column in zip(*np.nonzero((corners > 0) & (corners < 15)), strict=True):
        edges = {"T": ("h", row, column), "B": ("h", row + 1, column)}
        edges |= {"L": ("v", row, column), "R": ("v", row, column + 1)}
        for enters, leaves in SEGMENTS[int(corners[row, column])]:
            follows[edges[enters]] = edges[leaves]
    lines = []
    while follows:
        edge, line = next(iter(follows)), []
        while edge in follows:
            line.append(crossing(x, *edge))
            edge = follows.pop(edge)
        lines.append("M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in line[::2]) + "Z")
    return "".join(lines)


def crossing(x, kind, row, column):
    """Where alpha crosses 0.5 on the edge from a cell's corner to the right ("h") or down ("v"): (across, down)."""
    here, there = x[row, column], x[row, column + 1] if kind == "h" else x[row + 1, column]
    share = (0.5 - here) / (there - here)
    return (column - 0.5 + share * (kind == "h"), row - 0.5 + share * (kind == "v"))


def ruler_facts(words, analysis):
    """(name, value) of what can be measured where the file says how large a pixel is; none elsewhere."""
    spacing = analysis.radiograph.spacing
    if not spacing:
        return []
    facts = [(words("fact_spacing"), words("millimetres", number=f"{spacing:.3f}".replace(".", words("decimal"))))]
    ratio = cardiothoracic_ratio(analysis.model_alpha)
    if ratio is not None:
        facts.append((words("fact_ratio"), f"{ratio:.2f}".replace(".", words("decimal"))))
    return facts


def cardiothoracic_ratio(alpha):
    """The heart's width over the chest's, as the lungs' outline leaves room for the heart; None without both lungs.

    The heart reaches from the right lung's inner edge, where it lies farthest to the right, to the left lung's, where
    it lies farthest to the left, above the domes of the diaphragm; the chest, from outer edge to outer edge where that
    is widest (Danzer 1919). Both are the model's outline, no reader's.

    alpha: (S, S) float in [0, 1], stretched over the picture; both are widths, so that its proportions do not matter.
    """
    lungs = alpha > 0.5
    columns = np.flatnonzero(lungs.any(0))
    if not len(columns):
        return None
    middle = (columns[0] + columns[-1]) // 2
    right, left = lungs.copy(), lungs.copy()
    right[:, middle:], left[:, :middle] = False, False
    if not right.any() or not left.any():
        return None
    tops, domes = zip(*((np.flatnonzero(lung.any(1))[0], dome(lung)) for lung in (right, left)), strict=True)
    rows = np.arange((max(tops) + min(domes)) // 2, min(domes))
    rows = rows[right[rows].any(1) & left[rows].any(1)]
    if not len(rows):
        return None
    heart_right = min(np.flatnonzero(right[row])[-1] for row in rows)
    heart_left = max(np.flatnonzero(left[row])[0] for row in rows)
    chest = max(np.flatnonzero(left[row])[-1] - np.flatnonzero(right[row])[0] for row in rows)
    ratio = float((heart_left - heart_right) / max(chest, 1))
    return ratio if LEAST_RATIO < ratio < MOST_RATIO else None


def dome(lung):
    """The row where a lung's lower edge lies, the median over the inner three quarters of its columns."""
    columns = np.flatnonzero(lung.any(0))
    inner = columns[len(columns) // 8 : -(len(columns) // 8) or None]
    return int(np.median([np.flatnonzero(lung[:, column])[-1] for column in inner]))


def to_analysed_geometry(analysis, saliency=None):
    """An analysis, and its heat maps, in the geometry of the picture that was analysed: a person looks at it upright.

    Args:
        analysis: `Analysis`.
        saliency: finding → (S, S) float array in [0, 1], stretched over the radiograph as loaded it fits.

    Returns:
        `Analysis` whose radiograph, alpha and places are those of the corrected picture; the maps, stretched over that.
    """
    saliency = saliency or {}
    if analysis.correction == UPRIGHT:
        return analysis, saliency
    pixels, matrix = correct_pixels(analysis.radiograph.pixels, analysis.correction)
    shapes = analysis.radiograph.pixels.shape, pixels.shape
    findings = tuple(
        replace(one, places=tuple(moved(spot, matrix, *shapes) for spot in one.places)) for one in analysis.findings
    )
    radiograph = replace(analysis.radiograph, pixels=pixels)
    seen = replace(analysis, radiograph=radiograph, findings=findings, original_from_corrected=np.eye(3))
    return seen, {name: resample(heat, matrix, heat.shape) for name, heat in saliency.items()}


def moved(spot, matrix, loaded, analysed):
    """A `Spot` of the picture as loaded in the one that was analysed; matrix: from the latter to the former."""
    (height, width), (seen_height, seen_width) = loaded, analysed
    place = np.array([(2 * spot.x + 1) / width - 1, (2 * spot.y + 1) / height - 1, 1])
    x, y, scale = np.linalg.solve(matrix, place)
    to_pixels = np.sqrt(abs(np.linalg.det(matrix)) * (height * width) / (seen_height * seen_width))
    x, y = ((1 + x / scale) * seen_width - 1) / 2, ((1 + y / scale) * seen_height - 1) / 2
    return replace(spot, x=float(x), y=float(y), radius=float(spot.radius / to_pixels))


def pixels_html(pixels):
    """(H, W) float32 in [0, 1] → an element that holds them as whole numbers of the radiograph's own depth."""
    bits = depth(pixels)
    values = np.round(reduced(pixels, DEEP_SIDE).clip(0, 1) * (2**bits - 1)).astype(np.uint16)
    height, width = values.shape
    sent = base64.b64encode(packed(values)).decode()
    return render("pixels.html", key=key(pixels), width=width, height=height, bits=bits, pixels=sent)


def key(pixels):
    """A few letters that tell one radiograph from another."""
    return f"{zlib.crc32(np.ascontiguousarray(pixels)):08x}"


def depth(pixels):
    """The least of `DEPTHS` that holds every grey of (H, W) float in [0, 1]."""
    some = pixels[:: max(1, len(pixels) // 256)]
    for bits in DEPTHS[:-1]:
        values = some * (2**bits - 1)
        if np.abs(values - np.round(values)).max() < 0.02:
            return bits
    return DEPTHS[-1]


def packed(values):
    """(h, w) uint16 → bytes: differences along each row, the lower bytes before the higher ones, deflated."""
    steps = np.diff(values, axis=1, prepend=np.zeros((len(values), 1), np.uint16))
    return zlib.compress((steps & 255).astype(np.uint8).tobytes() + (steps >> 8).astype(np.uint8).tobytes(), 1)
