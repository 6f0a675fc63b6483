"""Where nodules and masses are: places of the detector's map as spots in the radiograph as loaded."""

import json

import numpy as np
import pytest
import torch

from lungfusion import LungFusionPipeline, Radiograph
from lungfusion.analysis import UPRIGHT, Correction, Spot
from lungfusion.checks.geometry import correct_pixels
from lungfusion.models import LungFusionImageProcessor, LungFusionOutput
from lungfusion.models.nodule_detector import BOX_WIDTH, NOWHERE
from lungfusion.steps import MAX_SPOTS, InferenceState, locate
from tests.support.tiny import SIDE, TINY_DETECTOR, draw_phantom, find_lungs_everywhere, tiny_model

SPOTS = {"nodule": (Spot(5.0, 6.0, 2.0, 0.7),), "mass": (Spot(9.0, 8.0, 4.0, 0.6),)}
WHOLE = np.array([[1.0, 0, 0], [0, 1, 0]])


@pytest.fixture(scope="module")
def model():
    findings = {"nodule": {"threshold": 0.5, "rule_out_threshold": 0.2}, "mass": {"threshold": 0.5, "bias": 1.0}}
    return tiny_model(concatenation="align", findings=findings, nodule_detector=TINY_DETECTOR)


def state_of(peaks, box=WHOLE, pixels=None, correction=UPRIGHT, side=16):
    """peaks: (row, column, logit, width in mm) in a map of `side` × `side` over a box."""
    nodule_map = torch.full((1, 2, side, side), NOWHERE)
    nodule_map[:, 1] = 10
    for row, column, logit, width in peaks:
        nodule_map[0, :, row, column] = torch.tensor([logit, width])
    pixels = np.zeros((200, 100), np.float32) if pixels is None else pixels
    picture, matrix = correct_pixels(pixels, correction)
    output = LungFusionOutput(nodule_map=nodule_map, roi_affine=torch.tensor(box)[None].float())
    radiograph = Radiograph(pixels, "chest.png", "PNG")
    return InferenceState(radiograph, correction, picture.shape, matrix, torch.zeros(1, 1, 8, 8), output)


def test_a_peak_is_a_spot_in_pixels_of_the_radiograph(model):
    box = np.array([[0.5, 0, 0.2], [0, 0.5, -0.1]])
    spots = locate(model, state_of([(2, 5, 3.0, BOX_WIDTH / 8)], box, side=8))
    (spot,) = spots["mass"]
    assert spots["nodule"] == ()
    assert (spot.x, spot.y) == pytest.approx((69.375, 71.25))
    assert spot.radius == pytest.approx((3.125 + 6.25) / 2)
    assert spot.score == pytest.approx(1 / (1 + np.exp(-4)))


def test_spots_that_are_ruled_out_are_left_out_and_the_surest_is_the_first(model):
    found = locate(model, state_of([(1, 1, 0.1, 9), (5, 5, 2.0, 12), (9, 9, -1.0, 12), (12, 12, -2.0, 12)]))
    assert [round(spot.score, 3) for spot in found["nodule"]] == [0.881, 0.525, 0.269]
    many = [(2 * i, 2 * j, 1.0, 9) for i in range(8) for j in range(8)]
    assert len(locate(model, state_of(many))["nodule"]) == MAX_SPOTS


@pytest.mark.parametrize("correction", [Correction(90, False), Correction(180, True), Correction(12, False)])
def test_a_spot_lies_in_the_picture_as_loaded_however_that_was_turned(model, correction):
    pixels = np.full((160, 120), 0.5, np.float32)
    pixels[40:44, 84:88] = 0.9
    picture, _ = correct_pixels(pixels, correction)
    y, x = np.unravel_index(np.abs(picture - np.median(picture)).argmax(), picture.shape)
    if correction.angle % 90:
        y, x = np.unravel_index(np.where(picture > 0.7, picture, 0).argmax(), picture.shape)
    side = 80
    row, column = int((y + 0.5) / picture.shape[0] * side), int((x + 0.5) / picture.shape[1] * side)
    state = state_of([(row, column, 3.0, 12)], pixels=pixels, correction=correction, side=side)
    (spot,) = locate(model, state)["nodule"]
    assert abs(spot.x - 86) < 4
    assert abs(spot.y - 42) < 4


def test_a_model_without_a_detector_knows_no_places(model):
    state = state_of([])
    state.output.nodule_map = None
    assert locate(model, state) == {}


def test_places_are_told_with_their_finding_unless_it_is_not_assessed():
    findings = {"nodule": {"threshold": 1e-4, "min_side": 300}, "mass": {"threshold": 1e-4}}
    model = tiny_model(concatenation="align", findings=findings, nodule_detector=TINY_DETECTOR)
    find_lungs_everywhere(model.segmenter)
    size = {"height": SIDE, "width": SIDE}
    pipe = LungFusionPipeline(model, LungFusionImageProcessor(size=size), backend="torch")
    pixels = draw_phantom(size=200)[0]
    told = {finding.name: finding for finding in pipe.answered({"nodule": 0.5, "mass": 0.5}, side=200, places=SPOTS)}
    assert told["nodule"].places == ()
    assert told["mass"].places == SPOTS["mass"]
    said = json.loads(json.dumps(pipe(pixels).to_dict()))
    assert all("places" in finding for finding in said["findings"])
