"""Real examples for the app, from a data set on the Hub."""

from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lungfusion import load_radiograph
from lungfusion.app import examples as hub_radiographs


def parquet(path, labels):
    files = []
    for label in labels:
        file = BytesIO()
        Image.fromarray(np.random.default_rng(label).integers(0, 255, (90, 80), np.uint8)).save(file, "JPEG")
        files.append({"bytes": file.getvalue(), "path": "x.jpeg"})
    pq.write_table(pa.table({"image": files, "label": labels}), path)
    return path


def test_a_few_radiographs_of_each_label_are_saved(tmp_path, monkeypatch):
    asked = []
    names = ["README.md", "data/train-00000.parquet", "data/validation-00000.parquet"]
    monkeypatch.setattr(hub_radiographs, "list_repo_files", lambda *a, **k: asked.append((a, k)) or names)
    path = parquet(tmp_path / "part.parquet", [1, 0, 0, 1, 0, 0])
    monkeypatch.setattr(hub_radiographs, "hf_hub_download", lambda *a, **k: asked.append((a, k)) or path)
    paths = hub_radiographs.fetch_radiographs(tmp_path)
    assert [path.name for path in paths] == [
        *(f"{number}_no_pneumonia.jpeg" for number in (1, 2, 3)),
        *(f"{number}_pneumonia.jpeg" for number in (1, 2)),
    ]
    assert load_radiograph(paths[0]).pixels.shape == (90, 80)
    assert asked[1][0][1] == "data/validation-00000.parquet"
    assert all(kwargs == {"repo_type": "dataset"} for _, kwargs in asked)


def test_another_layout_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_radiographs, "list_repo_files", lambda *a, **k: ["README.md"])
    with pytest.raises(ValueError, match="no validation part"):
        hub_radiographs.fetch_radiographs(tmp_path)
