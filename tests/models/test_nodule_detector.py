import torch

from lungfusion.models.nodule_detector import BOX_WIDTH, NOWHERE, NoduleDetector, candidates, local_contrast, near_lungs

WHOLE = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def detector():
    torch.manual_seed(0)
    return NoduleDetector(64, (4, 8, 8, 8)).eval()


@torch.inference_mode()
def test_there_is_a_logit_and_a_width_every_four_pixels_and_nothing_away_from_the_lungs():
    alpha = torch.zeros(1, 1, 96, 96)
    alpha[..., :40] = 1
    found = detector()(torch.rand(1, 1, 96, 96), alpha, WHOLE)
    assert found.shape == (1, 2, 16, 16)
    assert (found[0, 0, :, 11:] == NOWHERE).all()
    assert (found[0, 0, :, :6] > NOWHERE).all()
    assert (found[0, 1] > 0).all()


@torch.inference_mode()
def test_widths_are_millimetres_of_the_box():
    model, picture = detector(), torch.rand(1, 1, 64, 64)
    found = model(picture, torch.ones_like(picture), WHOLE)
    assert torch.allclose(found[:, 1], model.look(picture)[:, 1] * BOX_WIDTH / 64)


@torch.inference_mode()
def test_exposure_falls_away():
    picture = 0.5 + 0.1 * torch.randn(1, 1, 128, 128)
    darker = 0.6 * picture + 0.1
    assert (local_contrast(picture) - local_contrast(darker)).abs().mean() < 0.15
    assert local_contrast(picture).std() > 0.5


def test_candidates_are_the_highest_of_their_surroundings():
    found = torch.zeros(1, 2, 8, 8)
    found[0, 0, 2, 3], found[0, 0, 2, 4], found[0, 0, 6, 6] = 3, 2, 1
    marked = candidates(found)[0, 0] & (found[0, 0] > 0)
    assert marked.nonzero().tolist() == [[2, 3], [6, 6]]


def test_the_lungs_reach_a_little_beyond_their_outline():
    lungs = torch.zeros(1, 1, 16, 16)
    lungs[..., 8, 8] = 1
    seen = near_lungs(torch.ones(1, 2, 16, 16), lungs)[0, 0] > NOWHERE
    assert seen[8, 5] and seen[11, 8] and not seen[8, 4]
