import json

import numpy as np
import pytest
import torch
from datasets import Dataset

from train.nodules.data import WHOLE, boxes_of, seen_in, what_is_known


def test_boxes_are_of_nodules_and_masses_as_shares_of_the_sides():
    drawn = [["Nodule", 512, 256, 640, 384], ["Effusion", 0, 0, 9, 9], ["Diffuse Nodule", 0, 0, 512, 512]]
    boxes, diffuse = boxes_of({"chestxdet_boxes": json.dumps(drawn)})
    assert boxes == [(0.5, 0.25, 0.625, 0.375)]
    assert diffuse
    boxes, diffuse = boxes_of({"bbox2017": json.dumps([["Mass", 256, 256, 512, 128]])})
    assert boxes == [(0.25, 0.25, 0.75, 0.375)]
    assert not diffuse


def test_a_box_lies_where_it_lay_in_the_radiograph():
    half = torch.tensor([[[0.5, 0, 0], [0, 0.5, 0]]])  # the picture is the radiograph's middle
    x, y, width, height = seen_in((0.5, 0.25, 0.75, 0.5), half)
    assert (x, y) == pytest.approx((0.75 * WHOLE, 0.25 * WHOLE))
    assert (width, height) == pytest.approx((0.5 * WHOLE, 0.5 * WHOLE))


def test_votes_of_five_say_whether_there_is_one(tmp_path):
    table = Dataset.from_dict(
        {
            "file_name": ["a", "b", "c", "d"],
            "google14_nodule_votes5": [3, 0, 2, None],
            "google14_mass_votes5": [1, 1, 0, None],
            "google4_nodule_mass": [0, 0, 0, 1],
        }
    )
    (tmp_path / "readers").mkdir()
    table.to_parquet(str(tmp_path / "readers" / "labels.parquet"))
    data = Dataset.from_dict({"file_name": ["a", "b", "c", "d", "e"], "findings": [[], ["nodule"], [], [], []]})
    source = {"findings": ["nodule", "mass"], "readers": {"table": "readers", "rules": []}}
    known = what_is_known(data, source, tmp_path)
    assert [row["label"] for row in known] == [1, 0, None, 1, 0]
    assert [row["votes"] for row in known] == [0.6, 0.2, 0.4, None, None]
    assert [row["read"] for row in known] == [True, True, False, True, False]
    assert np.array_equal([row["located"] for row in known], [False] * 5)
