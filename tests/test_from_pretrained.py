"""What the pipeline is loaded from: a whole checkpoint, and nothing less."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import pipeline
from transformers.utils import logging

from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from tests.support.tiny import tiny_segmenter


def test_a_segmenter_alone_draws_lungs(phantom, tmp_path):
    tiny_segmenter().save_pretrained(tmp_path)
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    pipe = LungFusionPipeline.from_pretrained(tmp_path)
    assert pipe(phantom[0]).alpha.shape == (256, 256)
    assert pipe.findings == ()
    with pytest.raises(ValueError, match="no findings"):
        pipe.explain(phantom[0], "pneumonia")


def test_missing_weights_are_never_filled_in(checkpoint, tmp_path):
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(checkpoint / "model.safetensors")
    weights.pop("classifier.4.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 of the model's weights, classifier\.4\.weight"):
        LungFusionPipeline.from_pretrained(tmp_path)


def test_a_runs_folder_is_taken_and_no_bar_is_drawn(checkpoint, tmp_path, capsys):
    shutil.copytree(checkpoint, tmp_path / "model")
    logging.enable_progress_bar()
    try:
        assert LungFusionPipeline.from_pretrained(tmp_path).findings == ("pneumonia", "tuberculosis")
        assert logging.is_progress_bar_enabled()  # as it was
    finally:
        logging.disable_progress_bar()
    assert capsys.readouterr().err == ""


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"config\.json"):
        LungFusionPipeline.from_pretrained(tmp_path)


def test_another_models_checkpoint_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="vit model"):
        LungFusionPipeline.from_pretrained(tmp_path)


def test_bfloat16_stays_close(checkpoint, pipe, phantom):
    half = LungFusionPipeline.from_pretrained(checkpoint, dtype=torch.bfloat16)(phantom[0])
    assert half["pneumonia"].probability == pytest.approx(pipe(phantom[0])["pneumonia"].probability, abs=0.05)


def test_transformers_own_pipeline_gives_the_same(checkpoint, pipe, phantom, tmp_path):
    path = tmp_path / "xray.png"
    Image.fromarray((phantom[0] * 255).astype(np.uint8)).save(path)
    classifier = pipeline("image-classification", model=str(checkpoint), trust_remote_code=False)
    theirs = {answer["label"]: answer["score"] for answer in classifier(str(path))}
    ours = {finding.name: finding.probability for finding in pipe(path).findings}
    assert theirs == pytest.approx(ours, abs=1e-4)
