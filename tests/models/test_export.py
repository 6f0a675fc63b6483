"""Exported models say what the models say: torch.export, and ONNX as `examples/export_onnx.py` writes it."""

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

from examples.export_onnx import export, output_names
from tests.support.tiny import SIDE, TINY_DETECTOR, TINY_SEGMENTER, draw_phantom, tiny_model, tiny_segmenter

COMPARED = {"logits", "alpha", "roi_affine", "fused_features", "ood_score", "nodule_map"}


@pytest.fixture(scope="module")
def images():
    """(3, 1, S, S) phantoms: another number of images than the models are exported with."""
    return torch.stack([torch.from_numpy(draw_phantom(seed=s, size=SIDE)[0])[None] for s in range(3)])


@pytest.fixture
def make(phantom_segmenter):
    """A model of a kind; if it classifies, with a segmenter that finds a phantom's lungs, so that there is a region."""

    def make(kind):
        if kind == "plain U-Net":
            return phantom_segmenter
        if kind == "smp U-Net":
            return tiny_segmenter(encoder="tu-test_efficientnet", decoder_channels=[32, 16, 8, 8, 4])
        concatenation, fusion, *nodules = kind.split(", ")
        segmenter = TINY_SEGMENTER | {"width": 8}
        more = {"findings": ["nodule", "mass"], "nodule_detector": TINY_DETECTOR} if nodules else {}
        model = tiny_model(
            concatenation=concatenation, fusion=fusion, segmenter=segmenter, branches=["test_resnet"], **more
        )
        model.segmenter.load_state_dict(phantom_segmenter.state_dict())
        return model

    return make


@pytest.mark.parametrize("kind", ["plain U-Net", "crop, gated", "align, concat, nodules"])
def test_torch_export(kind, make, images):
    model = make(kind)
    shapes = {"pixel_values": {0: torch.export.Dim.DYNAMIC}}
    exported = torch.export.export(model, (), {"pixel_values": images[:2]}, dynamic_shapes=shapes).module()
    answer, expected = exported(pixel_values=images), model(images)
    assert output_names(answer) == output_names(expected)
    for name in COMPARED & set(expected):
        torch.testing.assert_close(answer[name], expected[name], rtol=0, atol=1e-5)
    if kind != "plain U-Net":
        assert (expected.roi_affine[:, 0, 0] < 0.95).all()  # something was cut off


@pytest.mark.parametrize("kind", ["smp U-Net", "crop, gated", "align, concat, nodules"])
def test_onnx(kind, make, images, tmp_path):
    model = make(kind)
    names = export(model, tmp_path / "model.onnx")
    session = InferenceSession(tmp_path / "model.onnx")
    images = torch.nn.functional.interpolate(images, (model.config.image_size, model.config.image_size))
    answer = dict(zip(names, session.run(None, {"pixel_values": images.numpy()}), strict=True))
    assert [output.name for output in session.get_outputs()] == names
    assert list(tmp_path.iterdir()) == [tmp_path / "model.onnx"]  # weights included
    expected = model(images)
    assert len(COMPARED & set(names)) >= 2
    for name in COMPARED & set(names):
        said = expected[name].detach().numpy()
        np.testing.assert_allclose(answer[name], said, rtol=0, atol=1e-4 * max(1, abs(said).max()), err_msg=name)
