"""What is used of Gradio beyond what it documents: after an upgrade, this says what is gone."""

import inspect
import json
from pathlib import Path

import pytest
from gradio import component_meta
from gradio.data_classes import FileData

from lungfusion.app import gradio_compat
from lungfusion.app.gradio_compat import PRIVATE, GradioMCPServer, file_field, gr, patch_mcp

NAMES = [(owner, name) for owner, names in PRIVATE.items() for name in names]


@pytest.mark.parametrize(("owner", "name"), NAMES, ids=[f"{owner.__name__}.{name}" for owner, name in NAMES])
def test_gradio_still_has_what_the_app_uses_of_it(owner, name):
    made = owner() if owner in (gr.File, gr.Blocks) else owner
    assert hasattr(made, name)


def test_gradio_still_takes_the_word_that_the_page_is_there():
    assert set(gradio_compat.TRUSTED) <= set(inspect.signature(gr.Blocks.launch).parameters)


def test_gradio_starts_without_type_stubs_for_its_components(monkeypatch):
    def looked_through(*_):
        raise LookupError

    monkeypatch.setattr(component_meta, "extract_class_source_code", looked_through)
    with gradio_compat.without_stubs():
        component_meta.create_or_modify_pyi(gr.File, "File", [])
        assert inspect.getfile(Path)
    with pytest.raises(LookupError):
        component_meta.create_or_modify_pyi(gr.File, "File", [])


def test_no_empty_file_is_left_behind_by_a_field(tmp_path):
    field, file = file_field(), tmp_path / "chest.png"
    field.GRADIO_CACHE = str(tmp_path / "cache")
    file.write_bytes(b"1")
    assert field.preprocess(FileData(path=str(file))) == str(file)
    assert not list(tmp_path.rglob("cache/*"))


def test_language_models_are_answered_in_json():
    patch_mcp()
    patch_mcp()  # a second app in one process
    assert GradioMCPServer.convert_strings_to_filedata.by_itself.__module__ == "gradio.mcp"
    with gr.Blocks() as demo:
        gr.on([], lambda: {}, None, gr.JSON(), api_name="analyze")
    (said,) = GradioMCPServer(demo).postprocess_output_data([{"findings": [], "invert": False}], "http://here")
    assert json.loads(said.text) == {"findings": [], "invert": False}


def test_an_address_is_that_of_an_upload_or_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / "a b.png").write_bytes(b"1")
    assert gradio_compat.uploaded("chest.png") == "chest.png"
    assert gradio_compat.uploaded(f"http://x/gradio_api/file={tmp_path}/a%20b.png") == str(tmp_path / "a b.png")
    with pytest.raises(gr.Error, match="Addresses are not fetched"):
        gradio_compat.uploaded("http://x/gradio_api/file=/etc/passwd")
