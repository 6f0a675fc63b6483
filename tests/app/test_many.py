"""Many files as a workbench: the table, what is taken home of it, and how scores agree with labels."""

import csv
import io
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from lungfusion import LungFusionPipeline
from lungfusion.app.gradio_compat import file_field
from lungfusion.app.handlers import Handlers
from lungfusion.app.labels import LabelsError, agreement, auc_interval, read_labels, roc_auc
from lungfusion.app.many import ManyFiles
from lungfusion.app.view.batch import Batch
from lungfusion.app.view.batch_files import batch_csv, json_lines, masks_zip, snippet
from lungfusion.checks import input_checks as gate
from lungfusion.reading.errors import refusal
from tests.support.answers import ENGLISH, GOUT, MADE_BY, PNEUMONIA, TUBERCULOSIS, Page
from tests.support.tiny import analysis

FINDINGS = ["tuberculosis", "pneumonia", "gout"]


@pytest.fixture
def table():
    table = Batch(ENGLISH, FINDINGS, MADE_BY, ["=bad.png", "b.zip", "c.txt"])
    table.add("=bad.png", analysis(findings=[TUBERCULOSIS, PNEUMONIA, GOUT]))
    table.add("b/b.png", analysis(warnings=[gate.NOT_A_CHEST_RADIOGRAPH]))
    table.add_unreadable("c.txt", refusal("not_a_picture").named("c.txt"))
    return table


def test_the_csv_has_names_that_never_change(table):
    lines = list(csv.DictReader(io.StringIO(batch_csv(table.records, FINDINGS, MADE_BY))))
    assert [line["file"] for line in lines] == ["'=bad.png", "b/b.png", "c.txt"]  # not taken for a formula
    first, refused, unreadable = lines
    assert (first["tuberculosis_probability"], first["tuberculosis_level"]) == ("0.63", "detected")
    assert (first["pneumonia_threshold"], first["pneumonia_level"]) == ("0.5", "not_detected")
    assert (first["gout_probability"], first["gout_level"]) == ("", "not_assessed")
    assert (first["model"], first["version"], first["height"]) == ("owner/model", "9.9", "64")
    assert refused["warnings"] == "not_a_chest_radiograph" and refused["pneumonia_level"] == ""
    assert unreadable["error"] == "not_a_picture" and unreadable["mask_quality"] == ""


def test_every_line_of_json_can_be_read_alone(table):
    told = [json.loads(line) for line in json_lines(table.records, MADE_BY).splitlines()]
    assert [line["file"] for line in told] == ["=bad.png", "b/b.png", "c.txt"]
    assert told[0]["findings"][0]["probability"] == 0.63 and told[0]["version"] == "9.9"
    assert told[2]["error"] == "not_a_picture" and told[2]["reason"].startswith("this is not a picture")


def test_the_table_shows_counts_levels_and_reasons(table):
    shown = Page(table.html())
    assert "1 analysed, 1 refused, 1 unreadable." in shown.text
    assert "this is not a picture" in shown.text and "does not look like a frontal chest" in shown.text
    sorts = [cell["data-value"] for cell in shown.having("data-value")]
    assert sorts[:4] == ["=bad.png", "0.63", "0.2", "-1"]
    assert "63%" in shown.text and "20%" not in shown.text  # none of what is not detected
    assert [
        row["class"] for row in shown.having("class") if row["class"].startswith(("read", "refused", "unread"))
    ] == [
        "read reacts",
        "refused",
        "unreadable",
    ]
    assert [link["download"] for link in shown.having("download")] == [
        "lungfusion.csv",
        "lungfusion.jsonl",
        "lungfusion_masks.zip",
    ]
    assert not Page(table.html(finished=False)).having("download")


def test_masks_keep_their_folders_and_stay_in_the_archive():
    with zipfile.ZipFile(io.BytesIO(masks_zip({"a/1.png": b"1", "../../b.png": b"2"}))) as archive:
        assert archive.namelist() == ["a/1.png_lungs.png", "b.png_lungs.png"]


def test_the_snippet_does_what_the_page_did(checkpoint, radiograph_files, tmp_path, monkeypatch):
    made_by = {"model": str(checkpoint), "version": "9.9"}
    monkeypatch.chdir(tmp_path)
    names = [radiograph_files["chest.png"], radiograph_files["notes.txt"]]
    exec(snippet(names, made_by), {})
    first, second = map(json.loads, (tmp_path / "lungfusion.jsonl").read_text().splitlines())
    expected = LungFusionPipeline.from_pretrained(checkpoint)(names[0])
    assert first["findings"][0]["probability"] == pytest.approx(expected.findings[0].probability, abs=1e-6)
    assert second == {"file": "notes.txt", "error": "text", "reason": refusal("text").reason}


# Labels


def test_labels_are_read_as_spreadsheets_write_them():
    read = read_labels("File;Tuberculosis;x\na.png;1;\nb.png;no;7\nc.png;;\n".encode("utf-8-sig"), FINDINGS)
    assert read == {"a.png": {"tuberculosis": True}, "b.png": {"tuberculosis": False}, "c.png": {}}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"", "labels_no_files"),
        (b"patient,gout\n1,1\n", "labels_no_files"),
        (b"file,weight\na.png,1\n", "labels_no_findings"),
        (b"file,gout\na.png,maybe\n", "labels_unknown"),
        (b"x" * 5_000_001, "labels_too_large"),
    ],
)
def test_labels_that_cannot_be_used_are_said_to_be_so(data, key):
    with pytest.raises(LabelsError) as raised:
        read_labels(data, FINDINGS)
    assert raised.value.key == key
    assert ENGLISH(key, **raised.value.values)


def test_areas_and_intervals():
    assert roc_auc([0.9, 0.5], [0.5, 0.1]) == 0.875
    assert roc_auc([0.9], []) is None
    low, high = auc_interval(1.0, 10, 10)
    assert 0.6 < low < 0.9 and high == 1  # a perfect area of few is not certain
    low, high = auc_interval(0.8, 50, 50)
    assert (low, high) == pytest.approx((0.70, 0.87), abs=0.02)
    assert auc_interval(0.5, 1000, 1000)[0] == pytest.approx(0.475, abs=0.005)


def test_intervals_cover_the_truth():
    generator, covered, true = np.random.default_rng(0), 0, 0.7602499  # of two normal distributions one apart
    for _ in range(300):
        area = roc_auc(generator.normal(1, 1, 20), generator.normal(0, 1, 30))
        low, high = auc_interval(area, 20, 30)
        covered += low <= true <= high
    assert covered / 300 >= 0.92


def test_scores_are_compared_with_labels_by_the_files_names(table):
    table.add("d/d.png", analysis(findings=[TUBERCULOSIS, PNEUMONIA, GOUT]))
    labels = read_labels(b"file,tuberculosis,gout\n=bad.png,1,1\nd.png,0,1\nb/b.png,1,1\n", FINDINGS)
    (row,) = agreement(table.records, labels, FINDINGS)  # refused and not judged ones do not count
    assert row == {
        "name": "tuberculosis",
        "present": 1,
        "absent": 1,
        "auc": 0.5,
        "interval": row["interval"],
        "found": 1,
        "named": 1,
    }
    table.add("x.zip/e/d.png", analysis(findings=[TUBERCULOSIS, PNEUMONIA, GOUT]))
    labels = read_labels(b"file,tuberculosis\nd/d.png,0\ne/d.png,1\n", FINDINGS)  # one name in two folders
    (row,) = agreement(table.records, labels, FINDINGS)
    assert (row["present"], row["absent"]) == (1, 1)
    with pytest.raises(LabelsError, match="labels_no_match"):
        agreement(table.records, {"other.png": {"gout": True}}, FINDINGS)


# The tab


@pytest.fixture(scope="module")
def many(checkpoint):
    return ManyFiles(Handlers(LungFusionPipeline.from_pretrained(checkpoint), None))


REQUEST = SimpleNamespace(headers={}, query_params={}, session_hash="one")


def run(many, paths):
    return many.analysed(paths, REQUEST)


def test_a_run_shows_its_table_as_it_grows_and_can_be_stopped(many, radiograph_files):
    paths = [radiograph_files[name] for name in ("chest.png", "notes.txt", "deep.png", "chest.dcm")]
    *growing, (_, whole, records, _) = run(many, paths)
    assert "Analysing 1 of 4" in growing[0][0] and "chest.png" in growing[0][0]
    assert [shown[1].count("<tr") - 1 for shown in growing if "batch" in str(shown[1])] == [1, 2, 3]
    assert [record["file"] for record in records] == ["chest.png", "notes.txt", "deep.png", "chest.dcm"]
    assert "lungfusion.csv" in whole
    going = run(many, paths)
    next(going)
    many.stopped(REQUEST)
    *_, (_, _, records, _) = going
    assert len(records) == 1 and not many.stops
    many.stopped(REQUEST)  # nothing to stop


def test_a_second_run_of_a_session_can_be_stopped_when_the_first_has_ended(many, radiograph_files):
    first, second = (run(many, [radiograph_files["chest.png"], radiograph_files["deep.png"]]) for _ in range(2))
    next(first), next(second)
    first.close()
    many.stopped(REQUEST)
    *_, (_, _, records, _) = second
    assert len(records) == 1 and not many.stops


def test_a_row_opens_its_file_also_out_of_an_archive(many, radiograph_files, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(radiograph_files["chest.dcm"], "folder/inside.dcm")
    paths, upload = [radiograph_files["chest.png"], str(tmp_path / "more.zip")], file_field()
    upload.GRADIO_CACHE = str(tmp_path / "cache")
    assert many.chosen(paths, upload, "chest.png") == radiograph_files["chest.png"]
    unpacked = many.chosen(paths, upload, "inside.dcm")
    assert many.handlers.analyze_chest_xray(unpacked)["format"] == "DICOM"
    assert unpacked in upload.temp_files  # so that Gradio deletes it
    assert many.chosen(paths, upload, "gone.png") is None


def test_labels_are_answered_in_a_table_or_with_what_is_wrong(many, radiograph_files, tmp_path):
    *_, (_, _, records, _) = run(many, [radiograph_files["chest.png"], radiograph_files["deep.png"]])
    labels = tmp_path / "labels.csv"
    labels.write_text("file,pneumonia\nchest.png,1\ndeep.png,0\n")
    page = Page(many.compared(str(labels), records, REQUEST))
    assert "Pneumonia" in page.text and "1 of 1" in page.text
    labels.write_text("file,pneumonia\nchest.png,?\n")
    assert "Line 2 of the labels" in many.compared(str(labels), records, REQUEST)
