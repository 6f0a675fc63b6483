"""Photographs of films and screens beside the radiographs they are of: how far the findings move.

The photographs are made, by `train.augment.photographs`; of the phantom too, whose lungs and bones are drawn.
"""

import numpy as np
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from lungfusion.checks.input_checks import PHOTOGRAPH
from train.augment.phantom.radiograph import draw_phantom
from train.augment.photographs import photograph
from train.data.pictures import image_bytes
from train.io import cell, markdown_table
from train.scoring.images import reported
from train.scoring.metrics import proportion

MAX_CHANGE = 0.05  # of a probability, that a photograph may make
PHANTOMS, SIDE = 24, 512  # how many, and of how many pixels
SHARES = ("found", "answered", "all_within", "within", "level_kept")
TITLES = (
    "film found",
    "answered",
    f"all findings within {MAX_CHANGE}",
    f"findings within {MAX_CHANGE}",
    "findings of the same level",
)


def measure_photographs(pipeline, parts, images=100):
    """Source, or `phantoms` → `summarise_pairs`.

    Args:
        pipeline: `LungFusionPipeline` of a classifier.
        parts: source → `datasets.Dataset` as `load_source` gives it.
        images: of each source at most; those that get no answer as they are do not count.
    """
    kinds = {"phantoms": [draw_phantom(seed=seed, size=SIDE)[0] for seed in range(PHANTOMS)]}
    for name, data in parts.items():
        kinds[name] = [row["image"] for row in data.shuffle(seed=0).select(range(min(images, len(data))))]
    figures = {}
    for name, pictures in kinds.items():
        pairs = [
            answer_both(pipeline, picture, i) for i, picture in enumerate(tqdm(pictures, desc=f"Photographing {name}"))
        ]
        if pairs := [pair for pair in pairs if pair[0]]:
            figures[name] = summarise_pairs(pairs)
    return figures


def answer_both(pipeline, picture, number):
    """The findings of a radiograph and of a photograph of it, and whether the film was found in that.

    Args:
        picture: (H, W) float32 array in [0, 1], or a row's.
        number: seeds the photograph.

    Returns:
        two dicts, name → `Finding` assessed, empty where the picture was refused; and a bool.
    """
    pixels = picture if isinstance(picture, np.ndarray) else load_radiograph(image_bytes(picture)).pixels
    names = reported(pipeline)
    answers = pipeline.telling_all()([pixels, photograph(pixels, np.random.default_rng(number))[0]])
    flat, photo = ({f.name: f for f in a.findings if f.name in names and f.probability is not None} for a in answers)
    return flat, photo, PHOTOGRAPH in answers[1].warnings


def summarise_pairs(pairs):
    """Shares, each with its interval, of what `answer_both` returns, its first never empty.

    Returns:
        dict: images; `found`, the film in the photograph; `answered`; `all_within`, every finding moved by MAX_CHANGE
        at most; `within` and `level_kept`, of findings; and `change`, their median. A finding that the photograph gets
        no answer for has moved by 1.
    """
    changes = [
        [abs(f.probability - p[n].probability) if n in p else 1.0 for n, f in flat.items()] for flat, p, _ in pairs
    ]
    every = np.concatenate(changes)
    kept = sum(name in photo and f.level == photo[name].level for flat, photo, _ in pairs for name, f in flat.items())
    return {
        "images": len(pairs),
        "found": proportion(sum(found for _, _, found in pairs), len(pairs)),
        "answered": proportion(sum(bool(photo) for _, photo, _ in pairs), len(pairs)),
        "all_within": proportion(sum(max(change) <= MAX_CHANGE for change in changes), len(pairs)),
        "within": proportion((every <= MAX_CHANGE).sum(), len(every)),
        "level_kept": proportion(kept, len(every)),
        "change": float(np.median(every)),
    }


def photographs_table(figures):
    """Markdown: one row for each source."""
    rows = [
        [source, row["images"], *[cell(row[name]) for name in SHARES], f"{row['change']:.3f}"]
        for source, row in figures.items()
    ]
    return markdown_table(["photographs of", "n", *TITLES, "median change"], rows)
