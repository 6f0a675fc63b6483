"""Training and scoring the lesion branch: what readers said, free-response ROC, the whole command on phantoms."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Sequence, Value

from lungfusion.models import LungFusionForImageClassification, LungFusionImageProcessor
from tests.support.helpers import png
from tests.support.launching import train_here
from tests.support.tiny import SIDE, find_lungs_everywhere, tiny_model
from train import evaluate
from train import lesions as command
from train.augment.phantom.radiograph import draw_phantom
from train.calibrate.findings import replace_lesions
from train.calibrate.lesions import calibrate_lesions
from train.data.arrays import LungArrays
from train.data.lesions import lesion_labels
from train.data.sources import known_sources
from train.report.lesions import lesions_table, summarise_lesions
from train.scoring.lesions import find_made, froc, peaks

BOX = [["Nodule", 256, 256, 384, 384], ["Effusion", 0, 900, 200, 1000]]


def write_read_radiographs(root, count=12):
    """nih-experts as the Hub has it, and the readers' table: every second phantom has a nodule with a box."""
    kinds = {"image": Image(), "findings": Sequence(Value("string"))}
    features = Features(kinds | {"patient_id": Value("string"), "file_name": Value("string")})
    table = []
    for split, first in (("train", 0), ("validation", count)):
        rows = []
        for index in range(count):
            pixels, _ = draw_phantom(seed=first + index, size=96)
            if index % 2:
                pixels[24:36, 24:36] += 0.5
            name = f"{split}-{index}.png"
            rows.append({"image": png(pixels.clip(0, 1)), "findings": [], "patient_id": name, "file_name": name})
            votes = {"google14_nodule_votes5": 4 * (index % 2), "google14_mass_votes5": 4 * (index % 4 == 1)}
            table.append({"file_name": name, "chestxdet_boxes": json.dumps(BOX) if index % 2 else None} | votes)
        (root / "nih-experts").mkdir(parents=True, exist_ok=True)
        path = root / "nih-experts" / f"{split}-00000-of-00001.parquet"
        Dataset.from_list(rows, features=features).to_parquet(path)
    (root / "nih-expert-labels").mkdir()
    Dataset.from_list(table).to_parquet(root / "nih-expert-labels" / "labels.parquet")


def said_of(tmp_path, *rows):
    """`lesion_labels` of images of which the readers' table and a report say this."""
    (tmp_path / "nih-expert-labels").mkdir()
    table = [{"file_name": str(i)} | said for i, (_, said) in enumerate(rows)]
    Dataset.from_list(table).to_parquet(tmp_path / "nih-expert-labels" / "labels.parquet")
    data = Dataset.from_dict(
        {"findings": [listed for listed, _ in rows], "file_name": [str(i) for i in range(len(rows))]},
        Features({"findings": Sequence(Value("string")), "file_name": Value("string")}),
    )
    return lesion_labels(data, known_sources()["nih"], tmp_path)


def test_readers_go_before_reports(tmp_path):
    nothing = {"google14_nodule_votes5": None, "google14_mass_votes5": None, "google4_nodule_mass": None}
    nothing |= {"chestxdet_boxes": None}
    voted = {"google14_nodule_votes5": 2, "google14_mass_votes5": 4}
    known = said_of(
        tmp_path,
        (["Nodule"], nothing),
        ([], nothing),
        (["Nodule"], nothing | voted),
        ([], nothing | {"google4_nodule_mass": 1}),
        ([], nothing | {"chestxdet_boxes": json.dumps(BOX)}),
        (["Effusion"], nothing),
    )
    np.testing.assert_allclose(known["labels"][0], [1, 0, 1])
    np.testing.assert_allclose(known["weights"][:2], 0.25)  # mined
    np.testing.assert_allclose(known["labels"][2], [0.4, 0.8, 0.8])
    assert known["labels"][3, 2] == 1 and known["weights"][3, 2] == 1
    assert known["labels"][4].tolist() == [1, 0, 1] and known["place_weights"][4] == 1
    np.testing.assert_allclose(known["boxes"][4, 0], [0, -0.375, -0.375, 0.125, 0.125])
    assert np.isnan(known["boxes"][4, 1:]).all()  # the effusion is none
    assert known["place_weights"].tolist() == [0, 0.25, 0, 0, 1, 0.25]
    assert known["read"].tolist() == [False, False, True, True, True, False]
    assert known["healthy"].tolist() == [False, True, False, False, False, False]


def row(marks, boxes=(), patient="a"):
    marks, boxes = np.reshape(marks, (-1, 3)), np.reshape(boxes, (-1, 5))
    label = float(len(boxes) > 0)
    cell = np.array([0.05, 0.05])
    return {"patient_id": patient, "located": True, "label_either": label, "boxes": boxes, "marks": marks, "cell": cell}


def test_froc_counts_lesions_and_false_places(few_draws):
    box = (0, 0.5, 0.5, 0.1, 0.1)
    rows = [
        row([(0.5, 0.55, 3.0), (-0.5, 0, 1.0)], [box]),  # found, at a logit above all false ones
        row([(0.5, 0.9, 2.0)], [box]),  # beside it
        row([(0.5, 0.5, 0.5), (0, 0, 0.1)], [box, (1, -0.8, 0, 0.1, 0.1)]),  # one found late, one not at all
        row([(0, 0, 0.8)]),
    ]
    figures = froc(rows)
    assert (figures["images"], figures["lesions"]) == (4, 4)
    assert figures["sensitivity_at_0.5"]["value"] == 0.25  # two false places in four images: above 0.8
    assert figures["sensitivity_at_1"]["value"] == 0.5
    assert froc([row([(0, 0, 1.0)])]) == {}


def test_peaks_lie_where_the_map_has_them():
    lesion_map = torch.full((4, 4), -5.0)
    lesion_map[1, 3] = 2
    found = peaks(lesion_map, torch.eye(2, 3) * torch.tensor([0.5, 0.5, 1]))
    best = found["marks"][found["marks"][:, 2].argmax()]
    np.testing.assert_allclose(best, [0.375, -0.125, 2])
    np.testing.assert_allclose(found["cell"], 0.125)


def found_in_chests(look, count=40, side=64):
    """`find_made` in dark lungs between bright tissue; look: the change of a picture (1, 1, S, S) → logits."""
    alpha = np.zeros((count, side, side), np.uint8)
    alpha[:, 8:56, 6:28] = alpha[:, 8:56, 36:58] = 255
    chests = np.where(alpha, 50, 200).astype(np.uint8)
    before, whole = torch.from_numpy(chests[:1]) / 255, torch.eye(2, 3)[None]
    lesions = SimpleNamespace(size=side, look=lambda drawn: look(drawn - before))
    concatenation = SimpleNamespace(roi_affine=lambda alpha: whole)
    model = SimpleNamespace(device="cpu", concatenation=concatenation, lesions=lesions)
    return find_made(model, [LungArrays(chests, alpha)], threshold=0.015)


def test_made_nodules_are_found_by_who_sees_them():
    made = found_in_chests(lambda change: torch.nn.functional.avg_pool2d(change, 4))
    counts = [sum(one["lesions"] for one in table.values()) for table in made.values()]
    assert counts[0] == counts[1] and 30 <= counts[0] < 40  # the faintest are left out
    assert made["contrast"]["0.08–1"]["found"] > 0.8 and made["size"]["30–40"]["found"] > 0.8
    assert made["contrast"]["0.02–0.04"]["found"] < made["contrast"]["0.08–1"]["found"]
    blind = found_in_chests(lambda change: torch.zeros(1, 1, 16, 16))
    assert {one["found"] for table in blind.values() for one in table.values()} == {0}


@pytest.fixture
def classifier(tmp_path):
    model = tiny_model(findings=["pneumonia", "nodule", "mass"], concatenation="align", branch_size=32)
    find_lungs_everywhere(model.segmenter)
    model.save_pretrained(tmp_path / "classifier")
    LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path / "classifier")
    return tmp_path / "classifier"


def rows_of(source, count, present, logits, side=448):
    """As `score_lesions` gives them, of images that all have a nodule, or none."""
    shares = 1 / (1 + np.exp(-logits))
    labels = {"label_nodule": float(present), "label_mass": float("nan"), "label_either": float(present)}
    said = [{"probability_nodule": float(share), "probability_mass": 0.5, "side": side} for share in shares]
    return [{"source": source, "patient_id": f"{source}{present}{i}"} | labels | said[i] for i in range(count)]


def test_few_without_a_lesion_are_called_and_coarse_images_say_nothing(few_draws):
    model = tiny_model(
        findings=["nodule"], lesion_backbone="test_efficientnet", lesion_size=64, lesion_findings=["nodule"], shown=[]
    )
    random, sources = np.random.default_rng(0), {name: known_sources()["nih"] for name in ("nih", "nih_experts")}
    rows = rows_of("nih", 100, False, random.normal(-2, 1, 100)) + rows_of("nih", 100, True, random.normal(1, 1, 100))
    rows += rows_of("nih_experts", 50, False, random.normal(-1, 1, 50))
    coarse = rows_of("nih_128", 100, False, np.full(100, 9.0), side=128)
    for mean, shown in ((-9, ["nodule"]), (3, ["nodule"]), (None, [])):  # logit of healthy people elsewhere
        away = [] if mean is None else rows_of("pakistan", 40, False, random.normal(mean, 1, 40))
        copies = [dict(row) for row in rows + coarse + away]
        calibrate_lesions(SimpleNamespace(model=model), copies, sources, ["pakistan"])
        config = model.config
        reached = np.array([row["probability_nodule"] >= config.thresholds["nodule"] for row in copies])
        called = [reached[:100].mean(), reached[200:250].mean()]  # of the two without a nodule
        called += [] if mean is None else [reached[-40:].mean()]
        assert 0.01 < max(called) <= 0.03
        assert config.shown == shown and config.min_sides == {"nodule": 256}
        assert config.rule_out_thresholds["nodule"] < config.thresholds["nodule"]
        assert config.operating_points["nodule"].get("away_false_alarms") == (None if mean is None else called[2])


def test_the_whole_command(classifier, tmp_path, few_draws, monkeypatch):
    for module in ("calibrate", "report"):
        monkeypatch.setattr(f"train.{module}.lesions.MIN_SIDE", 96)
    write_read_radiographs(tmp_path / "data")
    settings = ["lesion_findings: [nodule, mass]", "lesion_size: 64", f"image_size: {SIDE}"]
    overrides = [
        f"init_from={classifier}",
        f"data_root={tmp_path / 'data'}",
        "pretrained=null",
        "workers=0",
        "branch_of=null",
    ]
    overrides += ["sources={nih_experts: {}}", "not_learned=[]", "epoch_size=16", "batch_size=4", "mixed_precision=no"]
    for name, backbone in (("without", "null"), ("with", "test_efficientnet")):
        model = f"model={{lesion_backbone: {backbone}, {', '.join(settings)}}}"
        train_here(command, "lesions.yaml", tmp_path / name, *overrides, model)
    run = tmp_path / "with"
    before, after = (LungFusionForImageClassification.from_pretrained(p) for p in (classifier, run / "model"))
    weights = after.state_dict()
    for key, tensor in before.state_dict().items():
        torch.testing.assert_close(weights[key], tensor, atol=1e-3, rtol=1e-3)  # rounded, else as it was
    assert after.config.lesion_backbone == "test_efficientnet" and "nodule" in after.config.operating_points
    shutil.copytree(classifier, tmp_path / "findings" / "model")
    replace_lesions(run / "model", tmp_path / "findings")
    given = LungFusionForImageClassification.from_pretrained(tmp_path / "findings" / "model")
    assert all(torch.equal(tensor, weights[key]) for key, tensor in given.lesions.state_dict(prefix="lesions.").items())
    assert given.config.min_sides == after.config.min_sides and given.config.thresholds == after.config.thresholds
    figures = json.loads((run / "lesions.json").read_text())
    of_all = figures["sources"]["all that radiologists read"]
    assert of_all["findings"]["either"]["images"] == 12 and of_all["froc"]["lesions"] == 6
    assert set(figures["made"]) == {"size", "contrast"}  # how many are seen where lungs are darker: above
    (run / "lesions.csv").rename(tmp_path / "all.csv")
    evaluate.main(["--run", str(run), "--images", "8"])
    again = json.loads((run / "lesions.json").read_text())["sources"]["nih_experts"]
    assert again["findings"]["either"]["images"] == 8
    assert again["froc"]["images"] == 8
    (tmp_path / "all.csv").rename(run / "lesions.csv")
    table = {name: summarise_lesions([tmp_path / name], [tmp_path / "without"]) for name in ("without", "with")}
    assert table["without"]["auc_difference"]["value"] == 0 and table["without"]["froc"] == {}
    lines = lesions_table(table)
    assert "no map" in lines[2] and "12 (6)" in lines[3]
