"""A full disk, and folders that cannot be written: the error says so, and what was there before stays whole."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from accelerate import Accelerator
from safetensors.torch import load_file

from lungfusion import LungFusionImageProcessor, LungFusionPipeline, Scorer
from tests.support.image_files import GREY, encoded
from tests.support.tiny import SIDE, draw_phantom, tiny_model, tiny_segmenter
from train.engine.loop import resume, save_checkpoint, save_model
from train.io import write_json
from train.predict import own_shards, predict, stream_splits

ROOT = Path(__file__).parents[2]
PROCESSOR = LungFusionImageProcessor(size={"height": SIDE, "width": SIDE})


def full(path):
    """What a full disk does: some of it is written, then this."""
    Path(path).write_bytes(b"half of")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "history.json"
    write_json(path, [1, 2])
    monkeypatch.setattr(Path, "write_text", lambda self, text: full(self))
    with pytest.raises(OSError, match="No space left on device"):
        write_json(path, [1, 2, 3])
    assert json.loads(path.read_text()) == [1, 2]


def test_the_best_model_survives_a_full_disk(tmp_path, monkeypatch):
    model = tiny_model()
    save_model(model, PROCESSOR, tmp_path / "model")
    before = load_file(tmp_path / "model" / "model.safetensors")
    monkeypatch.setattr(
        type(model), "save_pretrained", lambda self, folder: (folder.mkdir(), full(folder / "config.json"))
    )
    with pytest.raises(OSError, match="No space left on device"):
        save_model(tiny_model(), PROCESSOR, tmp_path / "model")
    monkeypatch.undo()
    assert load_file(tmp_path / "model" / "model.safetensors").keys() == before.keys()
    LungFusionPipeline.from_pretrained(tmp_path / "model")
    save_model(model, PROCESSOR, tmp_path / "model")  # once there is space again


def test_a_checkpoint_that_did_not_fit_is_not_resumed_from(tmp_path, monkeypatch):
    accelerator = Accelerator(cpu=True)
    accelerator.prepare(tiny_segmenter())
    history = [{"epoch": 1}]
    save_checkpoint(accelerator, tmp_path, history)
    monkeypatch.setattr(accelerator, "save_state", lambda folder: (Path(folder).mkdir(), full(Path(folder) / "model")))
    with pytest.raises(OSError, match="No space left on device"):
        save_checkpoint(accelerator, tmp_path, [*history, {"epoch": 2}])
    monkeypatch.undo()
    assert resume(accelerator, tmp_path) == (history, [])
    save_checkpoint(accelerator, tmp_path, [*history, {"epoch": 2}])
    assert len(resume(accelerator, tmp_path)[0]) == 2


def test_a_shard_that_did_not_fit_is_not_taken_for_done(checkpoint, tmp_path, monkeypatch):
    from datasets import Dataset, Features, Image

    rows = [{"image": {"bytes": encoded(GREY, "PNG"), "path": None}}] * 3
    Dataset.from_list(rows, features=Features({"image": Image()})).to_parquet(tmp_path / "train.parquet")
    rows, path = stream_splits(tmp_path)["train"], tmp_path / "scored-00000.parquet"
    scoring = Scorer(checkpoint), rows, own_shards(tmp_path, "scored", 0, 1), 1, "test", True
    monkeypatch.setattr(pq, "write_table", lambda table, path: full(path))
    with pytest.raises(OSError, match="No space left on device"):
        predict(*scoring)
    assert not path.exists()
    monkeypatch.undo()
    assert predict(*scoring) == pq.read_table(path).num_rows == 3


NOWHERE = dict.fromkeys(("HF_HOME", "HF_DATASETS_CACHE", "XDG_CACHE_HOME", "TORCH_HOME", "HOME"), "/proc/nowhere")


NO_CACHE = """
import sys
from lungfusion.__main__ import main
from train import predict
from train.engine.processes import run
assert main([*sys.argv[1:4], "--json"]) == 0
run(lambda: predict.main(sys.argv[2:]))
"""


def test_analysing_needs_no_cache_and_one_that_cannot_be_written_is_named(checkpoint, tmp_path):
    path = tmp_path / "chest.png"
    path.write_bytes(encoded((draw_phantom(seed=0, size=96)[0] * 255).astype("uint8"), "PNG"))
    (tmp_path / "train.csv").write_text("image\nx\n")
    command = [sys.executable, "-c", NO_CACHE, str(path), "--model", str(checkpoint)]
    command += ["--dataset", str(tmp_path), "--output", str(tmp_path / "scores")]
    environment = os.environ | NOWHERE | {"ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    answers, _ = json.JSONDecoder().raw_decode(done.stdout)
    assert answers[0]["findings"], done.stderr
    assert done.returncode != 0
    assert "/proc/nowhere" in done.stderr.splitlines()[-1], done.stderr[-2000:]
    assert not (tmp_path / "scores").exists() or not list((tmp_path / "scores").glob("*.parquet"))
