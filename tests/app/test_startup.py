"""A server starts with the model asked for, and with the bundled one while the Hub is down; never with a wrong one."""

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import SafetensorError
from transformers import BertConfig

from lungfusion import LungFusionPipeline, load_radiograph
from lungfusion.app import page
from lungfusion.app.examples import Examples
from lungfusion.app.startup import PromisedPipeline, compile_in_background, load_or_bundled
from tests.support.tiny import alike


def test_the_model_asked_for(checkpoint):
    pipe, asked_for = load_or_bundled(str(checkpoint))
    assert pipe.model.config.branches == ["test_efficientnet", "test_resnet"]
    assert asked_for is True


@pytest.mark.parametrize("of", ["checkpoint", "segmenter"])
def test_what_a_page_says_is_known_before_the_weights_are_there(of, checkpoint, tmp_path):
    folder = {"checkpoint": checkpoint, "segmenter": tmp_path}[of]
    if of == "segmenter":
        LungFusionPipeline.from_pretrained(checkpoint).segmenter.save_pretrained(tmp_path)
        shutil.copy(checkpoint / "preprocessor_config.json", tmp_path)
    promised, pipe = PromisedPipeline(folder), LungFusionPipeline.from_pretrained(folder)
    assert not promised.pipe.done()
    for known in ("findings", "limits", "evidence"):
        assert getattr(promised, known) == getattr(pipe, known)
    for known in ("findings", "concatenation"):
        assert getattr(promised.config, known, None) == getattr(pipe.config, known, None)


def test_who_asks_before_the_weights_are_there_waits(checkpoint, phantom):
    promised = PromisedPipeline(checkpoint)
    with ThreadPoolExecutor() as visitors:
        asked = (lambda: promised(phantom[0]), lambda: promised.analyse_and_explain(load_radiograph(phantom[0]))[0])
        answers = [visitors.submit(one) for one in asked]
        promised.load()
        one, other = (answer.result(60) for answer in answers)
    assert one.to_dict() == alike(other.to_dict())


def test_weights_that_cannot_be_used_end_the_app(checkpoint, tmp_path, monkeypatch):
    """The page is served by then; visitors who wait for an answer must not keep the process, nor uploads stay."""
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"cut")
    promised, deleted = PromisedPipeline(folder), []
    demo = SimpleNamespace(sentences=None, first=None, launch=lambda **_: None)
    monkeypatch.setattr(page, "delete_uploads", deleted.append)
    with pytest.raises(SafetensorError) as why:
        page.launch(demo, Examples(tmp_path), promised.load)
    assert deleted == [demo]
    with pytest.raises(SafetensorError, match=str(why.value)):
        promised(np.zeros((64, 64)))


def test_no_visitor_waits_for_the_model_to_be_compiled(checkpoint, phantom):
    pytest.importorskip("openvino")
    pipe, _ = load_or_bundled(str(checkpoint))
    before = pipe(phantom[0])
    compiling = compile_in_background(pipe)
    assert pipe(phantom[0])["pneumonia"].probability == pytest.approx(before["pneumonia"].probability, abs=1e-4)
    compiling.join()
    assert pipe.backend.is_compiled
    assert pipe(phantom[0])["pneumonia"].probability == pytest.approx(before["pneumonia"].probability, abs=1e-4)


@pytest.mark.parametrize("name", [None, ""])
def test_the_bundled_model_if_none_is(name):
    pipe, asked_for = load_or_bundled(name)
    assert "tuberculosis" in pipe.findings
    assert asked_for is True


def test_the_bundled_model_while_the_hub_is_down(caplog):
    with caplog.at_level(logging.WARNING, "lungfusion.app.startup"):
        pipe, asked_for = load_or_bundled("owner/model")  # no test touches the network: it can't be reached
    assert "tuberculosis" in pipe.findings
    assert asked_for is False
    assert "owner/model could not be loaded from the Hub: We couldn't connect to" in caplog.text


def test_a_folder_that_holds_no_model_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"has no config\.json"):
        load_or_bundled(str(tmp_path))
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a bert model"):
        load_or_bundled(str(tmp_path))
