import numpy as np
import pytest
import torch

from train.nodules.made import KINDS, LOOK_ALIKES, body, draw_bodies, draw_look_alikes, make_bank


@pytest.fixture(scope="module")
def bank():
    return make_bank(0, 20, 20)


def lungs_of(count=4, side=96):
    torch.manual_seed(0)
    return (0.4 + 0.05 * torch.randn(count, 1, side, side)).clamp(0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_is_round_and_lies_in_the_middle(kind):
    shape = body(np.random.default_rng(0), kind)
    y, x = np.indices(shape.shape)
    assert shape.max() == pytest.approx(1)
    assert abs((shape * x).sum() / shape.sum() - 31.5) < 6
    assert abs((shape * y).sum() / shape.sum() - 31.5) < 6
    assert shape[:4].max() < 0.25 > shape[:, :4].max()


@pytest.mark.parametrize("draw", [draw for draw, _, _ in LOOK_ALIKES])
def test_a_look_alike_can_be_seen(draw):
    shape = draw(np.random.default_rng(0))
    assert shape.shape == (64, 64)
    assert shape.max() > 0.5 > np.median(shape)


def test_bodies_are_light_where_they_are_said_to_be_and_nowhere_else(bank):
    pictures, places = lungs_of(), torch.ones(4, 1, 24, 24)
    drawn, centres, widths, _ = draw_bodies(pictures, places, bank, torch.Generator().manual_seed(0), share=1.0, most=1)
    added = drawn - pictures
    assert (widths > 0).all()
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    for i in range(4):
        away = torch.hypot(x - centres[i, 0, 0], y - centres[i, 0, 1])
        assert added[i, 0][away < widths[i, 0] / 4].mean() > 0.005
        assert added[i, 0][away > widths[i, 0]].abs().max() < 1e-4


def test_nothing_is_drawn_where_nothing_may_be(bank):
    pictures = lungs_of()
    drawn, _, widths, _ = draw_bodies(pictures, torch.zeros(4, 1, 24, 24), bank, torch.Generator(), share=1.0)
    assert (widths == 0).all()
    assert torch.equal(drawn, pictures)


def test_look_alikes_are_drawn_by_their_share(bank):
    pictures, generator = lungs_of(), torch.Generator().manual_seed(0)
    assert torch.equal(draw_look_alikes(pictures, bank, generator, share=0.0), pictures)
    assert not torch.equal(draw_look_alikes(pictures, bank, generator, share=1.0), pictures)
