"""Made nodules: their shadows are what physics says, their boxes hold them, look-alikes are none."""

import math

import pytest
import torch

from train.augment.lesion_views import random_views
from train.augment.nodules import (
    ATTENUATION,
    LUNG_DENSITY,
    LUNGS_WIDTH,
    Bodies,
    add_bodies,
    attenuating_path,
    body_shapes,
    mm_per_unit,
    random_lesions,
    random_look_alikes,
    random_places,
    shadow,
    with_made_lesions,
)

SIDE = 128
WHOLE = torch.eye(2, 3)[None]


def sphere(x=0.0, y=0.0, diameter=20.0, **changes):
    """`Bodies`: one ball of water's density in one picture."""
    figures = {"x": x, "y": y, "diameter": diameter, "aspect": 1.0, "angle": 0.0, "irregular": 0.0, "phase": 0.0}
    figures |= {"soft": 0.5, "density": 1.0, "depth": 1.0, "kind": 0.0, "present": 1.0} | changes
    return Bodies(**{name: torch.tensor([[value]]) for name, value in figures.items()})


@pytest.fixture
def chest():
    """Dark lungs on the left half of the picture, bright body on the right: pixels and lung mask."""
    lungs = torch.zeros(1, 1, SIDE, SIDE)
    lungs[..., : SIDE // 2] = 1
    return 0.8 - 0.6 * lungs, lungs


def test_a_ball_is_as_thick_as_geometry_says():
    mm = torch.tensor([100.0])  # the picture is 200 mm wide
    thickness, centre = body_shapes(sphere(x=0.25, y=-0.5, diameter=40.0), WHOLE, mm, SIDE)
    assert centre[0, 0].tolist() == [0.25, -0.5]
    volume = thickness.sum() * (200 / SIDE) ** 2
    assert volume.item() == pytest.approx(4 / 3 * math.pi * 20**3, rel=0.02)
    assert thickness.max().item() == pytest.approx(40, rel=0.01)


def test_sizes_hold_in_a_magnified_view():
    mm, half = torch.tensor([100.0]), WHOLE / 2  # the view shows a quarter of the picture
    whole, _ = body_shapes(sphere(diameter=60.0), WHOLE, mm, SIDE)
    magnified, _ = body_shapes(sphere(diameter=60.0), half, mm, SIDE)
    assert ((magnified > 0).sum() / (whole > 0).sum()).item() == pytest.approx(4, rel=0.05)


def test_shadows_follow_beer_and_lambert():
    path = attenuating_path(torch.tensor([0.0, 10.0, 20.0]), torch.tensor(1.0))
    assert path[1].item() == pytest.approx(ATTENUATION * (1 - LUNG_DENSITY) * 10)
    torch.testing.assert_close(shadow(path, torch.tensor(0.0)), path)  # without scatter the logarithm falls by it
    scattered = shadow(path, torch.tensor(0.8))
    assert scattered[0].abs() < 1e-6 and (scattered[1:] < 0.3 * path[1:]).all()
    assert attenuating_path(torch.tensor(10.0), torch.tensor(LUNG_DENSITY)) == 0  # no denser than lung: not seen


def test_it_is_added_to_what_lies_before_and_behind(chest):
    picture, lungs = chest
    rib = picture.clone()
    rib[..., 30:34, : SIDE // 2] += 0.02
    body, mm = sphere(x=-0.5, y=-0.5, diameter=30.0), torch.tensor([140.0])
    drawn, boxes, contrast = add_bodies(rib, lungs, body, WHOLE, mm)
    without_rib = add_bodies(picture, lungs, body, WHOLE, mm)[0]
    assert (drawn - rib)[0, 0, 27:37, 32].min() > 0.05
    assert (drawn - without_rib)[0, 0, 31, 32].item() == pytest.approx(0.02, rel=0.3)  # the rib is seen through it
    assert contrast[0, 0].item() == pytest.approx(float((drawn - rib)[0, 0, 31:33, 31:33].mean()), rel=0.05)
    torch.testing.assert_close(boxes[0, 0], torch.tensor([0, -0.5, -0.5, 15 / 140, 15 / 140]))
    outside = (drawn - rib).abs()[0, 0, :, SIDE // 2 :]
    assert outside.max() == 0


def test_scatter_washes_it_out_behind_the_heart(chest):
    picture, lungs = chest
    mm = torch.tensor([140.0])
    in_lung = add_bodies(picture, lungs, sphere(x=-0.5), WHOLE, mm)[2]
    behind = add_bodies(picture, lungs, sphere(x=0.5), WHOLE, mm)[2]
    assert 0.2 < (behind / in_lung).item() < 0.5


def test_larger_and_denser_ones_are_lighter(chest):
    picture, lungs = chest
    mm = torch.tensor([140.0])
    contrasts = [
        add_bodies(picture, lungs, sphere(x=-0.5, **body), WHOLE, mm)[2].item()
        for body in ({"diameter": 6.0}, {"diameter": 12.0}, {"diameter": 24.0}, {"diameter": 24.0, "density": 1.5})
    ]
    assert contrasts == sorted(contrasts) and contrasts[0] > 0.01


def test_millimetres_come_from_the_lungs_width():
    box = WHOLE * torch.tensor([0.56, 0.7, 1.0])  # 1.12 of 2 units wide: the lungs with their margin are 1 unit
    assert mm_per_unit(box).item() == pytest.approx(LUNGS_WIDTH)


def test_random_ones_are_in_the_lungs_and_in_bounds():
    torch.manual_seed(0)
    lungs = torch.zeros(64, 1, SIDE, SIDE)
    lungs[:, :, 32:96, 16:48] = lungs[:, :, 32:96, 80:112] = 1
    x, y = random_places(lungs)
    assert ((x.abs() > 0.24) & (x.abs() < 0.76) & (y.abs() < 0.51)).all()
    x, y = random_places(lungs, reach=4, share=0.2)
    beside = (x.abs() < 0.24) | (y > 0.51)
    assert 0.05 < float(beside.float().mean()) < 0.3 and x.abs().max() < 0.76 and y.min() > -0.51
    bodies = random_lesions(lungs)
    assert bodies.diameter.min() >= 5 and bodies.diameter.max() <= 40 and (bodies.present[:, 0] == 1).all()
    assert ((bodies.kind == 1) == (bodies.diameter > 30)).all()


def test_look_alikes_are_no_lesions(chest):
    torch.manual_seed(1)
    picture, lungs = (x.expand(16, -1, -1, -1) for x in chest)
    bodies = random_look_alikes(lungs)
    view, mm = WHOLE.expand(16, 2, 3), torch.full((16,), 140.0)
    drawn, boxes, _ = add_bodies(picture, lungs, bodies, view, mm)
    assert boxes.isnan().all() and (drawn - picture).amax((1, 2, 3)).count_nonzero() > 8
    none = with_made_lesions(picture, lungs, view, mm, torch.zeros(16, dtype=torch.bool))
    assert none[1].isnan().all()


def test_only_healthy_pictures_are_given_nodules(chest):
    torch.manual_seed(0)
    image, alpha = (x.expand(6, -1, -1, -1).clone() for x in chest)
    labels = torch.tensor([[0.0, 0, 0]] * 3 + [[1.0, 0, 1]] + [[torch.nan] * 3] * 2)
    batch = {"pixel_values": image, "alpha": alpha, "labels": labels, "weights": torch.full((6, 3), 0.25)}
    batch |= {"boxes": torch.full((6, 2, 5), torch.nan), "place_weights": torch.zeros(6)}
    batch["healthy"] = torch.tensor([True] * 3 + [False] * 3)
    region = lambda mask: WHOLE.expand(len(mask), 2, 3)  # noqa: E731
    picture, view, after = random_views(batch, region, 64, made=1.0)
    assert picture.shape == (6, 1, 64, 64) and view.shape == (6, 2, 3)
    assert (after["labels"][:3, 2] == 1).all() and (after["weights"][:3] == 1).all()
    torch.testing.assert_close(after["labels"][3:], labels[3:], equal_nan=True)
    assert (~after["boxes"][:3, :, 0].isnan()).any(1).all() and after["boxes"][3:].isnan().all()
    assert after["place_weights"].tolist() == [1, 1, 1, 0, 0, 0]
    assert random_views(batch, region, 64, made=0)[2]["labels"] is labels
