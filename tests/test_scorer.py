"""Scoring batches for engines: every row is answered as the pipeline answers it, and bad files lose nothing."""

import csv
import importlib
import os
import pickle
import shutil
import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from examples import score_stream
from lungfusion import LungFusionPipeline, Scorer
from tests.support.tiny import draw_phantom


@pytest.fixture(scope="module")
def files():
    """Bytes of two phantoms."""
    found = []
    for seed in range(2):
        buffer = BytesIO()
        Image.fromarray((draw_phantom(seed=seed, size=96)[0] * 255).astype(np.uint8)).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


def test_a_batch_becomes_columns_and_bad_files_rows_with_their_error(checkpoint, files, tmp_path):
    scorer = pickle.loads(pickle.dumps(Scorer(checkpoint)))
    answer = scorer(
        {
            "bytes": [files[0], b"no picture", None, files[1], files[1]],
            "age": np.array([3, 40, 40, np.nan, 411]),
            "id": ["a", "b", "c", "d", "e"],
        }
    )
    assert list(answer) == ["age", "id", *scorer.columns]
    for name, kind in scorer.columns.items():
        assert all(value is None or isinstance(value, kind) for value in answer[name])
    assert answer["id"] == ["a", "b", "c", "d", "e"]
    assert {len(values) for values in answer.values()} == {5}
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    for row, content in ((0, files[0]), (3, files[1])):
        expected = pipe(content)
        assert answer["error"][row] is None
        assert answer["warnings"][row] == [warning.code for warning in expected.warnings]
        for finding in expected.findings:
            assert answer[f"probability_{finding.name}"][row] == pytest.approx(finding.probability, abs=1e-4)
            assert answer[f"level_{finding.name}"][row] == finding.level
        for name in ("height", "width", "format", "mask_quality", "right_lung_area", "left_lung_area"):
            assert answer[name][row] == pytest.approx(expected.to_dict()[name])
    assert "this is not a picture" in answer["error"][1] and "no image" in answer["error"][2]
    assert "give years from 0 to 130" in answer["error"][4]
    assert [answer["level_pneumonia"][row] for row in (1, 2, 4)] == [None] * 3

    (tmp_path / "one.png").write_bytes(files[0])
    paths = scorer({"path": [str(tmp_path / "one.png"), str(tmp_path / "none.png")]})
    assert paths["path"][0].endswith("one.png")
    assert paths["probability_pneumonia"][0] == pytest.approx(answer["probability_pneumonia"][0], abs=1e-4)
    assert paths["error"][0] is None and "no such file" in paths["error"][1]
    assert scorer({"path": []})["error"] == []
    with pytest.raises(ValueError, match="columns name: it needs one named bytes, path or image"):
        scorer({"name": ["x"]})
    assert len(pickle.dumps(scorer)) < 10_000  # without the weights


def test_a_data_set_is_scored_as_it_streams(checkpoint, files, tmp_path):
    rows = [{"image": {"bytes": content, "path": None}, "patient_id": "p"} for content in [*files, b"x"]]
    features = Features({"image": ImageFeature(decode=False), "patient_id": Value("string")})
    Dataset.from_list(rows, features=features).to_parquet(tmp_path / "train.parquet")
    score_stream.main(tmp_path, tmp_path / "table.csv", model=checkpoint)
    with open(tmp_path / "table.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["patient_id"] for row in table] == ["p"] * 3 and "image" not in table[0]
    expected = LungFusionPipeline.from_pretrained(checkpoint)(files[1])["pneumonia"].probability
    assert float(table[1]["probability_pneumonia"]) == pytest.approx(expected, abs=1e-4)
    assert "this is not a picture" in table[2]["error"] and table[2]["level_pneumonia"] == ""


def test_ray_scores_a_folder(checkpoint, files, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]'")
    from examples import score_with_ray

    (tmp_path / "files").mkdir()
    for number, content in enumerate([*files, b"x"]):
        (tmp_path / "files" / f"{number}.png").write_bytes(content)
    score_with_ray.main(tmp_path / "files", tmp_path / "scored", model=str(checkpoint))
    table = ray.data.read_parquet(str(tmp_path / "scored")).take_all()
    assert sorted(row["error"] is None for row in table) == [False, True, True]
    ray.shutdown()


class FewOfSpark:
    """What the example asks of a Spark session, over files on a disk, in batches of two rows."""

    builder = read = property(lambda self: self)

    def __init__(self, settings):
        self.settings = settings

    def appName(self, name):
        return self

    def config(self, map):
        self.settings |= map
        return self

    def getOrCreate(self):
        self.settings |= {"PYSPARK_PYTHON": os.environ["PYSPARK_PYTHON"]}
        return self

    def format(self, name):
        assert name == "binaryFile"
        return self

    def option(self, name, value):
        return self

    def load(self, folder):
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        self.table = pd.DataFrame({"path": map(str, paths), "content": [path.read_bytes() for path in paths]})
        return self

    def selectExpr(self, *columns):
        assert columns == ("path", "content AS bytes")
        self.table = self.table.rename(columns={"content": "bytes"})
        return self

    def mapInPandas(self, function, schema):
        batches = (self.table[start : start + 2] for start in range(0, len(self.table), 2))
        self.table = pd.concat(function(batches))
        self.settings["schema"] = schema
        return self

    @property
    def write(self):
        return SimpleNamespace(parquet=self.table.to_parquet)


def test_the_example_for_spark_asks_it_for_files_and_gives_it_columns(checkpoint, files, tmp_path, monkeypatch):
    """Without Spark, which takes Java; the next one asks the real one."""
    settings = {}
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    monkeypatch.setitem(sys.modules, "pyspark", ModuleType("pyspark"))
    monkeypatch.setitem(sys.modules, "pyspark.sql", SimpleNamespace(SparkSession=FewOfSpark(settings)))
    table = scored_by_spark(checkpoint, files, tmp_path)
    assert settings["PYSPARK_PYTHON"] == sys.executable
    assert settings["schema"].startswith(
        "`path` string, `format` string, `height` int, `width` int, `right_lung_area` "
    )
    assert [column.split("`")[1] for column in settings["schema"].split(", ")] == list(table.columns)


def test_spark_scores_a_folder(checkpoint, files, tmp_path):
    pytest.importorskip("pyspark", reason="Spark is not installed: pip install pyspark")
    if not shutil.which("java"):
        pytest.skip("Java is not installed")
    scored_by_spark(checkpoint, files, tmp_path)


def scored_by_spark(checkpoint, files, folder):
    """What the example writes of two phantoms, one of them in a folder below, and of a file that is no picture."""
    sys.modules.pop("examples.score_with_spark", None)  # which holds the Spark that was there when it was imported
    score_with_spark = importlib.import_module("examples.score_with_spark")
    for name, content in zip(("a/0.png", "1.png", "2.png"), [*files, b"x"], strict=True):
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / name).write_bytes(content)
    score_with_spark.main(folder / "files", folder / "scored", model=str(checkpoint))
    table = pd.read_parquet(folder / "scored")
    rows = {Path(row["path"]).name: row for row in table.to_dict("records")}
    expected = LungFusionPipeline.from_pretrained(checkpoint)(files[0])
    assert rows["0.png"]["probability_pneumonia"] == pytest.approx(expected["pneumonia"].probability, abs=1e-4)
    assert rows["0.png"]["height"] == 96 and rows["0.png"]["level_pneumonia"] == expected["pneumonia"].level
    assert "this is not a picture" in rows["2.png"]["error"] and pd.isna(rows["2.png"]["height"])
    assert pd.isna(rows["1.png"]["error"]) and len(rows) == 3
    return table
