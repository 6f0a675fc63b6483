"""Self-training: a trained segmenter, the teacher, draws the lungs of radiographs that have no mask.

The student learns from these masks and from those drawn by hand, on images altered more strongly than the teacher
saw (noisy student, Xie et al. 2020, CVPR). So it has seen other hospitals, scanners and ages without their masks.
"""

import numpy as np
import torch

from lungfusion.models.mask_postprocessing import expected_dice, keep_lungs, split_lungs
from lungfusion.pipeline import calibrated_quality
from train.data.cache import cache_arrays, draw_alpha, from_bytes, to_bytes
from train.engine.checkpoints import load_segmenter
from train.engine.run import load_part

MIN_QUALITY = 0.93  # of a mask to learn from; the segmenter's Dice on radiographs like those it knows is above


def drawn_arrays(recipe, processor, device="cpu"):
    """Source → its training patients' radiographs with the teacher's masks, as `cache_arrays` gives them.

    Only masks to be trusted are kept: two lungs, and a mask quality of 0.93 or more.
    """
    teacher = load_segmenter(recipe["teacher"]).to(device)
    side = processor.size.height
    parts = {}
    for name, source in recipe["unlabelled"].items():
        data = load_part(recipe, source, "train")
        data = data.shuffle(seed=recipe["seed"]).select(range(min(source["images"], len(data))))
        drawn = draw_alpha(cache_arrays(data, processor, recipe["workers"]), teacher, side)
        trusted = drawn.filter(to_be_trusted, fn_kwargs={"side": side, "config": teacher.config})
        parts[name] = trusted.map(cleaned, fn_kwargs={"side": side})
        print(f"{name}: {len(parts[name])} of {len(drawn)} masks of the teacher are kept.")
    return parts


def cleaned(row, side):
    alpha = keep_lungs(from_bytes(row["mask"], side)[0].numpy())
    return {"mask": to_bytes(torch.from_numpy(alpha)[None])}


def to_be_trusted(row, side, config):
    alpha = from_bytes(row["mask"], side)[0].numpy()
    quality = calibrated_quality(expected_dice(alpha), config.quality_slope, config.quality_offset)
    return quality >= MIN_QUALITY and all(np.any(lung) for lung in split_lungs(alpha > 0.5))
