"""A data set on the Hub, of images and labels alone, becomes training data: all of it, or as much as is streamed."""

import io
import json
import os
import subprocess
import sys

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image

from tests.support.helpers import ROOT, png
from tests.support.hub_server import HubServer

CHILD = """
import json, sys
from train.data.splits import load_source
from train.data.labels import known_labels
seen = {}
for name, source in json.loads(sys.argv[2]).items():
    parts = [load_source(sys.argv[1], split, source=source) for split in ("train", "validation")]
    seen[name] = {
        "images": [len(part) for part in parts],
        "patients": sorted({patient for part in parts for patient in part["patient_id"]}),
        "pneumonia": sum(known_labels(part, ["pneumonia"], source)[:, 0].sum() for part in parts).item(),
    }
print(json.dumps(seen))
"""


def parquet(numbers):
    """Images called as patients are, every second with pneumonia."""
    rng = np.random.default_rng(numbers[0])
    rows = [
        {"image": {"bytes": png(rng.random((24, 24)))["bytes"], "path": f"person{n // 2}_{n}.jpeg"}, "label": n % 2}
        for n in numbers
    ]
    kinds = Features({"image": Image(), "label": ClassLabel(names=["NORMAL", "Lung Opacity"])})
    file = io.BytesIO()
    Dataset.from_list(rows, features=kinds).to_parquet(file)
    return file.getvalue()


def test_images_and_labels_of_the_hub_are_training_data(tmp_path):
    labels = {"Lung Opacity": {"present": ["pneumonia"]}, "NORMAL": {"absent": "all"}}
    sources = {
        "each image a patient": {"labels": labels},
        "by a rule": {"labels": labels, "patients": r"(person\d+)_"},
        "streamed": {"labels": labels, "stream": 10},
    }
    with HubServer({}) as hub:
        files = {f"train-0000{n}-of-00002.parquet": parquet(range(20 * n, 20 * n + 20)) for n in range(2)}
        hub.add("datasets/owner/xrays", files)
        place = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, "-c", CHILD, "owner/xrays", json.dumps(sources)],
            cwd=ROOT,
            env=os.environ | place,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert sum(seen["each image a patient"]["images"]) == 40 and len(seen["each image a patient"]["patients"]) == 40
    assert seen["each image a patient"]["pneumonia"] == 20
    assert seen["by a rule"]["patients"] == sorted(f"person{n}" for n in range(20))
    assert sum(seen["streamed"]["images"]) == 10
