"""What the tests share: tiny real models and images made in code."""

import atexit
import os
import shutil
import sys
import tempfile
from itertools import cycle, islice

os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="lungfusion-")  # nothing is read from the user's caches or left there
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test touches the network

import numpy as np
import pytest
import torch
from transformers.utils import logging

from lungfusion import Evidence, FindingConfig, LungFusionPipeline, backends
from lungfusion.evidence import FindingEvidence
from lungfusion.models import LungFusionImageProcessor
from tests.support.app_server import radiograph_files, served, server  # noqa: F401  fixtures
from tests.support.browser import browser, visit  # noqa: F401  fixtures
from tests.support.publishing import finished_run, hub, online  # noqa: F401  fixtures
from tests.support.schedule import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: F401  hooks
from tests.support.tiny import SIDE, draw_phantom, find_lungs_everywhere, tiny_model, tiny_segmenter
from tests.support.trained import FEW_DRAWS, lungs_run, training_data  # noqa: F401  fixtures

atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
logging.disable_progress_bar()


@pytest.fixture(scope="session", autouse=True)
def answered_by_torch():
    """But where a test compiles: of a tiny model that takes longer than all the answers asked of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "COMPILE_AFTER_IMAGES", sys.maxsize)
        yield


@pytest.fixture(scope="session")
def bundled():
    """The pipeline of the bundled checkpoint, compiled."""
    pipeline = LungFusionPipeline.from_pretrained(device="cpu")
    pipeline.compile()
    return pipeline


@pytest.fixture(scope="session")
def phantom_segmenter():
    """A small U-Net that draws a phantom's lungs, after a few seconds of training."""
    model = tiny_segmenter(width=8)
    pairs = [draw_phantom(seed=seed, size=64) for seed in range(24)]
    images = torch.stack([torch.from_numpy(pixels)[None] for pixels, _ in pairs])
    masks = torch.stack([torch.from_numpy(mask).float()[None] for _, mask in pairs])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    model.train()
    batches = zip(images.split(8), masks.split(8), strict=True)
    for some, outlined in islice(cycle(batches), 60):
        optimizer.zero_grad()
        model(some, labels=outlined).loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture
def few_draws(monkeypatch):
    """Intervals are cheap, and rough."""
    monkeypatch.setattr(*FEW_DRAWS)


@pytest.fixture(scope="session")
def phantom():
    """(pixels (256, 256) float32 in [0, 1], mask (256, 256) bool)."""
    return draw_phantom(seed=0, size=256)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Folder of a tiny classifier that finds lungs everywhere, with a threshold on either side of its answers."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model = tiny_model(
        concatenation="crop",
        fusion="gated",
        findings={"pneumonia": FindingConfig(threshold=0.01), "tuberculosis": FindingConfig(threshold=0.99)},
    )
    find_lungs_everywhere(model.segmenter)
    torch.nn.init.normal_(model.classifier[-1].weight, std=0.01)  # probabilities near one half
    model.save_pretrained(folder)
    LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    Evidence({"pneumonia": FindingEvidence(("phantoms",), {"sensitivity": 0.9, "specificity": 0.8})}).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def pipe(checkpoint):
    """The pipeline of that checkpoint."""
    return LungFusionPipeline.from_pretrained(checkpoint)


@pytest.fixture(scope="session")
def masks_alone(tmp_path_factory):
    """Folder of a data set with neither `label` nor `findings`."""
    from datasets import Dataset

    from tests.support.helpers import write_source

    root = tmp_path_factory.mktemp("data")
    write_source(root / "labelled", ["normal", "tuberculosis"], "nodule", with_mask=True)
    data = Dataset.from_parquet(str(root / "labelled" / "train-00000-of-00001.parquet"))
    (root / "masks").mkdir()
    data.remove_columns("label").to_parquet(root / "masks" / "train-00000-of-00001.parquet")
    return root / "masks"


@pytest.fixture
def pixel_values():
    return torch.from_numpy(np.random.default_rng(0).random((2, 1, SIDE, SIDE), dtype=np.float32))
