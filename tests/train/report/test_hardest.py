"""The radiographs whose lungs are hardest to outline: chosen by the first model, drawn by all."""

import json

import pytest
from PIL import Image

from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from tests.support.helpers import write_source
from tests.support.tiny import find_lungs_everywhere, tiny_segmenter
from train import compare
from train.data.splits import load_source
from train.report.hardest import compare_hardest


@pytest.fixture
def pipelines(phantom_segmenter):
    processor = LungFusionImageProcessor(size={"height": 64, "width": 64})
    blind = tiny_segmenter()
    find_lungs_everywhere(blind, logit=-3.0)
    return {"old": LungFusionPipeline(phantom_segmenter, processor), "blind": LungFusionPipeline(blind, processor)}


def test_the_least_sure_are_drawn_of_each_source_by_each_model(pipelines, tmp_path):
    for name in ("nodule", "effusion"):
        write_source(tmp_path / name, ["normal", name], name, with_mask=False)
    parts = {name: load_source(tmp_path / name, "validation") for name in ("nodule", "effusion")}
    compare_hardest(pipelines, parts, tmp_path / "out", count=4)
    figures = json.loads((tmp_path / "out" / "hardest.json").read_text())
    with Image.open(tmp_path / "out" / "images" / "hardest.png") as sheet:
        assert min(sheet.size) > 200
    for name, data in parts.items():
        qualities = sorted(one.mask_quality for one in pipelines["old"]([row["image"]["bytes"] for row in data]))
        of_source = figures[name]
        assert of_source["old"]["images"] == 2
        assert of_source["old"]["mask_quality"] == pytest.approx(sum(qualities[:2]) / 2, abs=1e-3)
        assert of_source["blind"]["two_lungs"] == 0 and of_source["blind"]["lung_area"] == 0


def test_the_command_compares_segmenters_too(pipelines, tmp_path, capsys):
    write_source(tmp_path / "one", ["normal", "nodule"], "nodule", with_mask=False)
    for name, pipeline in pipelines.items():
        pipeline.model.save_pretrained(tmp_path / name)
        pipeline.processor.save_pretrained(tmp_path / name)
    models = [f"{name}={tmp_path / name}" for name in pipelines]
    command = ["--models", *models, "--dataset", str(tmp_path / "one"), "--hardest", "2", "--images", "3"]
    compare.main([*command, "--output", str(tmp_path / "out")])
    assert "| one | blind | 2 |" in capsys.readouterr().out
