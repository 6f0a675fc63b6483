"""Loading from the Hub as people do: pinned, cached, offline, over a bad line, and with transformers' own pipelines."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers.utils.hub
from huggingface_hub import HfApi, constants
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForSemanticSegmentation,
    pipeline,
)

from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from tests.support.hub_server import HubServer
from tests.support.tiny import SIDE, find_lungs_everywhere, tiny_model, tiny_segmenter

NAME, LUNGS = "owner/tiny", "owner/lungs"


def saved(model, folder, side):
    """{name: bytes} of a checkpoint."""
    model.save_pretrained(folder)
    LungFusionImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, phantom_segmenter, phantom):
    """{repository: {name: bytes}}: a classifier, a segmenter, and a picture of a phantom beside the former."""
    picture = tmp_path_factory.mktemp("picture") / "phantom.png"
    Image.fromarray((phantom[0] * 255).astype(np.uint8)).save(picture)
    classifier = saved(tiny_model(), tmp_path_factory.mktemp("classifier"), SIDE)
    lungs = saved(phantom_segmenter, tmp_path_factory.mktemp("lungs"), 64)
    return {NAME: classifier | {picture.name: picture.read_bytes()}, LUNGS: lungs}


@pytest.fixture
def hub(checkpoints, monkeypatch, tmp_path):
    """A Hub with both, which this process takes for the real one, its cache empty."""
    with HubServer({"hf_owner": "owner"}) as server:
        for name, files in checkpoints.items():
            server.add(name, files)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)  # it keeps the address it was made with
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_owner")
        yield server
        assert not any(server.trouble.values())  # what was to go wrong did


def weights(pipe):
    return pipe.model.state_dict()


def same(one, other):
    return all(torch.equal(tensor, other[key]) for key, tensor in one.items())


def test_a_revision_is_pinned(hub, checkpoints):
    first = hub.repos[NAME].branches["main"]
    changed = dict(checkpoints[NAME])
    config = json.loads(changed["config.json"])
    config["findings"]["pneumonia"]["threshold"] = 0.9
    hub.add(NAME, changed | {"config.json": json.dumps(config).encode()})
    assert LungFusionPipeline.from_pretrained(NAME).model.config.findings["pneumonia"].threshold == 0.9
    pinned = LungFusionPipeline.from_pretrained(NAME, revision=first)
    assert pinned.model.config.findings["pneumonia"].threshold == 0.5
    with pytest.raises(OSError, match="not a valid git identifier"):
        LungFusionPipeline.from_pretrained(NAME, revision="no-such-branch")


def test_what_is_cached_is_not_fetched_again_and_serves_offline(hub, monkeypatch):
    first = LungFusionPipeline.from_pretrained(NAME)
    fetched = [request for request in hub.requests if request.startswith("GET /lfs")]
    assert len(fetched) == 1
    LungFusionPipeline.from_pretrained(NAME)
    assert [request for request in hub.requests if request.startswith("GET /lfs")] == fetched

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    before = len(hub.requests)
    assert same(weights(LungFusionPipeline.from_pretrained(NAME)), weights(first))
    assert len(hub.requests) == before


def test_only_safetensors_and_json_are_fetched(hub, checkpoints):
    LungFusionPipeline.from_pretrained(NAME)
    pickled = {name: content for name, content in checkpoints[NAME].items() if name != "model.safetensors"}
    hub.add("owner/pickled", pickled | {"pytorch_model.bin": b"a pickle could run anything"})
    with pytest.raises(OSError, match="safetensors"):
        LungFusionPipeline.from_pretrained("owner/pickled")
    assert {Path(request).suffix for request in hub.requests if "/resolve/" in request} == {".json", ".safetensors"}


@pytest.mark.parametrize("trouble", [[429], ["cut"], ["cut", "cut"]], ids=str)
def test_a_bad_line_is_borne(hub, trouble):
    hub.trouble["GET /lfs/"] = list(trouble)
    pipe = LungFusionPipeline.from_pretrained(NAME)
    assert same(weights(pipe), tiny_model().state_dict())
    assert len([request for request in hub.requests if request.startswith("GET /lfs")]) == 1 + len(trouble)


def test_a_busy_storage_is_named_and_can_be_asked_again(hub):
    hub.trouble["GET /lfs/"] = [503]
    with pytest.raises(OSError, match=r"owner/tiny:\s+Server error '503"):
        LungFusionPipeline.from_pretrained(NAME)
    assert same(weights(LungFusionPipeline.from_pretrained(NAME)), tiny_model().state_dict())


@pytest.mark.parametrize("token", ["", "hf_stranger"])
def test_a_private_model_needs_a_token(hub, monkeypatch, token):
    hub.repos[NAME].private = True
    assert LungFusionPipeline.from_pretrained(NAME)  # the owner's
    monkeypatch.setattr(constants, "HF_HUB_CACHE", f"{constants.HF_HUB_CACHE}-of-another")
    hub.tokens["hf_stranger"] = "stranger"
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(OSError, match=r"(?s)owner/tiny is not a local folder .* private repository.* token"):
        LungFusionPipeline.from_pretrained(NAME)


def test_a_corrupted_download_is_noticed_and_fetched_anew(hub):
    hub.trouble["GET /lfs/"] = ["garble"]
    with pytest.raises(OSError, match="weights of owner/tiny were damaged on the way or on this disk, and are deleted"):
        LungFusionPipeline.from_pretrained(NAME)
    assert same(weights(LungFusionPipeline.from_pretrained(NAME)), tiny_model().state_dict())


def test_device_map_and_dtype(hub):
    model = AutoModelForImageClassification.from_pretrained(NAME, device_map="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(torch.rand(1, 1, SIDE, SIDE)).logits.dtype == torch.bfloat16
    automatic = AutoModelForImageClassification.from_pretrained(NAME, device_map="auto")
    assert automatic(torch.rand(1, 1, SIDE, SIDE)).logits.isfinite().all()


@pytest.fixture
def image(checkpoints, tmp_path):
    (tmp_path / "phantom.png").write_bytes(checkpoints[NAME]["phantom.png"])
    return tmp_path / "phantom.png"


def test_transformers_classification_pipeline(hub, image):
    classify = pipeline("image-classification", NAME, device="cpu", trust_remote_code=False)
    picture = Image.open(image)
    answer = classify(str(image))
    assert {score["label"] for score in answer} == {"pneumonia", "tuberculosis"}
    assert classify(picture) == answer
    assert classify(f"{hub.url}/{NAME}/resolve/main/phantom.png") == answer
    together = [one for size in (2, 3, 4, 5) for one in classify([picture, str(image), picture] * 2, batch_size=size)]
    assert len(together) == 24
    for one in together:
        assert [s["label"] for s in one] == [s["label"] for s in answer]
        assert [s["score"] for s in one] == pytest.approx([s["score"] for s in answer], abs=1e-5)
    pixels = LungFusionImageProcessor.from_pretrained(NAME)(picture)["pixel_values"]
    own = tiny_model()(pixels).logits.sigmoid()[0].tolist()
    assert [s["score"] for s in sorted(answer, key=lambda s: s["label"])] == pytest.approx(own, abs=1e-3)


def test_transformers_segmentation_pipeline(hub, image, phantom):
    segments = pipeline("image-segmentation", LUNGS, device="cpu", trust_remote_code=False)(str(image))
    assert [segment["label"] for segment in segments] == ["right lung", "left lung"]
    right, left = (np.asarray(segment["mask"]) > 0 for segment in segments)
    assert right.shape == phantom[1].shape
    assert np.nonzero(right)[1].mean() < np.nonzero(left)[1].mean()
    both = right | left
    assert 2 * (both & phantom[1]).sum() / (both.sum() + phantom[1].sum()) > 0.8
    assert all(0.9 <= segment["score"] <= 1 for segment in segments)


def test_transformers_semantic_segmentation_pipeline(hub, image):
    segment = pipeline("image-segmentation", LUNGS, device="cpu", trust_remote_code=False)
    instances = {one["label"]: np.asarray(one["mask"]) for one in segment(str(image))}
    parts = {one["label"]: np.asarray(one["mask"]) for one in segment(str(image), subtask="semantic")}
    assert set(parts) == {"background", "right lung", "left lung"}
    for label, mask in instances.items():
        np.testing.assert_array_equal(parts[label], mask)
    assert (sum(mask // 255 for mask in parts.values()) == 1).all()


def test_transformers_feature_extraction_pipeline(hub, image):
    extract = pipeline("image-feature-extraction", NAME, device="cpu", trust_remote_code=False)
    features = LungFusionPipeline.from_pretrained(NAME).features(str(image))
    for pool in (True, False):
        assert extract(str(image), pool=pool)[0] == pytest.approx(features.tolist(), abs=1e-4)
    assert len(extract([str(image)] * 3, batch_size=3)) == 3


def test_segments_with_too_low_a_score_are_left_out():
    segmenter = tiny_segmenter()
    find_lungs_everywhere(segmenter, logit=1.0)
    output = segmenter(torch.rand(2, 1, 64, 64))
    processor = LungFusionImageProcessor(size={"height": 64, "width": 64})
    for answer in processor.post_process_instance_segmentation(output, threshold=0.9):
        assert answer["segments_info"] == [] and not answer["segmentation"].any()
    sizes = [(30, 20), (64, 64)]
    answers = processor.post_process_instance_segmentation(output, threshold=0.5, target_sizes=sizes)
    assert [tuple(answer["segmentation"].shape) for answer in answers] == sizes
    assert answers[0]["segments_info"][0]["score"] == pytest.approx(0.731, abs=1e-3)


def test_the_segmenter_alone(hub, image):
    model = AutoModelForSemanticSegmentation.from_pretrained(LUNGS).eval()
    processor = AutoImageProcessor.from_pretrained(LUNGS)
    alpha = model(**processor([Image.open(image)] * 2, return_tensors="pt")).logits.sigmoid()
    assert alpha.shape == (2, 1, 64, 64)
    assert [tuple(mask.shape) for mask in processor.post_process_alpha(alpha, [(256, 256), (20, 30)])] == [
        (256, 256),
        (20, 30),
    ]


def test_the_servers_own_manners(hub):
    api = HfApi(endpoint=hub.url, token=False)
    assert api.model_info(NAME).sha == hub.repos[NAME].branches["main"]
    assert {entry.path for entry in api.list_repo_tree(NAME)} >= {"config.json", "model.safetensors"}
