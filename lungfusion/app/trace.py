"""The way of one radiograph through the model, step by step, for those who want to see how the answer comes about."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..analysis import Analysis
from ..explanation import grad_cam
from ..models.concatenation import CONCATENATION_MODULES
from ..reading.radiograph import load_radiograph

UNTRAINED = ("none", "multiply", "rgba", "guided", "crop", "align")  # ways to join image and mask that have no weights


@dataclass(frozen=True)
class Steps:
    """What every part of the model made of one radiograph.

    Attributes:
        analysis: `Analysis`, with the answer.
        image: (S, S) float32 in [0, 1], the radiograph as the networks read it.
        alpha: (S, S) float32 in [0, 1], the mask as the U-Net drew it.
        cnn_inputs: way to join → (s, s, 3) float32 in [0, 1], what the branches would see; of `rgba` and `guided` the
            fourth channel, alpha, is shown as opacity over black. The model's own way is `concatenation`.
        concatenation: the way the model was trained with.
        feature_maps: branch → (h, w) float32, the mean activation of its deepest feature map, scaled to [0, 1].
        fusion_weights: branch → its weight, of 1 in all; None unless fusion is gated.
        whole_image: finding told → probability, of the same network shown the whole image instead of the lungs.
        saliency: finding told → (S, S) float32 in [0, 1], as `explanation.grad_cam` gives it; of those whose maps are
            worth a look (`config.explained`).
        lesion_findings: those told whose score comes from the lesion branch instead; none without one.
    """

    analysis: Analysis
    image: np.ndarray
    alpha: np.ndarray
    cnn_inputs: dict
    concatenation: str
    feature_maps: dict
    fusion_weights: dict | None
    whole_image: dict
    saliency: dict
    lesion_findings: tuple = ()


@torch.inference_mode()
def walk(pipeline, source):
    """Analyse a radiograph and keep what every part of the model made of it.

    Args:
        pipeline: `LungFusionPipeline` of a classifier.
        source: as for calling the pipeline, but one.

    Returns:
        `Steps`; no findings are told of a radiograph that the gate refuses.

    Raises:
        RadiographError: the source can't be read as a radiograph.
        ValueError: the model only segments.
    """
    if not hasattr(pipeline.model, "concatenation"):
        raise ValueError("A segmenter has no steps beyond the mask: give a checkpoint that names findings.")
    model, radiograph = pipeline.model, load_radiograph(source)
    state = pipeline.infer([radiograph])[0]
    analysis, pixel_values, output = pipeline.answer(state), state.pixel_values, state.output
    whole = model(pixel_values, alpha=torch.ones_like(output.alpha)).logits[0].float().sigmoid().tolist()
    ways = {name: CONCATENATION_MODULES[name](model.config.branch_size) for name in UNTRAINED}
    cnn_inputs = {name: way(pixel_values, output.alpha)[0] for name, way in ways.items()}
    cnn_inputs[model.config.concatenation] = output.cnn_input
    branches, names = model.config.branches, model.config.findings
    weights = output.fusion_weights
    explained = set(pipeline.findings) & set(model.config.explained)
    with torch.inference_mode(False):
        maps = grad_cam(model, output, pixel_values.shape[-1])[0]
    return Steps(
        analysis=analysis,
        image=as_array(pixel_values[0, 0]),
        alpha=as_array(output.alpha[0, 0]),
        cnn_inputs={name: seen(as_array(picture[0])) for name, picture in cnn_inputs.items()},
        concatenation=model.config.concatenation,
        feature_maps={name: activation(x[0]) for name, x in zip(branches, output.hidden_states, strict=True)},
        fusion_weights=None if weights is None else dict(zip(branches, weights[0].tolist(), strict=True)),
        whole_image={name: p for name, p in zip(names, whole, strict=True) if name in pipeline.findings},
        saliency={name: as_array(x) for name, x in zip(names, maps, strict=True) if name in explained},
        lesion_findings=tuple(name for name in pipeline.findings if name in model.config.lesion_findings)
        if model.config.lesion_backbone
        else (),
    )


@torch.inference_mode()
def cover(pipeline, source, covered):
    """What covering a part of a radiograph does to the scores (occlusion, Zeiler and Fergus 2014).

    The lungs stay where they were found in the whole picture, so that only what the branches see changes.

    Args:
        pipeline: `LungFusionPipeline` of a classifier.
        source: as for calling the pipeline, but one.
        covered: (n, n) bool, the places covered with the picture's mean grey, of the picture as the networks read it.

    Returns:
        dict, finding told → (probability before, probability after).

    Raises:
        RadiographError: the source can't be read as a radiograph.
    """
    model, state = pipeline.model, pipeline.infer([load_radiograph(source)])[0]
    pixel_values, alpha = state.pixel_values, state.output.alpha
    mask = torch.from_numpy(np.asarray(covered, np.float32))[None, None].to(pixel_values)
    mask = F.interpolate(mask, pixel_values.shape[-2:], mode="nearest")
    after = model(torch.lerp(pixel_values, pixel_values.mean().expand_as(pixel_values), mask), alpha=alpha).logits[0]
    pairs = zip(state.output.logits[0].float().sigmoid().tolist(), after.float().sigmoid().tolist(), strict=True)
    return {name: pair for name, pair in zip(model.config.findings, pairs, strict=True) if name in pipeline.findings}


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
