import numpy as np
import torch

from lungfusion.models.nodule_detector import STRIDE, NoduleDetector
from train.nodules.data import CELL, WHOLE, Pictures
from train.nodules.training import Crops, lesion_free, peak_loss

RECIPE = {"seed": 0, "crop": 64, "batch": 4, "learn_from": ["nih"], "look_alikes": 0.2, "made": 1.0, "mine": 0.0}


def pictures_of(rows):
    rng = np.random.default_rng(0)
    pixels = rng.integers(80, 120, (len(rows), WHOLE, WHOLE), np.uint8)
    lungs = np.zeros((len(rows), WHOLE // CELL, WHOLE // CELL), np.uint8)
    lungs[:, 20:80, 20:80] = 255
    usual = {"source": "nih", "split": "train", "side": 448, "votes": None, "read": True, "healthy": True}
    return Pictures(pixels, lungs, [usual | {"label": 0, "boxes": [], "located": False} | row for row in rows])


def test_only_pictures_without_lesions_are_drawn_upon():
    free = {"votes": None, "label": 0, "read": False, "healthy": True}
    assert lesion_free(free)
    assert lesion_free(free | {"healthy": False, "read": True})
    assert not lesion_free(free | {"healthy": False})
    assert not lesion_free(free | {"votes": 0.2})
    assert not lesion_free(free | {"label": 1, "read": True})


def test_validation_patients_and_other_hospitals_are_not_learned_from():
    rows = [{}, {"split": "validation"}, {"source": "shenzhen"}]
    crops = Crops(RECIPE | {"real": 0.0}, pictures_of(rows))
    assert crops.free.tolist() == [0]


def test_readers_boxes_come_along_into_turned_crops():
    boxed = {"label": 1, "healthy": False, "located": True, "boxes": [(200.0, 180.0, 24.0, 24.0)]}
    pictures = pictures_of([{}, boxed])
    pictures.pixels[1] = 0
    pictures.pixels[1, 176:185, 196:205] = 255
    crops = Crops(RECIPE | {"real": 0.5, "look_alikes": 0.0}, pictures)
    checked = 0
    for _ in range(4):
        pixels, centres, widths = crops.batch()
        for i in (2, 3):
            for (x, y), width in zip(centres[i].tolist(), widths[i].tolist(), strict=True):
                if width and 6 < x < 58 and 6 < y < 58:
                    assert 18 < width < 31
                    assert pixels[i, 0, int(y), int(x)] > 0.5
                    checked += 1
    assert checked


def test_the_loss_is_least_for_a_peak_in_the_right_place_and_of_the_right_width():
    centres, widths = torch.tensor([[[26.0, 18.0]]]), torch.tensor([[12.0]])
    found = torch.full((1, 2, 16, 16), -6.0)
    found[:, 1] = 12.0
    right, beside, wide = found.clone(), found.clone(), found.clone()
    right[0, 0, 18 // STRIDE, 26 // STRIDE] = wide[0, 0, 18 // STRIDE, 26 // STRIDE] = 5
    wide[:, 1] = 40
    beside[0, 0, 2, 12] = 5
    losses = [float(peak_loss(x, centres, widths)) for x in (right, wide, found, beside)]
    assert losses == sorted(losses)
    assert losses[0] < 0.1 < losses[1]


def test_a_detector_learns_to_find_discs():
    torch.manual_seed(0)
    model = NoduleDetector(64, (4, 8, 8, 8)).train()
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")

    def batch(count):
        at = 12 + 40 * torch.rand(count, 1, 2)
        disc = torch.hypot(x - at[:, :, 0, None, None], y - at[:, :, 1, None, None]) < 6
        return 0.4 + 0.02 * torch.randn(count, 1, 64, 64) + 0.2 * disc[:, 0, None], at, torch.full((count, 1), 12.0)

    for _ in range(60):
        pixels, at, widths = batch(8)
        optimiser.zero_grad()
        peak_loss(model.look(pixels), at, widths).backward()
        optimiser.step()
    pixels, at, _ = batch(16)
    with torch.inference_mode():
        highest = model.eval().look(pixels)[:, 0].flatten(1).argmax(1)
    place = torch.stack([highest % 16, highest // 16], dim=1) * STRIDE + STRIDE / 2
    assert (torch.linalg.vector_norm(place - at[:, 0], dim=1) < 8).float().mean() > 0.8
