"""Scoring an archive: every row answered as the pipeline answers it, by two processes and after a cut-off."""

import csv
import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, Value, load_dataset
from PIL import Image as PILImage

from examples.phantom import draw_phantom
from lungfusion import LungFusionPipeline
from train import predict
from train.data.parquet_rows import ParquetRows

ROOT = Path(__file__).parent.parent
ROWS, SHARD = 40, 16
BAD = {5: b"no picture", 17: b"", 30: None}
SMALL_SHARDS = f"from train import predict; predict.SHARD = {SHARD}; predict.main()"


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


def launch(checkpoint, archive, output, processes=1):
    """Begin it. On a CPU `accelerate launch` begins one process only, unless there is MPI: torchrun begins several."""
    several = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--no-python", sys.executable]
    command = [sys.executable, *(several if processes > 1 else []), "-c", SMALL_SHARDS, "--model", str(checkpoint)]
    command += ["--dataset", str(archive), "--output", str(output), "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **streams)


def finished(process):
    """What it said, and its exit status."""
    return process.communicate(timeout=300)[0], process.returncode


def rows_of(output):
    return [row for path in sorted(output.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def bad_rows_of(output):
    with open(output / "bad_rows.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def predictions(checkpoint, archive, tmp_path_factory):
    """Folder written by two processes."""
    output = tmp_path_factory.mktemp("predictions")
    said, status = finished(launch(checkpoint, archive, output, processes=2))
    assert status == 0, said
    assert f"{ROWS} rows scored, {len(BAD)} of them could not be read" in said
    assert "Scoring train, process 1 of 2" in said
    return output


def test_two_processes_answer_every_row_as_the_pipeline_does(predictions, checkpoint):
    assert sorted(path.name for path in predictions.iterdir()) == [
        "bad_rows.csv",
        "predict.json",
        *(f"train-{number:05}-of-00003.parquet" for number in range(3)),
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
            assert row[name] == pytest.approx(expected[name], abs=1e-5)
        for finding in expected["findings"]:
            assert row[f"probability_{finding['name']}"] == pytest.approx(finding["probability"], abs=1e-5)


def test_rows_that_cannot_be_read_are_listed(predictions):
    bad = bad_rows_of(predictions)
    assert [(row["split"], int(row["row"]), row["file_name"]) for row in bad] == [
        ("train", row, f"{row}.png") for row in BAD
    ]
    assert "not a picture" in bad[0]["reason"] and "empty" in bad[1]["reason"] and "no image" in bad[2]["reason"]


def test_a_killed_command_goes_on_where_it_was(predictions, checkpoint, archive, tmp_path):
    process = launch(checkpoint, archive, tmp_path)
    end = time.monotonic() + 120
    while not list(tmp_path.glob("*.parquet")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert 1 <= len(written) < 3
    said, status = finished(launch(checkpoint, archive, tmp_path))
    assert status == 0, said
    assert {path: path.stat().st_mtime_ns for path in written} == written  # skipped
    assert len(rows_of(tmp_path)) == ROWS
    for row, expected in zip(rows_of(tmp_path), rows_of(predictions), strict=True):
        assert row.pop("warnings") == expected.pop("warnings")
        assert row == pytest.approx(expected, abs=1e-5)
    assert bad_rows_of(tmp_path) == bad_rows_of(predictions)
    assert not list(tmp_path.glob("*.new"))


def test_predictions_of_another_data_set_are_not_mixed(predictions, checkpoint, archive):
    command = ["--model", str(checkpoint), "--dataset", f"{archive}/", "--output", str(predictions)]
    with pytest.raises(ValueError, match="predictions of another model or data set: give another --output"):
        predict.main(command)


def test_an_archive_is_read_where_it_lies(archive, tmp_path):
    """Row by row what datasets reads, in whichever order and over several files and row groups."""
    data = load_dataset(str(archive), split="train", cache_dir=str(tmp_path / "cache"))
    data = data.select_columns(["image", "file_name"]).cast_column("image", Image(decode=False))
    for number in range(2):
        part = tmp_path / "two" / f"test-{number:05}-of-00002.parquet"
        part.parent.mkdir(exist_ok=True)
        data.shard(2, number, contiguous=True).to_parquet(part, batch_size=7)
    for folder, split in ((archive, "train"), (tmp_path / "two", "test")):
        rows = predict.load_splits(folder)[split]
        assert isinstance(rows, ParquetRows) and len(rows) == len(data) == ROWS
        for index in [*range(ROWS), 3, 38, 0]:
            assert rows[index] == data[index]
    assert len(rows.groups) > 4


def test_a_split_or_column_that_is_not_there_is_named(archive, tmp_path):
    with pytest.raises(ValueError, match="no split 'test': it has train"):
        predict.load_splits(archive, "test")
    Dataset.from_dict({"picture": [1]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="no column named image: it has picture"):
        predict.load_splits(tmp_path)
