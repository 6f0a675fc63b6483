"""A run becomes the bundled checkpoint, and the READMEs say what it measured."""

import json
import shutil

import pytest
from safetensors import safe_open

from lungfusion import Evidence, LungFusionConfig, LungFusionPipeline
from lungfusion.evidence import FindingEvidence, Place, Share
from train.bundle import main
from train.publish.readme import NOT_MEASURED, findings_table, with_output, with_tables

AUC = {"value": 0.9, "interval": [0.85, 0.95]}


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


def write_figures(folder, **places):
    LungFusionConfig(findings=["tuberculosis"]).save_pretrained(folder)
    evidence = FindingEvidence(("phantoms", "drawings"), places=places)
    Evidence({"tuberculosis": evidence}).save_pretrained(folder)
    found = {"phantoms": 0.9, "drawings": 0.95, "pakistan": 0.5}
    metrics = {
        name: {"findings": {"tuberculosis": {"auc": AUC | {"value": value}, "images": 50}}}
        for name, value in found.items()
    }
    (folder / "metrics.json").write_text(json.dumps(metrics | {"nothing": {"findings": {}}}))


def test_findings_table_says_what_holds_away_from_home(tmp_path):
    elm = Place(auc_healthy=Share(0.8, 0.75, 0.85, 90), called_healthy=Share(0.125, 0.1, 0.15, 80))
    write_figures(tmp_path, elm=elm, oak=Place(found=Share(0.7, 0.6, 0.8, 50), called_healthy=Share(0.1, 0.0, 0.2, 80)))
    cells = [cell.strip() for cell in findings_table(tmp_path)[-1].strip("|").split("|")]
    assert cells[:2] == ["tuberculosis", "0.900 (0.850–0.950), n = 50"]  # of the worst data set, but the confounded one
    assert cells[2:] == [
        "0.800 (0.750–0.850), n = 90, elm",
        "0.700 (0.600–0.800), n = 50, oak",
        "0.125 (0.100–0.150), n = 80, elm",
    ]


def test_findings_table_says_what_was_not_measured(tmp_path):
    write_figures(tmp_path)
    cells = [cell.strip() for cell in findings_table(tmp_path)[-1].strip("|").split("|")]
    assert cells[2:] == [NOT_MEASURED] * 3


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
