"""A server starts with the model asked for, and with the bundled one while the Hub is down; never with a wrong one."""

import logging

import pytest
from transformers import BertConfig

from lungfusion.app.startup import compile_in_background, load_or_bundled


def test_the_model_asked_for(checkpoint):
    pipe, asked_for = load_or_bundled(str(checkpoint))
    assert pipe.model.config.branches == ["test_efficientnet", "test_resnet"]
    assert asked_for is True


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
