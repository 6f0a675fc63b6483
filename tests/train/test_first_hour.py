"""The first hour of train/README.md, on a made copy of that set's shape: its own lines, smaller networks."""

import json

import pytest

from tests.benchmarks.first_hour import README, commands, table
from tests.support.helpers import TINY_FINDINGS, TINY_LUNGS, drawn
from tests.support.launching import train_here
from train import classify, prepare, segment
from train.data.card import data_sets_table
from train.data.layouts import LAYOUTS

PATIENTS = 40
KEPT = ("model.findings", "sources", "init_from", "epochs")  # as the recipe has them


@pytest.fixture
def raw(tmp_path):
    """The Shenzhen set's folders, of phantoms."""
    for number in range(PATIENTS):
        sick = number % 2
        image, mask = drawn(number, "upper_lobe" if sick else None)
        for name, picture in (
            (f"CXR_png/CHNCXR_{number:04}_{sick}.png", image),
            (f"mask/CHNCXR_{number:04}_{sick}_mask.png", mask),
        ):
            path = tmp_path / "shenzhen" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture["bytes"])
    return tmp_path


@pytest.mark.usefixtures("few_draws")
def test_its_lines_lead_to_a_segmenter_and_a_classifier(raw, monkeypatch):
    monkeypatch.chdir(raw)
    preparing, segmenting, classifying = commands()
    assert [command[:3] for command in (preparing, segmenting, classifying)] == [
        ["python", "-m", f"train.{name}"] for name in ("prepare", "segment", "classify")
    ]
    prepare.main(preparing[3:])
    assert (raw / "data/shenzhen-tuberculosis/README.md").exists()
    tiny = [override for override in TINY_FINDINGS if override.split("=")[0] not in KEPT]
    long = [*TINY_LUNGS, "epochs=10"]  # long enough for its masks not to be refused
    for command, module, overrides in ((segmenting, segment, long), (classifying, classify, tiny)):
        assert command[3] == "--recipe" and len(command) == 5
        name = command[4].rsplit("/", 1)[1]
        train_here(module, name, f"runs/{name.removesuffix('.yaml')}", *overrides)
    lines = table(raw / "runs", [0.1, 0.2, 0.3])
    assert "Dice 0." in lines[3] and "ROC AUC of tuberculosis" in lines[4]
    metrics = json.loads((raw / "runs/first_findings/metrics.json").read_text())["shenzhen"]
    assert metrics["findings"]["tuberculosis"]["images"] == metrics["images"] > 0
    assert (raw / "runs/first_findings/README.md").exists()


def test_every_layout_is_in_the_table_of_data_sets():
    lines = data_sets_table(LAYOUTS)
    assert len(lines) == 2 + len(LAYOUTS) + 1  # and what radiologists said of NIH's
    assert "\n".join(lines) in README.read_text(), "train/README.md is to have:\n" + "\n".join(lines)
