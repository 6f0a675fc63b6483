"""transformers.pipeline("chest-radiograph"): the package's own answer, by the code that is pushed with a model."""

import runpy
import sys

import numpy as np
import pytest
from PIL import Image
from transformers import pipeline

from lungfusion import LungFusionImageProcessor, LungFusionPipeline, RadiographError
from tests.support.tiny import SIDE, find_lungs_everywhere, tiny_model
from train.augment.phantom.radiograph import write_dicom
from train.push import add_hub_pipeline


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """Folder of a model as it is pushed."""
    folder = tmp_path_factory.mktemp("pushed")
    model = tiny_model(concatenation="crop")
    find_lungs_everywhere(model.segmenter)
    add_hub_pipeline(model.config, folder)
    model.save_pretrained(folder)
    LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def radiographs(pushed):
    return pipeline("chest-radiograph", str(pushed), trust_remote_code=True, device="cpu")


def test_deep_files_and_dicom_are_answered_as_by_the_package(radiographs, pushed, phantom, tmp_path):
    pixels, _ = phantom
    Image.fromarray(np.round(pixels * 65535).astype(np.uint16)).save(tmp_path / "deep.png")
    write_dicom(tmp_path / "chest.dcm", pixels)
    files = [str(tmp_path / "deep.png"), str(tmp_path / "chest.dcm"), str(tmp_path / "deep.png")]
    assert type(radiographs).__module__.startswith("transformers_modules.")
    own = [analysis.to_dict() for analysis in LungFusionPipeline.from_pretrained(pushed, device="cpu")(files)]
    for answers in (radiographs(files), radiographs(files, batch_size=8), [radiographs(file) for file in files]):
        for answer, expected in zip(answers, own, strict=True):
            assert answer["warnings"] == expected["warnings"] and answer["height"] == expected["height"]
            probabilities = [[f["probability"] for f in one["findings"]] for one in (answer, expected)]
            assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-4)


def test_what_is_no_chest_gets_no_answer_and_what_is_no_picture_an_error(radiographs):
    answer = radiographs(np.tile(np.linspace(0, 1, 700, dtype=np.float32), (100, 1)))  # seven times as wide as high
    assert answer["findings"] == [] and answer["warnings"]
    assert radiographs(np.eye(100, dtype=np.float32), correct=False)["correction"]["corners"] is None
    with pytest.raises(RadiographError, match="not a picture"):
        radiographs(b"No radiograph.")


def test_other_tasks_stay_as_they_are(pushed, phantom):
    classify = pipeline("image-classification", str(pushed), trust_remote_code=False, device="cpu")
    picture = Image.fromarray((phantom[0] * 255).astype(np.uint8))
    assert {score["label"] for score in classify(picture)} == {"pneumonia", "tuberculosis"}


def test_without_the_package_it_says_what_to_install(pushed, monkeypatch):
    monkeypatch.setitem(sys.modules, "lungfusion", None)
    with pytest.raises(ImportError, match="install it, as the model card says"):
        runpy.run_path(str(pushed / "hub_pipeline.py"))
