"""On a real GPU, where there is one: `python -m pytest -m gpu`. What it must be spared is tested without one, too."""

import copy

import pytest
import torch

from lungfusion import LungFusionPipeline
from lungfusion.backends import TorchBackend
from tests.support.tiny import alike, tiny_model
from train.augment.augmentation import Augmentation

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]


@pytest.fixture
def on_gpu(checkpoint):
    return LungFusionPipeline.from_pretrained(checkpoint, device="cuda")


def test_answers_are_those_of_the_processor(pipe, on_gpu, phantom):
    one, other = (pipeline(phantom[0]) for pipeline in (pipe, on_gpu))
    for finding, same in zip(one.findings, other.findings, strict=True):
        assert finding.probability == pytest.approx(same.probability, abs=1e-3)
    assert abs(one.alpha - other.alpha).max() < 1e-2


def test_torch_runs_it_in_single_precision_and_in_half(on_gpu, checkpoint, phantom):
    assert type(on_gpu.backend) is TorchBackend and on_gpu.model.device.type == "cuda"
    half = LungFusionPipeline.from_pretrained(checkpoint, device="cuda", dtype=torch.float16)
    for finding, same in zip(on_gpu(phantom[0]).findings, half(phantom[0]).findings, strict=True):
        assert finding.probability == pytest.approx(same.probability, abs=2e-2)


def test_heat_maps_are_those_of_the_processor(pipe, on_gpu, phantom):
    maps = [pipeline.analyse_and_explain(phantom[0])[1] for pipeline in (pipe, on_gpu)]
    assert maps[0].keys() == maps[1].keys()
    for name, saliency in maps[0].items():
        assert abs(saliency - maps[1][name]).max() < 2e-2


def test_a_batch_is_answered_as_one_by_one(on_gpu, phantom):
    pictures = [phantom[0], phantom[0] ** 1.2, 0.8 * phantom[0]]
    together = [alike(analysis.to_dict()) for analysis in on_gpu(pictures)]
    assert together == [alike(on_gpu(picture).to_dict()) for picture in pictures]


def test_training_lowers_the_loss_there(pixel_values):
    model = tiny_model(concatenation="crop").to("cuda").train()
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.AdamW([part for part in model.parameters() if part.requires_grad], 1e-2)
    image = pixel_values.to("cuda")
    image, alpha = Augmentation("mixed")(image, torch.ones_like(image))
    labels, losses = torch.tensor([[1.0, 0.0], [0.0, 1.0]], device="cuda"), []
    for _ in range(20):
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(image, alpha=alpha, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items() if "segmenter" in key)
