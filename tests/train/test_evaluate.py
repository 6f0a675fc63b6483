"""Evaluation on a data set of masks alone, and the sheets it draws."""

import csv
import json

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature

from lungfusion import FindingConfig, LungFusionImageProcessor, LungFusionPipeline
from tests.support.helpers import png
from tests.support.tiny import draw_phantom, find_lungs_everywhere, tiny_model, tiny_segmenter
from train import evaluate
from train.io import read_rows, weights_digest
from train.report.tables import metrics_tables
from train.scoring import images

pytestmark = pytest.mark.usefixtures("few_draws")


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
    rows = read_rows(tmp_path / "scores" / "per_image.csv")
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


def test_the_lungs_are_scored_on_corrupted_images(masks_alone, tmp_path):
    lungs_everywhere().save_pretrained(tmp_path / "model")
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "model")
    command = ["--model", str(tmp_path / "model"), "--dataset", str(masks_alone), "--output", str(tmp_path)]
    evaluate.main([*command, "--also", "robustness"])
    summary = json.loads((tmp_path / "robustness.json").read_text())
    metrics = json.loads((tmp_path / "metrics.json").read_text())["masks"]
    assert summary["weights"] == weights_digest(tmp_path / "model")
    assert summary["clean"]["dice"] == metrics["lungs"]["dice"]


def test_what_a_source_knows_in_one_way_only_is_a_share(checkpoint):
    """Of 20 healthy people half are called ill, of 10 ill ones all are."""
    pipeline = LungFusionPipeline.from_pretrained(checkpoint)
    threshold = pipeline.model.config.findings["tuberculosis"].threshold
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


def test_at_home_too_there_is_no_auc_where_class_and_device_go_together(checkpoint):
    """The ill are all detected, the healthy never: what tells them apart may be the device."""
    pipeline = LungFusionPipeline.from_pretrained(checkpoint)
    threshold = pipeline.model.config.findings["tuberculosis"].threshold
    rows = [
        {"source": "elm", "patient_id": str(i), "refused": 0, "probability_pneumonia": None, "confounded": "yes"}
        | {"label_tuberculosis": i % 2, "probability_tuberculosis": threshold if i % 2 else threshold / 2}
        for i in range(20)
    ]
    summary = images.summarise(rows, pipeline)
    assert summary["findings"] == {}
    apart = {name: figures["detected"]["value"] for name, figures in summary["off_source"].items()}
    assert apart == {"tuberculosis, with it": 1, "tuberculosis, without it": 0}
    table = "\n".join(metrics_tables({"elm": summary}))
    assert "ROC AUC" not in table and "| tuberculosis, with it | elm | 10 (10) | 1.000 (" in table


def test_all_findings_are_told_by_another_pipeline(checkpoint, phantom):
    pipeline = LungFusionPipeline.from_pretrained(checkpoint)
    config = pipeline.model.config
    pipeline.model.config = config.with_findings({"tuberculosis": FindingConfig(shown=False)})
    told = [[finding.name for finding in one(phantom[0]).findings] for one in (pipeline.telling_all(), pipeline)]
    assert told == [["pneumonia", "tuberculosis"], ["pneumonia"]]


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


def test_healthy_people_are_counted_once_whatever_is_detected(checkpoint):
    """Of 20 healthy people ten are called ill of one finding or the other, one of both; ten are ill of pneumonia."""
    pipeline = LungFusionPipeline.from_pretrained(checkpoint)
    thresholds = {name: finding.threshold for name, finding in pipeline.model.config.findings.items()}

    def person(number, pneumonia, tuberculosis, **labels):
        row = {"source": "elm", "patient_id": str(number), "refused": 0, "label_pneumonia": 0, "label_tuberculosis": 0}
        row |= {"probability_pneumonia": thresholds["pneumonia"] * (1 if pneumonia else 0.5)}
        return row | {"probability_tuberculosis": thresholds["tuberculosis"] * (1 if tuberculosis else 0.5)} | labels

    rows = [person(i, pneumonia=i < 6, tuberculosis=5 <= i < 10) for i in range(20)]
    rows += [person(i, pneumonia=True, tuberculosis=False, label_pneumonia=1) for i in range(20, 30)]
    rows += [person(i, pneumonia=True, tuberculosis=True, label_tuberculosis=1) for i in range(30, 35)]
    summary = images.summarise(rows, pipeline)
    assert summary["healthy"]["images"] == 20 and summary["healthy"]["detected"]["value"] == 0.5
    assert summary["findings"]["pneumonia"]["auc_healthy"]["images"] == 30
    assert summary["findings"]["pneumonia"]["auc_healthy"]["value"] == pytest.approx((14 + 6 / 2) / 20)
    table = "\n".join(metrics_tables({"elm": summary}))
    assert "| elm | 20 | 0.500 (" in table and "| pneumonia | elm | 30 | 0.850 (" in table
