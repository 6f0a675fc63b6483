"""Scoring an archive: every row answered as the pipeline answers it, by two processes and after a cut-off."""

import csv
import json
from functools import cache
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, Value, load_dataset
from PIL import Image as PILImage

from lungfusion import LungFusionPipeline
from tests.support.launching import share
from tests.support.tiny import draw_phantom
from train import predict
from train.augment.phantom.radiograph import write_dicom

ROOT = Path(__file__).parents[2]
ROWS, SHARD = 40, 16
BAD = {5: b"no picture", 17: b"", 30: None}


@cache
def phantom_bytes(seed):
    buffer = BytesIO()
    pixels, _ = draw_phantom(seed=seed, size=96)
    PILImage.fromarray((pixels * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Folder of a data set of one split; some rows of it cannot be read, and two are alike."""
    folder = tmp_path_factory.mktemp("archive")
    images = {row: phantom_bytes(row % (ROWS - 1)) for row in range(ROWS)} | BAD
    rows = [
        {"image": None if data is None else {"bytes": data, "path": None}, "file_name": f"{row}.png", "label": 0}
        for row, data in images.items()
    ]
    features = Features({"image": Image(), "file_name": Value("string"), "label": Value("int64")})
    Dataset.from_list(rows, features=features).to_parquet(folder / "train-00000-of-00001.parquet")
    return folder


def small_shards(arguments):
    predict.SHARD = SHARD
    predict.main(arguments)


def command_of(checkpoint, archive, output, workers):
    return ["--model", str(checkpoint), "--dataset", str(archive), "--output", str(output), "--workers", str(workers)]


def rows_of(output):
    return [row for path in sorted(output.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def bad_rows_of(output):
    with open(output / "bad_rows.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def predictions(checkpoint, archive, tmp_path_factory):
    """Folder written by two processes."""
    output = tmp_path_factory.mktemp("predictions")
    said = share(small_shards, command_of(checkpoint, archive, output, workers=1), tmp_path_factory.mktemp("logs"))
    assert f"{ROWS} rows scored, {len(BAD)} of them could not be read" in said
    assert "Scoring train, process 1 of 2" in said
    return output


def test_two_processes_answer_every_row_as_the_pipeline_does(predictions, checkpoint):
    assert sorted(path.name for path in predictions.iterdir()) == [
        "bad_rows.csv",
        "predict.json",
        *(f"train-{number:05}.parquet" for number in range(3)),
    ]
    rows = rows_of(predictions)
    assert [row["row"] for row in rows] == list(range(ROWS))
    pipeline = LungFusionPipeline.from_pretrained(checkpoint)
    for row in rows:
        assert row["file_name"] == f"{row['row']}.png"
        if row["row"] in BAD:
            assert row["error"] and row["height"] is None and row["probability_pneumonia"] is None
            continue
        expected = pipeline(phantom_bytes(row["row"] % (ROWS - 1))).to_dict()
        assert row["error"] is None
        assert (row["height"], row["width"], row["format"]) == (96, 96, "PNG")
        assert row["warnings"] == [warning["code"] for warning in expected["warnings"]]
        for name in ("right_lung_area", "left_lung_area", "mask_quality", "ood_score"):
            assert row[name] == pytest.approx(expected[name], abs=1e-4)
        assert row["level_tuberculosis"] == expected["findings"][1]["level"]
        for finding in expected["findings"]:
            assert row[f"probability_{finding['name']}"] == pytest.approx(finding["probability"], abs=1e-4)


def test_rows_that_cannot_be_read_are_listed(predictions):
    bad = bad_rows_of(predictions)
    assert [(row["split"], int(row["row"]), row["file_name"]) for row in bad] == [
        ("train", row, f"{row}.png") for row in BAD
    ]
    assert "not a picture" in bad[0]["reason"] and "empty" in bad[1]["reason"] and "no image" in bad[2]["reason"]


def test_a_command_cut_off_goes_on_where_it_was(predictions, checkpoint, archive, tmp_path, monkeypatch):
    def write_one_then_die(table, path):
        if list(tmp_path.glob("*.parquet")):
            path.write_bytes(b"half of")
            raise KeyboardInterrupt
        write_table(table, path)

    write_table, command = pq.write_table, command_of(checkpoint, archive, tmp_path, workers=0)
    monkeypatch.setattr(predict, "SHARD", SHARD)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pq, "write_table", write_one_then_die)
        predict.main(command)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert len(written) == 1
    predict.main(command)
    assert {path: path.stat().st_mtime_ns for path in written} == written  # skipped
    assert len(rows_of(tmp_path)) == ROWS
    for row, expected in zip(rows_of(tmp_path), rows_of(predictions), strict=True):
        assert row.pop("warnings") == expected.pop("warnings")
        assert row == pytest.approx(expected, abs=1e-4)
    assert bad_rows_of(tmp_path) == bad_rows_of(predictions)
    assert not list(tmp_path.glob("*.new"))


def test_predictions_of_another_data_set_are_not_mixed(predictions, checkpoint, archive):
    command = ["--model", str(checkpoint), "--dataset", f"{archive}/", "--output", str(predictions)]
    with pytest.raises(SystemExit, match="predictions of another model or data set: give another --output"):
        predict.main(command)


def test_an_archive_is_read_where_it_lies(archive, tmp_path, monkeypatch):
    """Nothing of it is written to datasets' cache. Ages in words, which the pipeline does not take, are left out."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = load_dataset("parquet", data_files=str(archive / "*.parquet"), split="train", cache_dir=str(tmp_path))
    data.add_column("age", ["58Y"] * ROWS).to_parquet(tmp_path / "aged" / "test.parquet")
    (rows,) = predict.stream_splits(tmp_path / "aged").values()
    assert [row["file_name"] for row in rows] == data["file_name"] and "age" not in rows.column_names
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in kept if path.suffix != ".lock" or path.stat().st_size]  # a lock holds nothing


def test_an_age_that_the_data_set_knows_counts(checkpoint, tmp_path):
    """The tiny model's findings are of anybody; but an age that nobody has is named."""
    rows = [{"image": {"bytes": phantom_bytes(0), "path": "a.png"}, "age": age} for age in (40, 411, None)]
    features = Features({"image": Image(), "age": Value("int64")})
    Dataset.from_list(rows, features=features).to_parquet(tmp_path / "data" / "train.parquet")
    predict.main(["--model", str(checkpoint), "--dataset", str(tmp_path / "data"), "--output", str(tmp_path / "out")])
    table = pq.read_table(tmp_path / "out" / "train-00000.parquet").to_pylist()
    assert [row["error"] is None for row in table] == [True, False, True]
    assert table[0]["age"] == 40 and table[0]["file_name"] == "a.png" and table[0]["level_pneumonia"] == "detected"


def test_a_tree_of_dicom_files_is_scored_where_it_lies(checkpoint, phantom, tmp_path):
    for place in ("b", "a/deep"):
        (tmp_path / "tree" / place).mkdir(parents=True)
        write_dicom(tmp_path / "tree" / place / "IM1.dcm", phantom[0])
    (tmp_path / "tree" / "a" / "DICOMDIR").write_bytes(b"no radiograph")
    (tmp_path / "tree" / ".hidden").write_bytes(b"")
    predict.main(["--model", str(checkpoint), "--dataset", str(tmp_path / "tree"), "--output", str(tmp_path / "out")])
    rows = rows_of(tmp_path / "out")
    assert [row["file_name"] for row in rows] == ["a/DICOMDIR", "a/deep/IM1.dcm", "b/IM1.dcm"]
    assert [row["format"] for row in rows] == [None, "DICOM", "DICOM"]
    assert rows[1]["probability_pneumonia"] == pytest.approx(rows[2]["probability_pneumonia"], abs=1e-4)
    assert [row["file_name"] for row in bad_rows_of(tmp_path / "out")] == ["a/DICOMDIR"]
    with pytest.raises(FileNotFoundError):
        predict.stream_splits(tmp_path / "nowhere")


def test_a_split_or_column_that_is_not_there_is_named(archive, tmp_path):
    with pytest.raises(ValueError, match="no split 'test': it has train"):
        predict.stream_splits(archive, "test")
    Dataset.from_dict({"picture": [1]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="no column named image: it has picture"):
        predict.stream_splits(tmp_path)


@pytest.mark.parametrize("is_main", [True, False])
def test_no_process_scores_before_all_have_compared_the_folder(tmp_path, is_main):
    """Whichever finds another model's predictions there ends, and nobody writes before all have looked."""
    path, waited = tmp_path / "predict.json", []
    accelerator = SimpleNamespace(is_main_process=is_main, wait_for_everyone=lambda: waited.append(path.exists()))
    predict.keep_or_compare(accelerator, path, {"weights": "a"})
    assert waited == [False, is_main]
    path.write_text(json.dumps({"weights": "b"}))
    with pytest.raises(SystemExit, match="predictions of another model"):
        predict.keep_or_compare(accelerator, path, {"weights": "a"})
