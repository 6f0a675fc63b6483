"""Heat maps are Grad-CAM as published, and belong to the answer they explain."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lungfusion import load_radiograph
from lungfusion.explanation import grad_cam
from lungfusion.models.concatenation import paste_back
from tests.support.tiny import SIDE, tiny_model


def test_analysis_with_a_heat_map_is_the_same(pipe, phantom):
    analysis, saliency = pipe.analyse_and_explain(phantom[0])
    alone = pipe(phantom[0])
    assert analysis["tuberculosis"].probability == pytest.approx(alone["tuberculosis"].probability, abs=1e-4)
    np.testing.assert_allclose(analysis.alpha, alone.alpha, atol=1e-3)
    assert list(saliency) == list(pipe.findings)
    for name, of_finding in saliency.items():
        assert of_finding.shape == (SIDE, SIDE)
        stretched = pipe.processor.to_original_sizes([of_finding], [phantom[0].shape])[0].numpy()
        np.testing.assert_allclose(np.clip(stretched, 0, 1), pipe.explain(phantom[0], name), atol=1e-2)


def test_heat_map_is_grad_cam_as_published(pipe, phantom):
    """By the formula: weights are mean gradients of the logit, what is negative is left out, the branches' mean."""
    output = pipe.model(pipe.pixel_values([load_radiograph(phantom[0])]), output_hidden_states=True)
    gradients = torch.autograd.grad(output.logits[0, 1], output.hidden_states)
    seen = []
    for features, gradient in zip(output.hidden_states, gradients, strict=True):
        values = torch.einsum("chw,c->hw", features[0], gradient[0].mean((1, 2))).clamp(min=0)
        assert values.max() > 0
        size = output.cnn_input.shape[-2:]
        seen.append(F.interpolate(values[None, None], size, mode="bilinear")[0, 0])
    expected = paste_back(torch.stack(seen).mean(0)[None, None], output.roi_affine, SIDE)[0, 0]
    saliency = grad_cam(pipe.model, output, SIDE)[0, 1]
    torch.testing.assert_close(saliency, (expected / expected.max()).detach(), atol=1e-5, rtol=1e-4)


def test_a_branch_the_answer_does_not_depend_on_makes_no_part_of_the_heat_map(pixel_values):
    model = tiny_model(fusion="gated")
    with torch.no_grad():
        model.fusion.gate.weight.zero_()
        model.fusion.gate.bias.copy_(torch.tensor([0.0, -25.0]))
    output = model(pixel_values, output_hidden_states=True)
    assert output.fusion_weights[:, 1].max() < 1e-9
    both = grad_cam(model, output, SIDE)
    first, second = output.hidden_states
    output.hidden_states = (first, torch.zeros_like(second))
    alone = grad_cam(model, output, SIDE)
    speaks_for_it = alone.amax((2, 3)) > 0
    assert speaks_for_it.any()
    torch.testing.assert_close(both[speaks_for_it], alone[speaks_for_it], atol=1e-4, rtol=0)


def test_explain(pipe, phantom):
    saliency = pipe.explain(phantom[0][:200], "tuberculosis")
    assert saliency.shape == (200, 256)
    assert saliency.dtype == np.float32
    assert 0 <= saliency.min() <= saliency.max() <= 1
    with pytest.raises(ValueError, match="not 'gout'"):
        pipe.explain(phantom[0], "gout")


def test_explanations_differ_between_findings(pipe, phantom):
    assert not np.allclose(pipe.explain(phantom[0], "tuberculosis"), pipe.explain(phantom[0], "pneumonia"))
