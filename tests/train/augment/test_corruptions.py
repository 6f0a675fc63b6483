"""Corrupted validation images: the same at every call, and each what its name says; robustness figures by hand."""

import numpy as np
import pytest
import torch

from lungfusion.models.image_processing_lungfusion import stretch_contrast
from tests.support.tiny import draw_phantom
from train.augment.corruptions import MILD_CORRUPTIONS, SEVERE_CORRUPTIONS, CorruptedRadiographs, corrupt
from train.scoring.robustness import robustness_table, summarise_robustness

MOVING = {"other_crop", "black_bands", "small_field", "tilted_30", "turned", "enlarged", "shrunk"}
HEIGHT, WIDTH = 120, 96


@pytest.fixture
def pair():
    """Image and mask, (1, 120, 96) each: not square, as radiographs are."""
    pixels, mask = draw_phantom(seed=0, size=HEIGHT)
    crop = slice((HEIGHT - WIDTH) // 2, (HEIGHT + WIDTH) // 2)
    return torch.from_numpy(pixels)[None, :, crop], torch.from_numpy(mask).float()[None, :, crop]


@pytest.mark.parametrize("name", MILD_CORRUPTIONS | SEVERE_CORRUPTIONS)
def test_corruptions_keep_shape_and_range_and_repeat(name, pair):
    before = [x.clone() for x in pair]
    image, mask = corrupt(name, *pair, index=3)
    assert image.shape == mask.shape == (1, HEIGHT, WIDTH)
    assert image.dtype == mask.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1 and set(mask.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(image, pair[0])
    assert torch.equal(mask, pair[1]) == (name not in MOVING)
    assert all(torch.equal(x, y) for x, y in zip(corrupt(name, *pair, index=3), (image, mask), strict=True))
    assert all(torch.equal(x, y) for x, y in zip(pair, before, strict=True))  # what came in is left alone


@pytest.mark.parametrize("name", sorted((MILD_CORRUPTIONS | SEVERE_CORRUPTIONS).keys() - {"inverted", "blurred"}))
def test_random_corruptions_differ_between_images(name, pair):
    images = [corrupt(name, *pair, index)[0] for index in range(8)]
    assert not all(torch.equal(images[0], image) for image in images)


@pytest.mark.parametrize("name", sorted(MOVING))
def test_mask_moves_with_the_image(name, pair):
    _, mask = pair
    for index in range(5):
        image, moved = corrupt(name, mask, mask, index)
        assert ((image > 0.5) != (moved > 0.5)).float().mean() < 0.02


def test_inverted(pair):
    torch.testing.assert_close(corrupt("inverted", *pair, index=0)[0], 1 - pair[0])


def test_low_contrast_survives_the_contrast_stretch(pair):
    image, _ = corrupt("low_contrast", *pair, index=0)
    inside = (..., slice(20, -20), slice(20, -20))
    assert stretch_contrast(image)[inside].std() < 0.35 * stretch_contrast(pair[0])[inside].std()


def test_gamma_keeps_black_white_and_their_order(pair):
    results = [corrupt("gamma", *pair, index=index)[0] for index in range(8)]
    assert {bool(result.mean() > pair[0].mean()) for result in results} == {True, False}
    order = pair[0].flatten().argsort()
    assert all((result.flatten()[order].diff() >= 0).all() for result in results)


def test_blurred_has_no_fine_detail():
    board = (torch.arange(HEIGHT)[:, None] + torch.arange(HEIGHT)).remainder(2).float()[None]
    assert corrupt("blurred", board, board, index=0)[0].std() < 0.1 * board.std()


def test_other_crop_enlarges():
    ones = torch.ones(1, HEIGHT, WIDTH)
    centre = torch.zeros_like(ones)
    centre[:, 40:80, 30:60] = 1
    for index in range(5):
        image, mask = corrupt("other_crop", ones, centre, index)
        assert image.min() == 1
        assert 1 < mask.sum() / centre.sum() < 1 / 0.7**2 * 1.1


def test_black_bands_are_on_two_sides():
    ones = torch.ones(1, HEIGHT, WIDTH)
    both = {corrupt("black_bands", ones, ones, index)[0].sum(1).eq(0).any().item() for index in range(8)}
    assert both == {True, False}  # left and right, or above and below
    for index in range(5):
        image, mask = corrupt("black_bands", ones, ones, index)
        torch.testing.assert_close(image, mask)
        assert 0.63 < image.mean() < 0.87


def test_small_field_is_black_all_round():
    ones = torch.ones(1, HEIGHT, WIDTH)
    image, mask = corrupt("small_field", ones, ones, index=0)
    assert torch.equal(image, mask)
    assert image[..., 0, :].max() == image[..., -1, :].max() == image[..., 0].max() == image[..., -1].max() == 0
    assert image.mean() > 0.7**2


def test_tilted_turns_the_middle_line():
    line = torch.zeros(1, HEIGHT, HEIGHT)
    line[:, :, 58:62] = 1
    angles = []
    for index in range(20):
        rows, columns = torch.nonzero(corrupt("tilted_30", line, line, index)[1][0]).T.float()
        angles.append(np.degrees(np.arctan(np.polyfit(rows, columns, 1)[0])))
    assert max(np.abs(angles)) < 31 and min(angles) < -15 and max(angles) > 15


def test_each_validation_image_has_one_corruption_of_its_own(pair):
    corrupted = CorruptedRadiographs([{"pixel_values": pair[0], "labels": pair[1]}] * 40)
    assert len(corrupted) == 40
    for index in (0, 7):
        assert all(torch.equal(corrupted[index][key], corrupted[index][key]) for key in ("pixel_values", "labels"))
    images = [corrupted[index]["pixel_values"] for index in range(40)]
    assert any(torch.equal(image, stretch_contrast(1 - pair[0])) for image in images)
    assert len({image.numpy().tobytes() for image in images}) > 20


def test_what_is_random_in_a_corruption_does_not_follow_from_its_choice():
    """Of the images that get another tone curve, some become lighter and some darker."""
    grey = torch.linspace(0.2, 0.8, 64 * 64).view(1, 64, 64)
    grey[..., 0, :2] = torch.tensor([0.0, 1.0])  # so that stretching the contrast changes nothing
    corrupted = CorruptedRadiographs([{"pixel_values": grey, "labels": grey}] * 200)
    curves = [stretch_contrast(grey**exponent) for exponent in (0.5, 2.0)]
    images = [corrupted[index]["pixel_values"] for index in range(200)]
    counts = [sum(torch.equal(image, curve) for image in images) for curve in curves]
    assert min(counts) >= 5, counts


def test_robustness_figures_by_hand():
    rows = []
    for patient, dice in (("a", 0.9), ("b", 0.7)):
        for name in ("clean", *MILD_CORRUPTIONS):
            lost = 0.4 if name == "inverted" else 0.0
            rows.append({"patient_id": patient, "corruption": name, "dice": dice - lost, "pixel_accuracy": dice})
    summary = summarise_robustness(rows)
    assert list(summary) == ["clean", "corrupted", *MILD_CORRUPTIONS]
    assert summary["clean"]["images"] == summary["corrupted"]["images"] == 2
    assert summary["clean"]["dice"]["value"] == pytest.approx(0.8)
    assert summary["clean"]["dice"]["interval"] == pytest.approx([0.7, 0.9])
    assert summary["inverted"]["dice"]["value"] == pytest.approx(0.4)
    assert summary["inverted"]["change"]["interval"] == pytest.approx([-0.4, -0.4])
    assert summary["inverted"]["least_dice"] == pytest.approx(0.3)
    assert summary["corrupted"]["dice"]["value"] == pytest.approx(0.8 - 0.4 / len(MILD_CORRUPTIONS))
    table = robustness_table(summary)
    assert len(table) == 2 + len(summary)
    assert table[2].startswith("| clean | 2 | 0.800 (0.700–0.900) | 0.000 (0.000–0.000) |")
