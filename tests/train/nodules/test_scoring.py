import numpy as np
import pytest

from train.nodules.scoring import NOBODY, called, false_threshold, froc, reached_by, score_of


def row_of(marks, boxes=()):
    return {"marks": np.reshape(np.array(marks, float), (-1, 4)), "boxes": list(boxes)}


def test_boxes_are_found_by_marks_in_them_above_the_rate_of_false_ones():
    located = [
        row_of([(50, 50, 3.0, 12), (90, 90, 1.0, 12)], [(52, 52, 10, 10)]),
        row_of([(10, 10, 2.0, 12)], [(100, 100, 20, 20)]),
        row_of([(61, 60, 0.5, 12)], [(60, 60, 8, 8)]),
    ]
    without = [row_of([(5, 5, 1.0, 12)]), row_of([(7, 7, 0.0, 12), (9, 30, -1.0, 12)])]
    figures = froc(located, without)
    assert figures["boxes"] == 3
    assert figures["thresholds"] == {0.5: 0.0, 1.0: -1.0, 2.0: NOBODY}
    assert figures["found_at_1"]["value"] == pytest.approx(2 / 3)


def test_a_threshold_leaves_so_many_false_marks():
    false = np.array([3.0, 2.0, 1.0])
    assert (false > false_threshold(false, 2)).sum() == 2
    assert false_threshold(false, 3) == NOBODY


def test_a_picture_scores_as_its_highest_mark():
    assert score_of(row_of([(0, 0, 2.5, 9), (0, 0, 1, 9)])["marks"]) == 2.5
    assert score_of(row_of([])["marks"]) == NOBODY


def test_shares_have_their_number_and_interval():
    share = called(np.array([True, False, False, False]))
    assert share["n"] == 4
    assert share["interval"][0] < share["value"] == 0.25 < share["interval"][1]


def test_at_most_so_many_reach_a_threshold():
    scores = np.arange(40.0)
    assert (scores >= reached_by(0.05, scores)).sum() == 2
    assert (scores[:10] >= reached_by(0.05, scores[:10])).sum() == 0
