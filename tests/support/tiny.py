"""Tiny real models, phantoms, and analyses made by hand."""

from functools import cache

import numpy as np
import pytest
import torch

from lungfusion import Analysis, Radiograph
from lungfusion.analysis import UPRIGHT
from lungfusion.models import (
    LungFusionConfig,
    LungFusionForImageClassification,
    LungUNetConfig,
    LungUNetForSemanticSegmentation,
)
from train.augment.phantom import radiograph

SIDE = 96
TINY_SEGMENTER = {"width": 4, "image_size": 64}
TINY_DETECTOR = {"size": 64, "channels": [4, 8, 8, 8]}
TINY_MODEL = {
    "segmenter": TINY_SEGMENTER,
    "image_size": SIDE,
    "branch_size": 64,
    "branches": ["test_efficientnet", "test_resnet"],
    "fusion_size": 8,
}


@cache
def drawn_phantom(*asked):
    return radiograph.draw_phantom(*asked)


def draw_phantom(seed=0, size=512, opacity=None, tilt=0.0, extent=1.0):
    """As `radiograph.draw_phantom` draws it, but once in a process: many tests ask for the same ones."""
    return tuple(part.copy() for part in drawn_phantom(seed, size, opacity, tilt, extent))


def tiny_model(**changes):
    """An untrained classifier of a few thousand weights, the same at every call."""
    torch.manual_seed(0)
    return LungFusionForImageClassification(LungFusionConfig(**(TINY_MODEL | changes))).eval()


def tiny_segmenter(**changes):
    torch.manual_seed(0)
    return LungUNetForSemanticSegmentation(LungUNetConfig(**(TINY_SEGMENTER | changes))).eval()


def analysis(
    pixels=None, alpha=None, findings=(), warnings=(), name="chest.png", areas=(0.0, 0.0), quality=0.96, **known
):
    """An `Analysis` made by hand. known: its other attributes."""
    pixels = np.full((64, 64), 0.5, np.float32) if pixels is None else pixels
    alpha = np.zeros(pixels.shape, np.float32) if alpha is None else alpha
    radiograph = Radiograph(pixels, name, "PNG")
    known = {"correction": UPRIGHT, "findings": tuple(findings), "warnings": tuple(warnings)} | known
    return Analysis(radiograph, alpha, *areas, quality, 1.0, **known)


def find_lungs_everywhere(segmenter, logit=3.0):
    """Make an untrained segmenter call every pixel lung (or, with a negative logit, none)."""
    torch.nn.init.zeros_(segmenter.unet.mask.weight)
    torch.nn.init.constant_(segmenter.unet.mask.bias, logit)


def alike(answer):
    """What an answer is compared with: its floats up to the rounding of another kernel, process or thread count."""
    if isinstance(answer, dict):
        return {key: alike(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return type(answer)(map(alike, answer))
    return pytest.approx(answer, abs=1e-4, rel=1e-4) if isinstance(answer, float) else answer
