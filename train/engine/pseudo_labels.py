"""Self-training: a trained segmenter, the teacher, draws the lungs of radiographs that have no mask.

The student learns from these masks and from those drawn by hand, on images altered more strongly than the teacher
saw (noisy student, Xie et al. 2020, CVPR). So it has seen other hospitals, scanners and ages without their masks.
"""

import hashlib

import numpy as np
import torch

from lungfusion.models import LungFusionImageProcessor
from lungfusion.models.mask_postprocessing import calibrated_quality, expected_dice, keep_lungs, split_lungs
from lungfusion.models.modeling_lung_unet import resize
from train.data.cache import cache_arrays, drawing_digest, from_bytes, one_thread, to_bytes
from train.data.splits import load_part, without_mask
from train.engine.processes import has_bfloat16
from train.engine.weights import load_segmenter

MIN_QUALITY = 0.93  # of a mask to learn from; the segmenter's Dice on radiographs like those it knows is above


def pseudo_labelled(recipe, processor, device="cpu"):
    """Source → its training patients' radiographs with the teacher's masks, as `cache_arrays` gives them.

    The teacher draws at its own size. Only masks to be trusted are kept: two lungs, and a mask quality of 0.93 or more.
    A radiograph that has a mask drawn by hand needs no other.
    """
    teacher = load_segmenter(recipe["teacher"]).to(device)
    side, finer = processor.size.height, teacher.config.image_size
    teachers = LungFusionImageProcessor(size={"height": finer, "width": finer})
    parts = {}
    for name, source in recipe["unlabelled"].items():
        data = without_mask(load_part(recipe, source, "train"))
        if "images" in source:
            data = data.shuffle(seed=recipe["seed"]).select(range(min(source["images"], len(data))))
        drawn = predict_masks(cache_arrays(data, teachers, recipe["workers"]), teacher, finer, side)
        settings = {"fn_kwargs": {"side": side, "config": teacher.config}, "num_proc": recipe["workers"] or None}
        with one_thread():
            trusted = drawn.map(clean_if_trusted, **settings, desc="Cleaning masks")
        parts[name] = trusted.select([row for row, mask in enumerate(trusted["mask"]) if mask is not None])
        print(f"{name}: {len(parts[name])} of {len(drawn)} masks of the teacher are kept.")
    return parts


def clean_if_trusted(row, side, config):
    """The row's mask without specks and holes; None where it is not to be trusted."""
    alpha = from_bytes(row["mask"], side)[0].numpy()
    quality = calibrated_quality(expected_dice(alpha), config.quality_slope, config.quality_offset)
    trusted = quality >= MIN_QUALITY and all(np.any(lung) for lung in split_lungs(alpha > 0.5))
    return {"mask": to_bytes(torch.from_numpy(keep_lungs(alpha))) if trusted else None}


def predict_masks(arrays, segmenter, size, kept_size=None):
    """Draw the lungs of every cached radiograph once, so that image and mask can be augmented together.

    Few at a time on a CPU, and in bfloat16 where the device has it, which takes a third of the time: alpha is kept in
    256 steps anyway.

    Args:
        arrays: as `cache_arrays` returns.
        segmenter: `LungUNetForSemanticSegmentation`, on the device that is to draw.
        size: side S of the arrays.
        kept_size: side of the arrays returned; S unless given.

    Returns:
        the same data set, `mask` holding the drawn alpha.
    """
    kept_size = kept_size or size
    segmenter.eval().to(memory_format=torch.channels_last)
    device, in_bfloat16 = segmenter.device, has_bfloat16(segmenter.device)

    def draw(rows):
        pixels = torch.stack([from_bytes(buffer, size) for buffer in rows["pixels"]])
        pixels = pixels.to(device, memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16):
            alpha = segmenter(pixels).logits.float().sigmoid()
        kept = {"pixels": pixels, "mask": alpha}
        return {key: [to_bytes(one) for one in resize(x, (kept_size,) * 2).cpu()] for key, x in kept.items()}

    drawn_with = f"{arrays._fingerprint} {drawing_digest(segmenter)} {in_bfloat16} {kept_size}"
    fingerprint = hashlib.sha256(drawn_with.encode()).hexdigest()[:32]
    return arrays.map(
        draw,
        batched=True,
        batch_size=4 if device.type == "cpu" else 64,
        new_fingerprint=fingerprint,
        desc="Drawing lungs",
        features=arrays.features,
    )
