"""The check of the heat maps: what is hidden, what is compared, and a table from tiny real data."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from lungfusion import LungFusionPipeline
from lungfusion.models.concatenation import box_to_affine
from tests.support.helpers import Elsewhere, write_source
from train import evaluate
from train.io import weights_digest
from train.scoring.saliency import blur, falls, hottest, tells_more

pytestmark = pytest.mark.usefixtures("few_draws")


def test_a_tenth_of_the_box_is_hidden_where_the_map_is_hottest():
    saliency = torch.zeros(1, 1, 40, 40)
    saliency[..., 10:20, 10:20] = torch.rand(10, 10) + 0.1
    chosen = hottest(saliency, box_to_affine(torch.tensor([[0.0, 0.25, 0.5, 0.75]])))
    assert chosen.sum() == 40  # a tenth of 20 × 20
    assert saliency[chosen].min() >= saliency[..., 10:20, 10:20][~chosen[..., 10:20, 10:20]].max()
    pixels = torch.rand(1, 1, 40, 40)
    assert blur(pixels)[chosen].std() < pixels[chosen].std() / 2


def test_maps_that_point_at_the_score_fall_further_than_others():
    """A model whose logit is the brightness of one corner, another for each image, and maps that point there."""
    seen = []
    corners = [(0, 0), (0, 20), (20, 0), (20, 20)]
    for patient, (y, x) in enumerate(corners):
        saliency = torch.zeros(1, 1, 40, 40)
        saliency[..., y : y + 12, x : x + 12] = 1
        pixels = saliency * 0.9
        output = SimpleNamespace(
            logits=pixels.sum()[None, None], roi_affine=torch.eye(2, 3)[None], alpha=torch.ones_like(pixels)
        )
        seen.append((str(patient), pixels, output, saliency))
    model = SimpleNamespace(config=SimpleNamespace(label2id={"mass": 0}))
    pipeline = SimpleNamespace(model=Brightness(model.config))
    figures = falls(pipeline, seen, "mass")
    elsewhere = [
        (patient, pixels, on_another_device(output), s.as_subclass(Elsewhere)) for patient, pixels, output, s in seen
    ]
    assert falls(pipeline, elsewhere, "mass") == figures
    assert figures["images"] == 4 and figures["inside"]["value"] == 1
    assert figures["own"]["value"] > 10 * abs(figures["other"]["value"])
    assert figures["difference"]["value"] == pytest.approx(figures["own"]["value"] - figures["other"]["value"])
    assert figures["above_mean"]["value"] == pytest.approx(figures["own"]["value"] - figures["mean"]["value"])
    assert tells_more(figures)
    same = [(patient, pixels, output, seen[0][-1]) for patient, pixels, output, _ in seen]
    assert not tells_more(falls(pipeline, same, "mass"))  # one map for all, whoever it is


def on_another_device(output):
    return SimpleNamespace(**{name: tensor.as_subclass(Elsewhere) for name, tensor in vars(output).items()})


class Brightness:
    def __init__(self, config):
        self.config = config

    def __call__(self, pixel_values, alpha):
        return SimpleNamespace(logits=(pixel_values * (pixel_values > 0.8)).sum()[None, None])


def test_command_writes_a_table(checkpoint, tmp_path):
    write_source(tmp_path / "source", ["normal", "pneumonia"], "consolidation", with_mask=False)
    folder = tmp_path / "source"
    (folder / "train-00000-of-00001.parquet").rename(folder / "validation-00000-of-00001.parquet")
    command = ["--model", str(checkpoint), "--dataset", str(folder), "--output", str(tmp_path)]
    evaluate.main([*command, "--also", "saliency"])
    figures = json.loads((tmp_path / "explanations.json").read_text())
    assert figures.pop("weights") == weights_digest(checkpoint)
    assert list(figures) == ["pneumonia, source", "pneumonia, all"]
    assert figures["pneumonia, source"]["images"] == 12
    assert "| pneumonia, source | 12 |" in (tmp_path / "explanations.md").read_text()


def test_a_finding_without_a_map_worth_a_look_has_none(checkpoint, phantom):
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    first, *_ = pipe.findings
    config = pipe.model.config
    pipe.model.config = config.with_findings({first: replace(config.findings[first], explained=False)})
    assert first not in pipe.analyse_and_explain(phantom[0])[1]
    with pytest.raises(ValueError, match=f"There is no heat map of {first}"):
        pipe.explain(phantom[0], first)
    none = {name: replace(finding, explained=False) for name, finding in config.findings.items()}
    pipe.model.config = config.with_findings(none)
    analysis, saliency = pipe.analyse_and_explain(phantom[0])
    assert saliency == {} and analysis.findings


def test_a_run_offers_the_maps_that_proved_to_tell_more(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "model")
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    evaluate.offer_maps(pipe, list(pipe.findings[:1]), tmp_path)
    assert LungFusionPipeline.from_pretrained(tmp_path / "model").model.config.explained == pipe.findings[:1]
