"""The bundled checkpoint: loads without a network, says what it said when it was scored, and is small."""

import json
import os
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
import yaml
from PIL import Image

from lungfusion import LungFusionPipeline, RadiographError
from lungfusion.checks.input_checks import MIN_MASK_QUALITY
from tests.support.tiny import draw_phantom
from train.augment.corruptions import corrupt
from train.augment.ood_images import DRAWINGS, ood_images
from train.augment.phantom.radiograph import write_dicom
from train.bundle import TABLES_FROM
from train.io import cell, read_yaml
from train.publish.readme import OUTPUT, with_tables
from train.report import tables
from train.report.card import card_text
from train.report.tables import measured_outside_table

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "lungfusion" / "checkpoints" / "default"
DATA = Path(os.environ.get("LUNGFUSION_DATA", ROOT.parent / "shared" / "data"))
SHENZHEN = DATA / "shenzhen-tuberculosis"


@pytest.fixture
def pipe(bundled):
    return bundled


def dice(alpha, mask):
    drawn = alpha > 0.5
    return 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.01), (torch.bfloat16, 0.06)])
def test_half_precision_answers_alike(pipe, dtype, tolerance):
    half = LungFusionPipeline.from_pretrained(device="cpu", dtype=dtype)
    pixel_values = pipe.processor(draw_phantom(seed=0, size=512)[0], return_tensors="pt")["pixel_values"]
    told = [pipe.model.config.label2id[name] for name in pipe.findings]
    with torch.inference_mode():
        own = half.model(pixel_values.to(dtype)).logits.float().sigmoid()
        exact = pipe.model(pixel_values).logits.sigmoid()
    torch.testing.assert_close(own[:, told], exact[:, told], atol=tolerance, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_draws_the_phantoms_lungs(pipe, seed):
    pixels, mask = draw_phantom(seed=seed, size=512)
    assert dice(pipe(pixels).alpha, mask) > 0.9


def test_tilt_moves_the_lungs_along(pipe):
    pixels, mask = draw_phantom(seed=1, size=512, tilt=15)
    assert dice(pipe(pixels).alpha, mask) > 0.9


def test_knows_when_its_outline_is_good(pipe):
    pixels, _ = draw_phantom(seed=0, size=512)
    clear = pipe(pixels)
    assert clear.mask_quality >= MIN_MASK_QUALITY and clear.warnings == ()
    for name in ("turned", "enlarged", "shrunk", "posterised", "thumbnail", "noisy"):
        corrupted, _ = corrupt(name, torch.from_numpy(pixels)[None], torch.zeros(1, 512, 512), 0)
        assert pipe(corrupted[0].numpy(), correct=False).mask_quality < clear.mask_quality - 0.01, name


def test_warns_of_inverted_and_turned_phantoms(pipe):
    pixels, _ = draw_phantom(seed=0, size=512)
    assert "inverted" in [warning.code for warning in pipe(1 - pixels, correct=False).warnings]
    turned, _ = draw_phantom(seed=0, size=512, tilt=40)
    assert "rotated" in [warning.code for warning in pipe(turned, correct=False).warnings]
    assert [warning.code for picture in (1 - pixels, turned) for warning in pipe(picture).warnings] == ["corrected"] * 2


def test_noise_is_not_given_lungs_nor_findings(pipe):
    analysis = pipe(np.random.default_rng(0).random((300, 300)).astype(np.float32))
    assert analysis.findings == ()
    assert len(analysis.warnings) == 1 and analysis.refused


def test_every_finding_says_what_it_rests_on(pipe):
    assert {"pneumonia", "tuberculosis"} <= set(pipe.findings)
    for finding in pipe(draw_phantom(seed=0, size=256)[0]).findings:
        assert 0 < finding.threshold < 1
        assert finding.evidence.home["specificity"] >= 0.5
        assert finding.evidence.worst_false_alarms()[1].value <= 0.2
        assert finding.evidence.sources


def test_the_card_is_one_page_and_names_every_file_beside_it():
    card = (CHECKPOINT / "README.md").read_text()
    assert card_text(CHECKPOINT) == card
    for path in CHECKPOINT.glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in card, path.name
    assert len(card.split("# ", 1)[1].splitlines()) < 140


def test_no_auc_where_class_and_device_go_together():
    metrics = json.loads((CHECKPOINT / "metrics.json").read_text())
    assert not metrics["pakistan"]["findings"] and metrics["pakistan"]["off_source"]
    results = yaml.safe_load((CHECKPOINT / "README.md").read_text().split("---")[1])["model-index"][0]["results"]
    aucs = [(result["dataset"]["name"], metric) for result in results for metric in result["metrics"]]
    assert aucs and not [name for name, _ in aucs if "Pakistan" in name]
    assert all(metric["value"] == round(metric["value"], 4) for _, metric in aucs)


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_nothing_is_detected_in_clear_lungs(pipe, size):
    assert [finding.name for finding in pipe(draw_phantom(seed=0, size=size)[0]).findings if finding.detected] == []


def figures_in(tree):
    """Every {"value", "interval"} in a nested dict."""
    if isinstance(tree, dict) and "interval" in tree:
        yield tree
    elif isinstance(tree, dict | list):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from figures_in(branch)


def shares_in(tree):
    """Every {"value", "low", "high"} in a nested dict."""
    if isinstance(tree, dict) and "low" in tree:
        yield tree
    elif isinstance(tree, dict | list):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from shares_in(branch)


def outside_rows():
    measured = read_yaml(Path(tables.__file__).with_name("measured_outside.yaml"))
    lines = [line for rows in measured.values() for line in measured_outside_table(rows)[2:]]
    return [[part.strip() for part in line.strip("|").split("|")] for line in lines]


def test_card_and_readme_hold_no_figure_that_was_not_measured():
    measured = [json.loads(path.read_text()) for path in CHECKPOINT.rglob("*.json")]
    known = {cell(figure) for figure in figures_in(measured)}
    known |= {cell(figure | {"interval": [figure["low"], figure["high"]]}) for figure in shares_in(measured)}
    known |= {row[1].removeprefix("AUC ").split(", n")[0] for row in outside_rows()}
    for text in ((CHECKPOINT / "README.md").read_text(), (ROOT / "README.md").read_text()):
        shown = set(re.findall(r"-?\d\.\d{3} \(-?\d\.\d{3}–-?\d\.\d{3}\)", text))
        assert shown and shown <= known


@pytest.mark.parametrize("readme", TABLES_FROM, ids=lambda path: path.parent.name)
def test_the_readmes_have_the_tables_as_they_are_now(readme):
    text = readme.read_text()
    assert "<!-- table: " in text and with_tables(text, TABLES_FROM[readme]) == text


def test_the_readme_prints_what_the_pipeline_says(pipe):
    printed = OUTPUT.search((ROOT / "README.md").read_text())["printed"]
    said = re.findall(r"^(\w+) (\w+) (\d\.\d\d)$", printed, re.MULTILINE)
    findings = pipe(ROOT / "examples" / "radiographs" / "phantom_clear.png").findings
    assert [(name, level) for name, level, _ in said] == [(finding.name, finding.level) for finding in findings]
    for finding, (_, _, probability) in zip(findings, said, strict=True):
        assert finding.probability == pytest.approx(float(probability), abs=0.015)


STRANGERS = ["photographs", "photographs without colour", *(kind.__name__ for kind in DRAWINGS)]


@pytest.fixture(scope="module")
def strangers():
    pictures = ood_images()
    assert list(pictures) == STRANGERS  # each is asked about below
    return pictures


@pytest.mark.parametrize("kind", STRANGERS)
def test_no_chest_radiograph_gets_an_answer(pipe, strangers, kind):
    for picture in strangers[kind]:
        assert pipe(picture).findings == ()


@pytest.mark.parametrize("quarters, invert", [(0, False), (1, False), (2, False), (3, True), (0, True)])
def test_a_phantom_that_lies_otherwise_is_set_right(pipe, quarters, invert):
    pixels, _ = draw_phantom(seed=4, size=384)
    lying = np.rot90(1 - pixels if invert else pixels, quarters).copy()
    analysis = pipe(lying)
    assert [warning.code for warning in analysis.warnings] == ["corrected"] * bool(quarters or invert)
    assert analysis.correction.invert == invert
    assert (-analysis.correction.angle) % 360 == 90 * quarters
    analysis = pipe(lying, correct=False)
    expected = "not_upright" if quarters else "inverted" if invert else None
    assert [warning.code for warning in analysis.warnings] == [expected] * bool(expected)
    assert bool(analysis.findings) == (not quarters)


def test_figures_the_project_asks_of_it():
    metrics = json.loads((CHECKPOINT / "metrics.json").read_text())
    assert metrics["shenzhen"]["lungs"]["dice"]["value"] >= 0.955
    assert metrics["shenzhen"]["lungs"]["pixel_accuracy"]["value"] >= 0.978
    robustness = json.loads((CHECKPOINT / "lungs_256" / "robustness.json").read_text())
    assert robustness["corrupted"]["change"]["value"] >= -0.01
    quality = json.loads((CHECKPOINT / "lungs_256" / "mask_quality.json").read_text())
    assert quality["all"]["auc"]["value"] >= 0.85 and quality["all"]["spearman"]["value"] >= 0.7
    assert metrics["kermany"]["findings"]["pneumonia"]["auc"]["value"] >= 0.99
    assert metrics["shenzhen"]["findings"]["tuberculosis"]["auc"]["value"] >= 0.965


def test_is_small_and_holds_no_code():
    assert sum(path.stat().st_size for path in CHECKPOINT.rglob("*.*")) < 60e6
    assert not list(CHECKPOINT.glob("*.py"))


@pytest.mark.skipif(not SHENZHEN.exists(), reason="the Shenzhen radiographs are not on this machine")
def test_file_formats_of_real_radiographs_agree(pipe, tmp_path):
    from datasets import load_dataset

    rows = load_dataset(str(SHENZHEN), split="train").select([5, 400])
    for image in rows["image"]:
        grey = np.asarray(image.convert("L"))
        paths = [tmp_path / name for name in ("xray.png", "xray16.png", "xray.dcm")]
        Image.fromarray(grey).save(paths[0])
        Image.fromarray(grey.astype(np.uint16) * 257).save(paths[1])
        write_dicom(paths[2], grey / 255)
        answers = [[finding.probability for finding in pipe(path).findings] for path in paths]
        np.testing.assert_allclose(answers, answers[:1] * 3, atol=0.02)
        assert pydicom.dcmread(paths[2]).PhotometricInterpretation == "MONOCHROME1"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"dear doctor, the picture is attached", "not a picture"),
        (b"", "empty"),
        ("truncated", "cut short"),
        ("huge", "megapixels"),
    ],
    ids=["text", "empty", "truncated", "huge"],
)
def test_refuses_what_is_no_radiograph_with_one_sentence(pipe, content, says):
    if content == "truncated":
        content = (ROOT / "examples" / "radiographs" / "phantom_clear.png").read_bytes()[:20000]
    elif content == "huge":
        buffer = BytesIO()
        Image.new("L", (20000, 20000)).save(buffer, "PNG")
        content = buffer.getvalue()
    with pytest.raises(RadiographError, match=says) as refused:
        pipe(content)
    assert "\n" not in str(refused.value)
