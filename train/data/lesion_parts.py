"""The radiographs of a lesion recipe, with what is known of each."""

import numpy as np
from datasets import concatenate_datasets

from train.data.arrays import lung_arrays
from train.data.lesions import lesion_labels
from train.engine.run import drawn_rows, load_part


def load_lesion_parts(recipe, processor, segmenter, workers, split):
    """Source → (data, arrays, labels) of the images of which something is known.

    A source that is not learned from is scored whole.
    """
    parts = {}
    for name, source in recipe["sources"].items():
        splits = [split]
        if name in recipe["not_learned"]:
            splits = ["train", "validation"] if split == "validation" else []
        loaded = [load_part(recipe, source, of_split) for of_split in splits]
        if not loaded:
            continue
        data = concatenate_datasets(loaded)
        known = lesion_labels(data, source, recipe["data_root"])
        by_readers = split == "validation" or name in recipe["readers_alone"]
        rows = np.flatnonzero(known["read"] if by_readers else known["weights"].any(1))
        if split == "validation" and recipe["validation_images"]:
            rows = rows[drawn_rows(len(rows), recipe["validation_images"])]
        data = data.select(rows)
        arrays = lung_arrays(data, processor, segmenter, f"{name}, {split}", workers)
        parts[name] = (data, arrays, chosen(known, rows))
    return parts


def chosen(known, rows):
    return {name: column[rows] for name, column in known.items()}
