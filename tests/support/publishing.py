"""A finished run, and a Hub on this machine to publish it to."""

from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants
from PIL import Image

from lungfusion import Evidence, LungFusionImageProcessor
from lungfusion.evidence import FindingEvidence
from tests.support.hub_server import HubServer

ROOT = Path(__file__).parents[2]
TOKENS = {"hf_owner": "owner", "hf_stranger": "stranger"}
CARD = """---
license: apache-2.0
pipeline_tag: image-classification
---

pipe = LungFusionPipeline.from_pretrained("FOLDER_OR_ID")
"""

CODE = {path.name for path in (ROOT / "lungfusion" / "models").glob("*.py")} - {"__init__.py"}
SENT = CODE | {
    "hub_pipeline.py",
    "README.md",
    "config.json",
    "curves.png",
    "evidence.json",
    "metrics.json",
    "model.safetensors",
    "preprocessor_config.json",
}


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A finished run's folder, with what must stay at home besides."""
    from tests.support.tiny import SIDE, tiny_model  # which imports this

    folder = tmp_path_factory.mktemp("run")
    tiny_model().save_pretrained(folder / "model")
    LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder / "model")
    Evidence({"pneumonia": FindingEvidence(("phantoms",))}).save_pretrained(folder / "model")
    (folder / "README.md").write_text(CARD)
    (folder / "metrics.json").write_text('{"shenzhen": {}}')
    Image.new("RGB", (8, 8)).save(folder / "curves.png")
    stay = ("checkpoint-3/optimizer.bin", "train/events.out.tfevents.1", "per_image.csv", "recipe.yaml")
    for private in (*stay, "images/worst.png", "images/segmentation.png"):
        (folder / private).parent.mkdir(exist_ok=True)
        (folder / private).write_text("stays at home")
    return folder


@pytest.fixture(scope="module")
def hub():
    with HubServer(TOKENS) as server:
        yield server


def go_online(hub, patch):
    """Let this process talk to the server, as its owner."""
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr("train.publish.hub.HfApi", partial(HfApi, endpoint=hub.url))
    patch.setattr("train.publish.hub.WAITS", (0, 0))
    patch.setenv("HF_TOKEN", "hf_owner")


@pytest.fixture
def online(hub, monkeypatch):
    """The server, to which this process may talk as its owner."""
    go_online(hub, monkeypatch)
    yield hub
    assert not any(hub.trouble.values())  # what was to go wrong did
    hub.trouble.clear()
