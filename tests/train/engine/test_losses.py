"""The segmenter's losses, on cases made by hand."""

import pytest
import torch

from lungfusion.models import LungUNetConfig, LungUNetForSemanticSegmentation
from train.engine.losses import LOSSES, border_cross_entropy

SIDE = 64


@pytest.fixture
def half():
    """(1, 1, 64, 64): the lower half is lung."""
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., SIDE // 2 :, :] = 1
    return mask


def confident(mask):
    return 20 * (2 * mask - 1)


def test_border_loss_of_a_perfect_mask_is_zero(half):
    assert border_cross_entropy(confident(half), half) < 1e-6


def test_border_loss_sees_the_border_alone(half):
    inside, border = half.clone(), half.clone()
    inside[..., -8:, :] = 0  # wrong far from the border
    border[..., SIDE // 2, :] = 0  # wrong by one row on it
    assert border_cross_entropy(confident(inside), half) < 1e-6
    assert border_cross_entropy(confident(border), half) == pytest.approx(10)  # one of the border's two rows, at 20


def test_border_loss_grows_with_the_distance(half):
    losses = [border_cross_entropy(confident(half).roll(rows, 2), half).item() for rows in range(3)]
    assert losses[0] < losses[1] <= losses[2]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_border_loss_without_a_border_is_zero(value):
    logits = torch.randn(2, 1, SIDE, SIDE, requires_grad=True)
    loss = border_cross_entropy(logits, torch.full((2, 1, SIDE, SIDE), value))
    loss.backward()
    assert loss == 0 and logits.grad.isfinite().all()


def test_recipes_losses_on_a_model(half):
    torch.manual_seed(0)
    model = LungUNetForSemanticSegmentation(LungUNetConfig(encoder="plain", image_size=SIDE, width=4))
    batch = {"pixel_values": torch.rand(1, 1, SIDE, SIDE), "labels": half}
    output = model(**batch)
    assert LOSSES["dice_bce"](model, batch) == output.loss
    extra = LOSSES["boundary"](model, batch) - output.loss
    torch.testing.assert_close(extra, border_cross_entropy(output.logits, half))
