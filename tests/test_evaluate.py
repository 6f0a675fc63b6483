"""Evaluation on a data set of masks alone, and the sheets it draws."""

import csv
import json

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from matplotlib.figure import Figure
from PIL import Image

from examples.phantom import draw_phantom
from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from lungfusion.app.view.pictures import CONTOUR_COLOUR
from tests.conftest import find_lungs_everywhere, tiny_model, tiny_segmenter
from tests.helpers import png, write_source
from train import evaluate
from train.data.pictures import image_bytes
from train.data.splits import load_source
from train.report import card as report
from train.report import contact_sheets as sheets
from train.report import figures
from train.report.tables import metrics_tables
from train.report.weights import weights_digest
from train.scoring import images

pytestmark = pytest.mark.usefixtures("few_draws")

FIGURE = {"value": 0.5, "interval": [0.4, 0.6]}


@pytest.fixture(scope="module")
def masks_alone(tmp_path_factory):
    """Folder of a data set with neither `label` nor `findings`."""
    root = tmp_path_factory.mktemp("data")
    write_source(root / "labelled", ["normal", "tuberculosis"], "nodule", with_mask=True)
    data = Dataset.from_parquet(str(root / "labelled" / "train-00000-of-00001.parquet"))
    (root / "masks").mkdir()
    data.remove_columns("label").to_parquet(root / "masks" / "train-00000-of-00001.parquet")
    return root / "masks"


def lungs_everywhere():
    model = tiny_segmenter()
    find_lungs_everywhere(model)
    return model


def lungs_nowhere():
    model = tiny_model()
    find_lungs_everywhere(model.segmenter, logit=-3)
    return model


@pytest.mark.parametrize("make_model", [lungs_everywhere, lungs_nowhere])
def test_a_data_set_of_masks_alone(make_model, masks_alone, tmp_path, capsys):
    make_model().save_pretrained(tmp_path / "model")
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "model")
    command = ["--model", str(tmp_path / "model"), "--dataset", str(masks_alone), "--split", "train"]
    evaluate.main([*command, "--output", str(tmp_path)])
    said = capsys.readouterr().out
    if make_model is lungs_everywhere:
        assert "The model names no findings" in said
    else:
        assert "No radiograph of masks got an answer and has a label of a finding: " in said
    metrics = json.loads((tmp_path / "metrics.json").read_text())["masks"]
    assert metrics["findings"] == metrics["off_source"] == {}
    assert set(metrics["lungs"]) == {"images", "least_dice", *images.LUNG_SCORES}
    with open(tmp_path / "per_image.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(metrics["images"]))
    assert {path.name for path in tmp_path.rglob("*.png")} == {"dice.png", "worst.png", "segmentation.png"}
    assert {path.name for path in (tmp_path / "images").iterdir()} == {"worst.png", "segmentation.png"}
    if make_model is lungs_nowhere:
        assert [float(row["hd95_width"]) for row in rows] == pytest.approx([2**0.5] * len(rows))
        assert metrics["refused"] == metrics["images"]


class Recorder:
    """A pipeline that says what it was asked."""

    def __init__(self, pipeline):
        self.pipeline, self.asked = pipeline, []

    def __call__(self, source):
        self.asked.append(source)
        return self.pipeline(source)


@pytest.fixture(scope="module")
def pipeline():
    return LungFusionPipeline(lungs_everywhere(), LungFusionImageProcessor(size={"height": 64, "width": 64}))


def test_sheets_show_the_worst_and_the_percentiles_and_read_no_more(pipeline, masks_alone, tmp_path):
    data = load_source(masks_alone, "train")
    scores = np.random.default_rng(0).permutation(len(data)) / 100
    rows = [
        {"source": "masks", "index": i, "dice": score, "file_name": "cost_$1_$2.png"} for i, score in enumerate(scores)
    ]
    without_mask = {"source": "other", "index": 0, "file_name": "1.png"}
    recorder = Recorder(pipeline)
    sheets.write_contact_sheets(recorder, {"masks": data}, [without_mask, *rows], tmp_path / "images")
    places = [
        int(np.flatnonzero([image_bytes(image) == asked for image in data["image"]])[0]) for asked in recorder.asked
    ]
    last = len(data) - 1
    expected = [*range(10), *[round(share * last) for share in (0.1, 0.5, 0.9)]]
    assert [round(100 * scores[place]) for place in places] == expected
    colours = np.asarray(Image.open(tmp_path / "images" / "worst.png").convert("RGB")).reshape(-1, 3)
    for colour in (sheets.HUMAN_COLOUR, CONTOUR_COLOUR):
        assert (colours == colour).all(1).any()


def test_no_sheets_without_masks(pipeline, tmp_path):
    sheets.write_contact_sheets(
        pipeline, {}, [{"source": "other", "index": 0, "file_name": "1.png"}], tmp_path / "images"
    )
    assert not (tmp_path / "images").exists()


def test_tables_show_what_a_run_measured_and_no_more():
    older = {"images": 3, "least_dice": 0.1, "dice": FIGURE}
    table = "\n".join(metrics_tables({"shenzhen": {"lungs": older, "findings": {}}}))
    assert "Dice" in table and "HD95" not in table
    newer = older | dict.fromkeys(images.LUNG_SCORES, FIGURE)
    table = "\n".join(metrics_tables({"shenzhen": {"lungs": newer, "findings": {}}}))
    assert "| HD95 / width | ASSD / width | least Dice |" in table
    assert table.count("0.500 (0.400–0.600)") == 7  # those in pixels are left to metrics.json


def test_mean_auc_is_that_of_the_findings_shown():
    values = [(0.1, 0, 0.9, 0), (0.9, 1, 0.1, 1), (0.2, 0, 0.8, 0), (0.8, 1, 0.7, 1), (None, 1, None, 1)]
    rows = [
        {"patient_id": str(i), "probability_mass": p, "label_mass": y, "probability_edema": q, "label_edema": z}
        for i, (p, y, q, z) in enumerate(values)
    ]
    mean = images.mean_auc_of_shown(rows, ["mass", "edema"])["mean_auc"]
    assert mean["value"] == pytest.approx((1 + 0) / 2)  # mass ranks right, edema the wrong way round
    assert images.mean_auc_of_shown(rows, ["mass"]) == {}
    for row in rows[:2]:
        del row["label_edema"]
    assert images.mean_auc_of_shown(rows, ["mass", "edema"]) == {}


def test_figures_are_of_the_findings_shown_and_can_be_drawn_anew_from_the_file(tmp_path, monkeypatch):
    rows = [
        {"source": "elm", "index": i, "patient_id": str(i), "file_name": f"{i}.png"}
        | {"probability_gout": None if i == 5 else i / 10, "label_gout": i % 2}
        | ({"probability_cold": i / 10, "label_cold": i // 5} if i else {"probability_cold": 0.5})
        for i in range(10)
    ]
    images.write_csv(tmp_path / "per_image.csv", rows)
    read = report.read_rows(tmp_path / "per_image.csv")
    assert [{k: v for k, v in row.items() if k not in ("index",)} for row in read] == [
        {k: v for k, v in row.items() if k != "index"} for row in rows
    ]
    drawn = []
    monkeypatch.setattr(figures, "draw_curves", lambda curves, rows: drawn.append(curves) or Figure())
    monkeypatch.setattr(figures, "draw_confusion", lambda curves, rows, metrics: drawn.append(curves) or Figure())
    for shown, expected in (((True, False), ["gout"]), ((False, False), ["gout", "cold"])):
        found = dict(zip(("gout", "cold"), ({"shown": is_shown} for is_shown in shown), strict=True))
        figures.write_figures({"elm": {"findings": found}}, read, [], tmp_path)
        assert drawn[-2:] == [[("elm", name) for name in expected]] * 2


def labelled_source(folder, images):
    """A data set of one split; images: bytes of each."""
    rows = [
        {"image": {"bytes": data, "path": None}, "label": i % 2, "patient_id": str(i), "file_name": f"{i}.png"}
        for i, data in enumerate(images)
    ]
    names = ClassLabel(names=["normal", "tuberculosis"])
    kinds = {"image": ImageFeature(), "label": names, "patient_id": Value("string"), "file_name": Value("string")}
    folder.mkdir()
    Dataset.from_list(rows, features=Features(kinds)).to_parquet(folder / "validation-00000-of-00001.parquet")
    return folder


def phantoms(count):
    return [png(draw_phantom(seed=seed, size=96)[0])["bytes"] for seed in range(count)]


def test_images_that_cannot_be_read_are_left_out_and_named(checkpoint, tmp_path, capfd):
    broken = {2: b"no picture", 9: b""}
    images_of = [broken.get(i, data) for i, data in enumerate(phantoms(12))]
    folder = labelled_source(tmp_path / "elm", images_of)
    command = ["--model", str(checkpoint), "--dataset", str(folder), "--output", str(tmp_path / "scores")]
    evaluate.main([*command, "--also", "features"])
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())["elm"]
    assert (metrics["images"], metrics["unreadable"], metrics["refused"]) == (10, 2, 0)
    assert metrics["findings"]["tuberculosis"]["images"] == 10
    said = "".join(capfd.readouterr())
    assert "Left out: row 2 of elm, 2.png: this is not a picture" in said
    assert "Left out: row 9 of elm, 9.png" in said
    assert "could not be read, and are in no figure: 2 of elm." in said
    rows = report.read_rows(tmp_path / "scores" / "per_image.csv")
    assert [row["index"] for row in rows if "error" in row] == [2, 9]
    data = Dataset.from_parquet(str(tmp_path / "scores" / "features.parquet"))
    assert data["file_name"] == [f"{i}.png" for i in range(12) if i not in broken]


def test_a_data_set_without_a_label_of_the_findings_is_an_error(checkpoint, masks_alone, tmp_path, capsys):
    data = Dataset.from_parquet(str(masks_alone / "train-00000-of-00001.parquet"))
    (tmp_path / "bare").mkdir()
    data.remove_columns("mask").to_parquet(tmp_path / "bare" / "train-00000-of-00001.parquet")
    command = ["--model", str(checkpoint), "--dataset", str(tmp_path / "bare"), "--output", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        evaluate.main(command)
    assert ended.value.code == 1
    assert "No radiograph of bare got an answer and has a label of a finding: " in capsys.readouterr().out


def test_an_analysis_that_needs_findings_refuses_a_segmenter(masks_alone, tmp_path):
    lungs_everywhere().save_pretrained(tmp_path / "model")
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "model")
    command = ["--model", str(tmp_path / "model"), "--dataset", str(masks_alone), "--output", str(tmp_path)]
    with pytest.raises(SystemExit, match="curves: for a model that names findings"):
        evaluate.main([*command, "--also", "robustness", "curves"])


def test_the_lungs_are_scored_on_altered_images(masks_alone, tmp_path):
    lungs_everywhere().save_pretrained(tmp_path / "model")
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "model")
    command = ["--model", str(tmp_path / "model"), "--dataset", str(masks_alone), "--output", str(tmp_path)]
    evaluate.main([*command, "--also", "robustness"])
    summary = json.loads((tmp_path / "robustness.json").read_text())
    metrics = json.loads((tmp_path / "metrics.json").read_text())["masks"]
    assert summary["weights"] == weights_digest(tmp_path / "model")
    assert summary["unaltered"]["dice"] == metrics["lungs"]["dice"]


def test_what_a_source_knows_in_one_way_only_is_a_share(checkpoint):
    """Of 20 healthy people half are called ill, of 10 ill ones all are."""
    pipeline = LungFusionPipeline.from_pretrained(checkpoint)
    threshold = pipeline.model.config.thresholds["tuberculosis"]
    rows = [
        {"source": "elm", "patient_id": str(i), "refused": 0, "probability_pneumonia": None, "label_tuberculosis": 0}
        | {"probability_tuberculosis": threshold if i % 2 else threshold / 2}
        for i in range(20)
    ]
    healthy = images.summarise(rows, pipeline)
    assert healthy["findings"] == {} and list(healthy["off_source"]) == ["tuberculosis"]
    figures = healthy["off_source"]["tuberculosis"]
    assert (figures["images"], figures["positive"], figures["detected"]["value"]) == (20, 0, 0.5)
    low, high = figures["detected"]["interval"]
    assert (low, high) == (pytest.approx(0.299, abs=1e-3), pytest.approx(0.701, abs=1e-3))  # Wilson's
    ill = images.summarise(
        [row | {"label_tuberculosis": 1} for row in rows if row["probability_tuberculosis"] == threshold], pipeline
    )
    assert ill["off_source"]["tuberculosis"]["detected"]["value"] == 1
    table = "\n".join(metrics_tables({"elm": healthy, "oak": ill}))
    assert "| tuberculosis | elm | 20 (0) | 0.500 (0.299–0.701) |" in table
    assert "| tuberculosis | oak | 10 (10) | 1.000 (" in table


def test_all_findings_are_told_only_meanwhile(checkpoint):
    pipeline = LungFusionPipeline.from_pretrained(checkpoint)
    pipeline.model.config.shown = ["pneumonia"]
    with pytest.raises(ZeroDivisionError), images.every_finding_of(pipeline):
        assert pipeline.findings == tuple(pipeline.model.config.findings)
        1 / 0  # noqa: B018
    assert pipeline.findings == ("pneumonia",)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "x"], "give --dataset and --output"),
        (["--dataset", "x", "--output", "y", "--card"], "or --run RUN"),
        (["--run", "x", "--output", "y"], "leave out --model, --dataset and --output"),
        (["--run", "x", "--card", "--recalibrate"], "--card scores nothing"),
        (["--dataset", "a/x", "b/x", "--output", "y"], "two data sets end in the same name"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        evaluate.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_is_not_there_is_said_in_a_sentence(checkpoint, masks_alone, tmp_path):
    with pytest.raises(SystemExit, match="has no split 'test': it has train"):
        command = ["--model", str(checkpoint), "--dataset", str(masks_alone), "--output", str(tmp_path)]
        evaluate.main([*command, "--split", "test"])
    with pytest.raises(SystemExit, match="recipe"):
        evaluate.main(["--run", str(tmp_path / "none")])


def test_a_folder_holds_again_what_it_held_where_work_on_it_fails(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("good")
    with pytest.raises(ValueError), evaluate.kept_on_error(tmp_path / "model"):
        (tmp_path / "model" / "weights").write_text("bad")
        raise ValueError
    assert (tmp_path / "model" / "weights").read_text() == "good"
    with evaluate.kept_on_error(tmp_path / "model"):
        (tmp_path / "model" / "weights").write_text("better")
    assert (tmp_path / "model" / "weights").read_text() == "better"
