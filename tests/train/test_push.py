"""Publishing, against a Hub on this machine: what is sent loads again, with the package and without it."""

import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from PIL import Image
from safetensors.torch import load

from lungfusion import LungFusionForImageClassification, LungFusionImageProcessor, LungFusionPipeline
from tests.support.publishing import CARD, ROOT, SENT, go_online
from tests.support.tiny import tiny_model, tiny_segmenter
from train.push import main, push

WITH_THE_PACKAGE = """
import json, sys
from PIL import Image
from lungfusion import LungFusionPipeline
answers = []
for name, revision in (("owner/tiny", None), ("owner/private", "trial")):
    pipe = LungFusionPipeline.from_pretrained(name, revision=revision, device="cpu")
    pixel_values = pipe.processor(Image.open(sys.argv[1]))["pixel_values"]
    assert pipe.evidence["pneumonia"].sources == ("phantoms",)
    answers.append(pipe.model(pixel_values).logits.tolist())
print(json.dumps(answers))
"""

WITHOUT_THE_PACKAGE = """
import json, sys
sys.modules["lungfusion"] = None  # even if it is installed
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoModelForImageClassification, pipeline
model = AutoModelForImageClassification.from_pretrained("owner/tiny", trust_remote_code=True).eval()
processor = AutoImageProcessor.from_pretrained("owner/tiny", trust_remote_code=True)
image = Image.open(sys.argv[1])
output = model(**processor(image, return_tensors="pt"))
lungs = processor.post_process_alpha(output.alpha, [(30, 20)])
scores = pipeline("image-classification", "owner/tiny", trust_remote_code=True, device="cpu")(image)
base = AutoModel.from_pretrained("owner/tiny", trust_remote_code=True).eval()
features = base(**processor(image, return_tensors="pt")).pooler_output
torch.testing.assert_close(features, output.fused_features)
extracted = pipeline("image-feature-extraction", "owner/tiny", trust_remote_code=True, device="cpu")(image)
assert len(extracted[0]) == features.shape[1], type(base)
answer = {"logits": output.logits.tolist(), "scores": scores, "lungs": lungs[0].shape, "module": type(model).__module__}
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory, phantom):
    path = tmp_path_factory.mktemp("image") / "phantom.png"
    Image.fromarray((phantom[0] * 255).astype(np.uint8)).save(path)
    return path


def python(hub, home, *arguments, cwd=ROOT):
    """Run Python with an empty cache, as the owner; on one thread, so that sums are added in the same order."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": "hf_owner", "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], env=environment, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def logits(model, processor, image):
    """What a model says of an image, on one thread.

    The original is loaded from the run's folder for this: where weights lie in memory decides the last bit of a sum.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    values = model(processor(Image.open(image))["pixel_values"]).logits.tolist()
    torch.set_num_threads(threads)
    return values


@pytest.fixture(scope="module")
def published(hub, finished_run):
    """What the command said when it published the run."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
        go_online(hub, patch)
        main([str(finished_run), "--repo-id", "owner/tiny"])
    return said.getvalue()


def test_what_is_published(hub, finished_run, published):
    files = hub.repos["owner/tiny"].find("main")[1]
    assert set(files) == SENT | {".gitattributes"}
    assert not any(b"stays at home" in content or str(finished_run).encode() in content for content in files.values())
    assert files["README.md"].decode() == CARD.replace("FOLDER_OR_ID", "owner/tiny")
    assert files["metrics.json"] == (finished_run / "metrics.json").read_bytes()
    config = json.loads(files["config.json"])
    assert config["auto_map"] == {
        "AutoConfig": "configuration_lungfusion.LungFusionConfig",
        "AutoModel": "modeling_lungfusion.LungFusionModel",
        "AutoModelForImageClassification": "modeling_lungfusion.LungFusionForImageClassification",
    }
    auto_map = json.loads(files["preprocessor_config.json"])["auto_map"]
    assert auto_map["AutoImageProcessor"] == "image_processing_lungfusion.LungFusionImageProcessor"
    weights = load(files["model.safetensors"])
    assert all(torch.equal(tensor, weights[key]) for key, tensor in tiny_model().state_dict().items())
    assert weights["classifier.1.weight"].dtype == torch.float32  # in half, they would be others
    assert hub.requests.count("POST /api/models/owner/tiny/commit/main") == 1
    assert f"Published: {hub.url}/owner/tiny/commit/" in published
    assert f"{len(CARD) + len('owner/tiny') - len('FOLDER_OR_ID'):>13,} bytes  README.md" in published


def test_loads_with_the_package(online, finished_run, published, image, tmp_path):
    push(finished_run, "owner/private", private=True, revision="trial")
    assert set(online.repos["owner/private"].find("main")[1]) == {".gitattributes"}
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=online.url, token="hf_stranger").model_info("owner/private")

    answers = json.loads(python(online, tmp_path, "-c", WITH_THE_PACKAGE, str(image)).splitlines()[-1])
    original = LungFusionPipeline.from_pretrained(finished_run / "model", device="cpu")
    expected = [logits(original.model, original.processor, image)] * 2
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-6)  # what is aligned otherwise is added otherwise


def test_loads_without_the_package(hub, finished_run, published, image, tmp_path):
    answer = json.loads(python(hub, tmp_path, "-c", WITHOUT_THE_PACKAGE, str(image), cwd=tmp_path).splitlines()[-1])
    assert answer["module"].startswith("transformers_modules.")
    model = LungFusionForImageClassification.from_pretrained(finished_run / "model").eval()
    original = logits(model, LungFusionImageProcessor.from_pretrained(finished_run / "model"), image)
    np.testing.assert_allclose(answer["logits"], original, rtol=0, atol=1e-6)
    assert answer["lungs"] == [30, 20]
    # the pipeline makes the image RGB, and grey again: not to the last bit
    expected = torch.tensor(original[0]).sigmoid().tolist()
    scores = {score["label"]: score["score"] for score in answer["scores"]}
    assert scores == pytest.approx(dict(zip(("pneumonia", "tuberculosis"), expected, strict=True)), abs=1e-3)


def test_a_download_can_be_resumed(hub, published):
    weights = hub.repos["owner/tiny"].find("main")[1]["model.safetensors"]
    address = f"{hub.url}/owner/tiny/resolve/main/model.safetensors"
    with urlopen(Request(address, headers={"Range": "bytes=1000-"})) as response:
        assert (response.status, response.read()) == (206, weights[1000:])


def test_publishing_again_sends_only_what_changed(online, finished_run, published):
    before = len(online.requests)
    push(finished_run, "owner/tiny")
    sent = online.requests[before:]
    assert not [request for request in sent if request.startswith("PUT") or "/commit/" in request]


def test_dry_run_lists_and_sends_nothing(online, finished_run, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    before = len(online.requests)
    monkeypatch.setattr("sys.argv", ["train.push", str(finished_run), "--repo-id", "owner/tiny", "--dry-run"])
    main()
    *listed, last = capsys.readouterr().out.splitlines()
    assert {line.split()[-1] for line in listed} == SENT
    assert last == "This would be sent to owner/tiny. Nothing was sent."
    assert len(online.requests) == before


def test_a_checkpoint_in_half_precision_is_sent_as_it_is(online, tmp_path):
    tiny_segmenter().half().save_pretrained(tmp_path)
    LungFusionImageProcessor().save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text(CARD)
    push(tmp_path, "owner/lungs")
    files = online.repos["owner/lungs"].find("main")[1]
    assert load(files["model.safetensors"])["unet.mask.weight"].dtype == torch.float16
    assert "AutoModelForSemanticSegmentation" in json.loads(files["config.json"])["auto_map"]


def test_weights_that_lose_nothing_are_sent_in_half_precision(online, tmp_path):
    model = tiny_model()
    model.load_state_dict(
        {key: x.half().float() if x.is_floating_point() else x for key, x in model.state_dict().items()}
    )
    model.save_pretrained(tmp_path)
    LungFusionImageProcessor().save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text(CARD)
    Image.new("RGB", (8, 8)).save(tmp_path / "patient.png")
    push(tmp_path, "owner/half", license="mit")
    files = online.repos["owner/half"].find("main")[1]
    assert {tensor.dtype for tensor in load(files["model.safetensors"]).values()} <= {torch.float16, torch.int64}
    assert json.loads(files["config.json"])["dtype"] == "float32"  # so it is computed in
    assert "patient.png" not in files
    assert "license: mit" in files["README.md"].decode() and "owner/half" in files["README.md"].decode()
    (tmp_path / "sent").mkdir()
    for name, content in files.items():
        (tmp_path / "sent" / name).write_bytes(content)
    again = LungFusionForImageClassification.from_pretrained(tmp_path / "sent")
    assert again.dtype == torch.float32
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items())
