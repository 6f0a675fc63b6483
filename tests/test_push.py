"""Publishing, against a Hub on this machine: what is sent loads again, with the package and without it."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, SpaceCard, constants
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import http_backoff
from PIL import Image
from safetensors.torch import load

import train.publish.hub
from lungfusion import LungFusionForImageClassification, LungFusionImageProcessor, LungFusionPipeline
from tests import hub_server
from tests.conftest import SIDE, tiny_model, tiny_segmenter
from tests.hub_server import HubServer, Refusal
from train.prepare import main as prepare_main
from train.publish.hub import KEPT, PushError, reason
from train.publish.space import space_files
from train.push import main, push

ROOT = Path(__file__).parent.parent
TOKENS = {"hf_owner": "owner", "hf_stranger": "stranger"}
CARD = """---
license: apache-2.0
pipeline_tag: image-classification
---

pipe = LungFusionPipeline.from_pretrained("FOLDER_OR_ID")
"""
SPACE_KEYS = {
    "app_file", "colorFrom", "colorTo", "emoji", "license", "models", "python_version", "sdk", "sdk_version",
    "short_description", "tags", "title", "startup_duration_timeout", "suggested_hardware",
}  # fmt: skip
CODE = {path.name for path in (ROOT / "lungfusion" / "models").glob("*.py")} - {"__init__.py"}
SENT = CODE | {
    "hub_pipeline.py",
    "README.md",
    "config.json",
    "curves.png",
    "metrics.json",
    "model.safetensors",
    "preprocessor_config.json",
}

WITH_THE_PACKAGE = """
import json, sys
from PIL import Image
from lungfusion import LungFusionPipeline
answers = []
for name, revision in (("owner/tiny", None), ("owner/private", "trial")):
    pipe = LungFusionPipeline.from_pretrained(name, revision=revision, device="cpu")
    pixel_values = pipe.processor(Image.open(sys.argv[1]))["pixel_values"]
    answers.append(pipe.model(pixel_values).logits.tolist())
print(json.dumps(answers))
"""
WITHOUT_THE_PACKAGE = """
import json, sys
sys.modules["lungfusion"] = None  # even if it is installed
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
model = AutoModelForImageClassification.from_pretrained("owner/tiny", trust_remote_code=True).eval()
processor = AutoImageProcessor.from_pretrained("owner/tiny", trust_remote_code=True)
image = Image.open(sys.argv[1])
output = model(**processor(image, return_tensors="pt"))
lungs = processor.post_process_alpha(output.alpha, [(30, 20)])
scores = pipeline("image-classification", "owner/tiny", trust_remote_code=True, device="cpu")(image)
answer = {"logits": output.logits.tolist(), "scores": scores, "lungs": lungs[0].shape, "module": type(model).__module__}
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run's folder, with what must stay at home besides."""
    folder = tmp_path_factory.mktemp("run")
    tiny_model().save_pretrained(folder / "model")
    LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder / "model")
    (folder / "README.md").write_text(CARD)
    (folder / "metrics.json").write_text('{"shenzhen": {}}')
    Image.new("RGB", (8, 8)).save(folder / "curves.png")
    stay = ("checkpoint-3/optimizer.bin", "train/events.out.tfevents.1", "per_image.csv", "recipe.yaml")
    for private in (*stay, "images/worst.png", "images/segmentation.png"):
        (folder / private).parent.mkdir(exist_ok=True)
        (folder / private).write_text("stays at home")
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory, phantom):
    path = tmp_path_factory.mktemp("image") / "phantom.png"
    Image.fromarray((phantom[0] * 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def hub():
    with HubServer(TOKENS) as server:
        yield server


@pytest.fixture
def online(hub, monkeypatch):
    """Lets this process talk to the server, as its owner."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(train.publish.hub, "HfApi", partial(HfApi, endpoint=hub.url))
    monkeypatch.setattr(train.publish.hub, "WAITS", (0, 0))
    monkeypatch.setenv("HF_TOKEN", "hf_owner")
    yield hub
    assert not any(hub.trouble.values())  # what was to go wrong did
    hub.trouble.clear()


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
def published(hub, run, tmp_path_factory):
    """What the command said when it published the run."""
    return python(hub, tmp_path_factory.mktemp("home"), "-m", "train.push", str(run), "--repo-id", "owner/tiny")


def test_what_is_published(hub, run, published):
    files = hub.repos["owner/tiny"].find("main")[1]
    assert set(files) == SENT | {".gitattributes"}
    assert not any(b"stays at home" in content or str(run).encode() in content for content in files.values())
    assert files["README.md"].decode() == CARD.replace("FOLDER_OR_ID", "owner/tiny")
    assert files["metrics.json"] == (run / "metrics.json").read_bytes()
    config = json.loads(files["config.json"])
    assert config["auto_map"] == {
        "AutoConfig": "configuration_lungfusion.LungFusionConfig",
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


def test_loads_with_the_package(online, run, published, image, tmp_path):
    push(run, "owner/private", private=True, revision="trial")
    assert set(online.repos["owner/private"].find("main")[1]) == {".gitattributes"}
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=online.url, token="hf_stranger").model_info("owner/private")

    answers = json.loads(python(online, tmp_path, "-c", WITH_THE_PACKAGE, str(image)).splitlines()[-1])
    original = LungFusionPipeline.from_pretrained(run / "model", device="cpu")
    expected = [logits(original.model, original.processor, image)] * 2
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-6)  # what is aligned otherwise is added otherwise


def test_loads_without_the_package(hub, run, published, image, tmp_path):
    answer = json.loads(python(hub, tmp_path, "-c", WITHOUT_THE_PACKAGE, str(image), cwd=tmp_path).splitlines()[-1])
    assert answer["module"].startswith("transformers_modules.")
    model = LungFusionForImageClassification.from_pretrained(run / "model").eval()
    original = logits(model, LungFusionImageProcessor.from_pretrained(run / "model"), image)
    assert answer["logits"] == original
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


def test_publishing_again_sends_only_what_changed(online, run, published):
    before = len(online.requests)
    push(run, "owner/tiny")
    sent = online.requests[before:]
    assert not [request for request in sent if request.startswith("PUT") or "/commit/" in request]


def test_dry_run_lists_and_sends_nothing(online, run, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    before = len(online.requests)
    monkeypatch.setattr("sys.argv", ["train.push", str(run), "--repo-id", "owner/tiny", "--dry-run"])
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


def test_no_token(online, run, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("sys.argv", ["train.push", str(run), "--repo-id", "owner/tiny"])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code.startswith("There is no token for the Hub: log in")  # a sentence: status 1


@pytest.mark.parametrize(
    ("token", "why"), [("hf_expired", "does not accept the token"), ("hf_stranger", "this token may not write there")]
)
def test_a_token_that_will_not_do(online, run, monkeypatch, token, why):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(PushError, match=f"Nothing was published as owner/other: .*{why}"):
        push(run, "owner/other")
    assert "owner/other" not in online.repos


@pytest.mark.parametrize(
    ("status", "why"), [(404, "no such repository or owner"), (503, "answered with status 503; try again later")]
)
def test_a_hub_that_refuses(online, run, monkeypatch, status, why):
    def refuse(*_):
        raise Refusal(status, "not now")

    monkeypatch.setattr(hub_server, "check_may_write", refuse)
    with pytest.raises(PushError, match=why):
        push(run, "owner/other")


@pytest.mark.parametrize("busy", [429, 503])
def test_a_busy_hub_is_asked_again(online, run, busy):
    online.objects.clear()  # so that there is something to send
    steps = ("POST /api/repos/create", "POST /api/models/owner/busy/preupload", "PUT /lfs/")
    online.trouble = {step: [busy] for step in (*steps, "POST /api/models/owner/busy/commit")}
    name = f"owner/busy{busy}"
    online.trouble = {step.replace("owner/busy", name): statuses for step, statuses in online.trouble.items()}
    push(run, name)
    assert set(online.repos[name].find("main")[1]) == SENT | {".gitattributes"}


def test_an_interrupted_upload_goes_on_where_it_stopped(online, run, monkeypatch):
    online.objects.clear()
    monkeypatch.setattr("huggingface_hub.lfs.http_backoff", partial(http_backoff, max_retries=0))
    monkeypatch.setattr("huggingface_hub._commit_api.UPLOAD_BATCH_MAX_NUM_FILES", 1)
    online.trouble = {"PUT /lfs/": [0, "cut"]}
    with pytest.raises(PushError, match=r"check the network\. What was sent is kept: run the same command again"):
        push(run, "owner/interrupted")
    assert set(online.repos["owner/interrupted"].find("main")[1]) == {".gitattributes"}  # all or nothing
    kept = set(online.objects)
    assert len(kept) == 1

    before = len(online.requests)
    push(run, "owner/interrupted")
    uploads = [request for request in online.requests[before:] if request.startswith("PUT")]
    assert len(uploads) == 1 and uploads[0].removeprefix("PUT /lfs/") not in kept
    assert set(online.repos["owner/interrupted"].find("main")[1]) == SENT | {".gitattributes"}


def test_no_network(online, run, monkeypatch):
    with HubServer(TOKENS) as gone:
        nobody_listens = gone.url
    monkeypatch.setattr(train.publish.hub, "HfApi", partial(HfApi, endpoint=nobody_listens))
    with pytest.raises(PushError, match=r"the Hub can't be reached .* check the network"):
        push(run, "owner/tiny")


def test_offline_mode(online, run, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PushError, match="unset HF_HUB_OFFLINE"):
        push(run, "owner/tiny")


def test_an_upload_that_breaks_off_is_told_by_its_cause():
    error = RuntimeError("Error while uploading 'model.safetensors' to the Hub.")
    error.__cause__ = ConnectionResetError("connection reset")
    assert reason(error) == f"the Hub can't be reached (connection reset); check the network. {KEPT}"


def test_metadata_the_hub_does_not_take(online, run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(PushError, match=r"Invalid metadata in README\.md"):
        push(folder, "owner/tiny")


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("model", "holds no model: give a run's folder"),
        ("README.md", r"has no README\.md, the model card"),
        ("model/model.safetensors", "model can't be loaded"),
    ],
)
def test_a_folder_that_is_not_whole(run, tmp_path, missing, why):
    folder = shutil.copytree(run, tmp_path / "run")
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(PushError, match=why):
        push(folder, "owner/tiny", dry_run=True)


@pytest.mark.parametrize(("name", "why"), [("tiny", "write OWNER/NAME"), ("owner/ti ny", "must use alphanumeric")])
def test_a_name_that_is_none(run, name, why):
    with pytest.raises(PushError, match=why):
        push(run, name, dry_run=True)


# The Space


def test_the_space_holds_the_app_and_nothing_else(online, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train.push", "--space", "owner/app"])
    main()
    assert f"Published: {online.url}/spaces/owner/app/commit/" in capsys.readouterr().out
    files = online.repos["spaces/owner/app"].find("main")[1]
    assert online.repos["spaces/owner/app"].variables == {}
    assert {name.split("/")[0] for name in files} == {
        ".gitattributes", "LICENSE", "README.md", "app.py", "examples", "lungfusion", "requirements.txt",
    }  # fmt: skip
    tracked = subprocess.run(["git", "ls-files", "lungfusion"], cwd=ROOT, capture_output=True, text=True).stdout
    package = {name for name in files if name.startswith("lungfusion/")}
    assert package == {name for name in tracked.splitlines() if (ROOT / name).exists()}
    assert "lungfusion/checkpoints/default/model.safetensors" in package
    assert {name for name in files if name.startswith("examples/")} == {"examples/overview.png"} | {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "examples" / "radiographs").iterdir()
    }
    assert not [name for name in files if "__pycache__" in name]


def test_a_space_serves_the_model_that_is_pushed_with_it(online, run, monkeypatch, capsys):
    command = ["train.push", str(run), "--repo-id", "owner/own", "--space", "owner/own-app", "--private"]
    monkeypatch.setattr("sys.argv", command)
    main()
    said = capsys.readouterr().out
    space = online.repos["spaces/owner/own-app"]
    assert space.variables == {"LUNGFUSION_MODEL": "owner/own"}
    front = SpaceCard(space.find("main")[1]["README.md"].decode()).data.to_dict()
    assert front["models"] == ["owner/own"]
    assert front["python_version"] == "3.12"  # not the number 3.12, and one that ZeroGPU has
    assert "owner/own is private: give the Space a secret HF_TOKEN" in said


def test_front_matter_of_the_space_is_what_the_hub_takes():
    front = SpaceCard.load(space_files()["README.md"]).data.to_dict()
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py"
    assert f"gradio[mcp]=={front['sdk_version']}" in space_files()["requirements.txt"].read_text().split()
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours
    assert len(front["short_description"]) <= 60
    assert set(front) <= SPACE_KEYS


def test_a_space_needs_a_clone(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no README\.md: run this in a clone"):
        space_files(tmp_path)


@pytest.mark.parametrize("arguments", [[], ["DIR"], ["--repo-id", "owner/tiny"]])
def test_an_incomplete_command_says_what_it_needs(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train.push", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert "give DIR and --repo-id OWNER/NAME for a model, --space OWNER/NAME for the app" in capsys.readouterr().err


# Data sets


def test_a_data_set_is_published_with_its_card(online, tmp_path, monkeypatch):
    (tmp_path / "raw/CXR_png").mkdir(parents=True)
    for name in ("CHNCXR_0001_0.png", "CHNCXR_0327_1.png"):
        Image.linear_gradient("L").save(tmp_path / "raw/CXR_png" / name)
    out = tmp_path / "out"
    command = ["train.prepare", "shenzhen", str(tmp_path / "raw"), str(out), "--push-to-hub", "owner/shenzhen"]
    monkeypatch.setattr("sys.argv", [*command, "--dry-run"])
    prepare_main()
    assert "datasets/owner/shenzhen" not in online.repos

    monkeypatch.setattr("sys.argv", command)
    prepare_main()
    files = online.repos["datasets/owner/shenzhen"].find("main")[1]
    assert set(files) == {".gitattributes", "README.md", "train-00000-of-00001.parquet"}
    assert files["train-00000-of-00001.parquet"] == (out / "train-00000-of-00001.parquet").read_bytes()
    assert b'load_dataset("owner/shenzhen")' in files["README.md"]
