"""A run becomes the bundled checkpoint, and the READMEs say what it measured."""

import shutil

import pytest
from safetensors import safe_open

from lungfusion import LungFusionPipeline
from train.bundle import main
from train.publish.readme import with_output, with_tables


@pytest.fixture
def run(checkpoint, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(checkpoint, folder / "model")
    (folder / "README.md").write_text("the card")
    (folder / "metrics.json").write_text('{"phantoms": {"findings": {}}}')
    (folder / "per_image.csv").write_text("stays at home")
    return folder


def test_a_run_is_bundled_with_reports_and_without_code(run, tmp_path):
    beside = tmp_path / "lungs"
    beside.mkdir()
    (beside / "README.md").write_text("the segmenter's card")
    output = tmp_path / "bundled"
    output.mkdir()
    (output / "stale.md").write_text("of the old one")
    main([str(run), "--output", str(output), "--beside", str(beside)])
    names = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "config.json",
        "evidence.json",
        "lungs/README.md",
        "metrics.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    assert "auto_map" not in (output / "config.json").read_text()
    with safe_open(output / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(key).get_dtype() for key in weights.keys()} <= {"F16", "I64"}  # noqa: SIM118
    assert len(LungFusionPipeline.from_pretrained(output).model.config.findings) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundled", "lungs", "run"]


def test_reports_are_added_to_the_checkpoint_that_is_there(run, tmp_path):
    output, beside = tmp_path / "bundled", tmp_path / "compared"
    main([str(run), "--output", str(output)])
    weights = (output / "model.safetensors").read_bytes()
    with pytest.raises(FileNotFoundError, match="compared is not there"):
        main(["--output", str(output), "--beside", str(beside)])
    assert not (output / "compared").exists()
    beside.mkdir()
    (beside / "compare.md").write_text("a table")
    (beside / "left_out.csv").write_text("stays at home")
    main(["--output", str(output), "--beside", str(beside)])
    assert [path.name for path in (output / "compared").iterdir()] == ["compare.md"]
    assert (output / "model.safetensors").read_bytes() == weights


def test_what_can_not_be_bundled_leaves_the_old_one_whole(run, tmp_path):
    output = tmp_path / "bundled"
    main([str(run), "--output", str(output)])
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(FileNotFoundError, match="lungs is not there"):
        main([str(run), "--output", str(output), "--beside", str(tmp_path / "lungs")])
    (run / "model" / "model.safetensors").unlink()
    with pytest.raises(OSError):
        main([str(run), "--output", str(output)])
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_a_table_is_written_between_its_comments_alone(tmp_path):
    (tmp_path / "own.md").write_text("| a |\n| --- |\n| 1 |\n")
    text = "before\n\n<!-- table: own.md -->\nstale\n<!-- /table -->\n\nafter\n"
    written = with_tables(text, tmp_path)
    assert written == text.replace("stale\n", "\n| a |\n| --- |\n| 1 |\n\n")
    assert with_tables(written, tmp_path) == written


def test_output_is_what_the_python_above_it_prints():
    text = "```python\nprint(6 * 7)\n```\n\n<!-- output -->\nstale\n<!-- /output -->\n\nafter\n"
    written = with_output(text)
    assert written == text.replace("stale\n", "\n```text\n42\n```\n\n")
    assert with_output(written) == written
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        with_output(text.replace("6 * 7", "1 / 0"))
