"""The way of one radiograph through the model, step by step, for those who want to see how the answer comes about."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..models.concatenation import CONCATENATION_MODULES
from ..steps import run

UNTRAINED = tuple(name for name in CONCATENATION_MODULES if name != "learned")  # ways to join that have no weights


@dataclass(frozen=True)
class ModelTrace:
    """What every part of the model made of one radiograph.

    Attributes:
        image: (S, S) float32 in [0, 1], the radiograph as the networks read it.
        alpha: (S, S) float32 in [0, 1], the mask as the U-Net predicted it.
        cnn_inputs: way to join → (s, s, 3) float32 in [0, 1], what the branches would see; of `rgba` and `guided` the
            fourth channel, alpha, is shown as opacity over black. The model's own way is `concatenation`.
        concatenation: the way the model was trained with.
        feature_maps: branch → (h, w) float32, the mean activation of its deepest feature map, scaled to [0, 1].
        fusion_weights: branch → its weight, of 1 in all; None unless fusion is gated.
        probabilities: finding told → probability.
        whole_image: the same of the same network shown the whole image instead of the lungs.
    """

    image: np.ndarray
    alpha: np.ndarray
    cnn_inputs: dict
    concatenation: str
    feature_maps: dict
    fusion_weights: dict | None
    probabilities: dict
    whole_image: dict


@torch.inference_mode()
def trace_model(pipeline, radiograph, correction):
    """Keep what every part of the model makes of a radiograph.

    Args:
        pipeline: `LungFusionPipeline` of a classifier.
        radiograph: `Radiograph` as loaded.
        correction: `Correction` it was analysed under.

    Returns:
        `ModelTrace`.

    Raises:
        ValueError: the model only segments.
    """
    model = pipeline.model
    if not hasattr(model, "concatenation"):
        raise ValueError("A segmenter has no steps beyond the mask: give a checkpoint that names findings.")
    with pipeline.settings():
        (state,) = run(pipeline.backend, pipeline.processor, [radiograph], [correction])
    pixel_values, output = state.pixel_values, state.output
    whole = model(pixel_values, alpha=torch.ones_like(output.alpha))
    ways = {name: CONCATENATION_MODULES[name](model.config.branch_size) for name in UNTRAINED}
    cnn_inputs = {name: way(pixel_values, output.alpha)[0] for name, way in ways.items()}
    cnn_inputs[model.config.concatenation] = output.cnn_input
    branches, weights = model.config.branch_names, output.fusion_weights
    return ModelTrace(
        image=as_array(pixel_values[0, 0]),
        alpha=as_array(output.alpha[0, 0]),
        cnn_inputs={name: seen(as_array(picture[0])) for name, picture in cnn_inputs.items()},
        concatenation=model.config.concatenation,
        feature_maps={name: activation(x[0]) for name, x in zip(branches, output.hidden_states, strict=True)},
        fusion_weights=None if weights is None else dict(zip(branches, weights[0].tolist(), strict=True)),
        probabilities=probabilities(pipeline, output),
        whole_image=probabilities(pipeline, whole),
    )


@torch.inference_mode()
def cover(pipeline, image, alpha, covered):
    """What the scores are with a part of a radiograph covered (occlusion, Zeiler and Fergus 2014).

    The lungs stay where they were found in the whole picture, so that only what the branches see changes.

    Args:
        pipeline: `LungFusionPipeline` of a classifier.
        image, alpha: (S, S) float32 in [0, 1], those of a `ModelTrace`.
        covered: (n, n) bool, the places covered with the picture's mean grey, of the picture as the networks read it.

    Returns:
        dict, finding told → probability.
    """
    model = pipeline.model
    pixel_values, alpha, mask = (
        torch.from_numpy(np.asarray(x, np.float32))[None, None].to(model.device, model.dtype)
        for x in (image, alpha, covered)
    )
    mask = F.interpolate(mask, pixel_values.shape[-2:], mode="nearest")
    seen = torch.lerp(pixel_values, pixel_values.mean().expand_as(pixel_values), mask)
    return probabilities(pipeline, model(seen, alpha=alpha))


def probabilities(pipeline, output):
    """Finding told → its probability, of the first row of a model's output."""
    names = pipeline.model.config.findings
    shares = dict(zip(names, pipeline.model.probabilities(output.logits)[0].tolist(), strict=True))
    return {name: shares[name] for name in pipeline.findings}


def seen(cnn_input):
    """(3 or 4, s, s) in [0, 1] → (s, s, 3), a fourth channel as opacity over black."""
    image = cnn_input[:3] * cnn_input[3:] if len(cnn_input) == 4 else cnn_input
    return image.transpose(1, 2, 0)


def activation(features):
    """(C, h, w) float tensor → (h, w) float32 array in [0, 1], the channels' mean."""
    mean = features.float().mean(0)
    return as_array((mean - mean.min()) / (mean.max() - mean.min()).clamp(min=1e-12))


def as_array(x):
    return x.detach().float().cpu().numpy()
