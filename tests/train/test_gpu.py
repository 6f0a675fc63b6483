"""Training, validation, scoring and heat maps on a GPU that is none: see `tests.support.fake_gpu`."""

import json
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from datasets import Dataset
from torch.utils.data import DataLoader

from lungfusion import FindingConfig, LungFusionImageProcessor, LungFusionPipeline
from lungfusion.explanation import grad_cam
from tests.support.fake_gpu import FakeGpu, GpuTensor
from tests.support.helpers import png
from tests.support.tiny import draw_phantom, find_lungs_everywhere, tiny_model, tiny_segmenter
from train.augment.augmentation import Augmentation
from train.classify import aucs, augmented_loss
from train.data.cache import RadiographDataset, byte_tensor, to_bytes
from train.data.crops import LabelledCrops, LungCrops, Part
from train.data.sampler import epoch_sampler
from train.engine import loop
from train.engine.losses import own_loss
from train.engine.pseudo_labels import predict_masks
from train.scoring.images import score_with_pipeline
from train.scoring.saliency import explain_positives, falls
from train.segment import mean_scores

SIDE = 64
IMAGES = 8
RECIPE = {"epochs": 2, "learning_rate": 1e-3, "weight_decay": 0.01, "ema_decay": 0.9, "seed": 0}
PROCESSOR = LungFusionImageProcessor(size={"height": SIDE, "width": SIDE})
FUSIONS = "concat", "gated", "lstm"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", str(FakeGpu.device))
    move = torch.nn.Module.to

    def to(module, *args, **kwargs):  # what is there stays the same tensor, as on a GPU
        there = args == (FakeGpu.device,) and all(isinstance(tensor, GpuTensor) for tensor in module.parameters())
        return module if there else move(module, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "to", to)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which does not know the device
    AcceleratorState._reset_state(True)
    with FakeGpu() as fake:
        yield fake
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def arrays():
    phantoms = [draw_phantom(seed=index, size=SIDE) for index in range(IMAGES)]
    rows = [{"pixels": array_bytes(pixels), "mask": array_bytes(mask)} for pixels, mask in phantoms]
    return Dataset.from_list(rows)


def array_bytes(pixels):
    return to_bytes(torch.from_numpy(np.asarray(pixels, np.float32))[None])


def train(gpu, monkeypatch, tmp_path, model, radiographs, validate_with, loss_of=own_loss):
    """History and final model; what would be saved is not, because these tensors have no memory of their own."""
    kept = {}
    monkeypatch.setattr(loop, "save_model", lambda model, *_: kept.update(model=model))
    monkeypatch.setattr(loop, "save_checkpoint", lambda *_: None)
    accelerator = Accelerator()
    assert accelerator.device == gpu.device
    sampler = epoch_sampler([("source", None)] * IMAGES, None)
    loader = DataLoader(radiographs, batch_size=2, sampler=sampler)
    validate = validate_with(accelerator, accelerator.prepare(DataLoader(radiographs, batch_size=4)))
    history = loop.fit(accelerator, model, PROCESSOR, loader, sampler, validate, RECIPE, tmp_path, loss_of)
    assert {type(parameter.data) for parameter in kept["model"].parameters()} == {GpuTensor}
    return history


def test_a_segmenter_trains(gpu, arrays, monkeypatch, tmp_path):
    radiographs = RadiographDataset(arrays, SIDE)
    history = train(gpu, monkeypatch, tmp_path, tiny_segmenter(), radiographs, segmenter_validation)
    assert history[1]["loss"] < history[0]["loss"]
    assert 0 <= history[1]["dice"] <= 1


def segmenter_validation(accelerator, loader):
    return partial(mean_scores, accelerator, loader, "plain")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_classifier_trains(fusion, gpu, arrays, monkeypatch, tmp_path):
    labels = np.float32([[index % 2, np.nan] for index in range(IMAGES)])
    crops = LungCrops(*(np.stack([byte_tensor(row[key], SIDE)[0] for row in arrays]) for key in ("pixels", "mask")))
    radiographs = LabelledCrops([Part("x", None, crops, labels)])
    model = tiny_model(fusion=fusion, concatenation="crop", findings=["mass", "edema"])
    model.segmenter.requires_grad_(False)
    loss_of = partial(augmented_loss, own_loss, Augmentation("none"), [model.config.branch_size] * 2)
    history = train(gpu, monkeypatch, tmp_path, model, radiographs, lambda *given: partial(aucs, *given), loss_of)
    assert set(history[1]) >= {"mean_auc", "auc_mass"}
    assert all(np.isfinite(epoch["loss"]) for epoch in history)


def test_few_numbers_are_read_while_training(gpu, arrays, monkeypatch, tmp_path):
    """Of each a GPU has to be waited for: the loss now and then, not the average's count of steps for every tensor."""
    monkeypatch.setattr(loop, "STEPS_SHOWN", 1000)
    reads = []

    def validate_with(accelerator, loader):
        return lambda model: reads.append(gpu.reads) or {"dice": 0.0}

    train(gpu, monkeypatch, tmp_path, tiny_segmenter(), RadiographDataset(arrays, SIDE), validate_with)
    assert reads[0] <= 2


def test_lungs_are_drawn_there_and_kept_as_bytes(gpu, arrays):
    segmenter = tiny_segmenter()
    find_lungs_everywhere(segmenter)
    drawn = predict_masks(arrays, segmenter.to(gpu.device), SIDE)
    assert {np.frombuffer(row["mask"], np.uint8).min() for row in drawn} == {round(255 / (1 + np.exp(-3)))}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_radiographs_are_scored_and_explained(fusion, gpu):
    model = tiny_model(fusion=fusion, concatenation="crop", findings={"mass": FindingConfig(threshold=0.01)})
    find_lungs_everywhere(model.segmenter)
    pipeline = LungFusionPipeline(model.to(gpu.device), PROCESSOR)
    pixels = [draw_phantom(seed=index, size=SIDE)[0] for index in range(2)]
    data = Dataset.from_dict(
        {"image": [png(image) for image in pixels], "patient_id": ["0", "1"], "file_name": ["0.png", "1.png"]}
    )
    scored = score_with_pipeline(pipeline, {"source": data})
    assert all(0 < row["probability_mass"] < 1 for row in scored)
    seen = explain_positives(pipeline, data, "mass")
    assert falls(pipeline, seen, "mass")["images"] == 2
    saliency = pipeline.explain(pixels[0], "mass")
    assert saliency.shape == (SIDE, SIDE)
    assert pipeline.features(pixels[:1]).shape == (1, model.fusion.num_features)
    json.dumps(scored)


def test_heat_maps_leave_an_lstm_to_torch(monkeypatch):
    """cuDNN refuses the backward pass of an LSTM in evaluation mode."""
    model = tiny_model(fusion="lstm")
    used = []
    model.fusion.lstm.register_forward_hook(lambda *_: used.append(torch.backends.cudnn.enabled))
    before = torch.backends.cudnn.enabled
    output = model(torch.rand(1, 1, SIDE, SIDE), output_hidden_states=True)
    grad_cam(model, output, SIDE)  # other threads may use what all share
    monkeypatch.setattr(type(model), "device", property(lambda _: torch.device("cuda")))
    grad_cam(model, output, SIDE)
    assert used == [before, before, False]
    assert torch.backends.cudnn.enabled == before
