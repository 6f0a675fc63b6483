"""Two radiographs as the page shows them: one, two that fit, and two that do not."""

from dataclasses import replace

import numpy as np
import pytest

from lungfusion.analysis import Finding
from lungfusion.app.view import comparison
from lungfusion.app.view.comparison import comparison_html, difference_layer
from lungfusion.app.view.words import LANGUAGES
from lungfusion.checks import input_checks as gate
from tests.support.tiny import analysis

ENGLISH = LANGUAGES["en"]
TUBERCULOSIS = Finding("tuberculosis", 0.63, 0.31)


@pytest.fixture
def chest(phantom):
    pixels, mask = phantom
    return analysis(pixels, mask.astype(np.float32), [TUBERCULOSIS], areas=(0.2, 0.1))


def test_one_alone_asks_for_the_other(chest):
    shown = comparison_html(ENGLISH, chest, None)
    assert ENGLISH("compare_now_second") in shown and "<table>" not in shown and 'class="difference"' not in shown
    assert ENGLISH("compare_now_first") in comparison_html(ENGLISH, None, chest)


def test_two_that_fit_are_laid_over_each_other(chest):
    shown = comparison_html(ENGLISH, chest, replace(chest, findings=(replace(TUBERCULOSIS, probability=0.11),)))
    assert 'class="difference"' in shown and 'value="swipe"' in shown and ENGLISH("compare_apart") not in shown
    assert "63% · Detected" in shown and "Not detected" in shown and "11%" not in shown


def test_two_that_do_not_fit_stand_side_by_side(chest):
    empty = analysis(np.full((80, 90), 0.5, np.float32), findings=[TUBERCULOSIS])
    for other in (empty, analysis(warnings=[gate.NOT_A_CHEST_RADIOGRAPH])):
        shown = comparison_html(ENGLISH, chest, other)
        assert ENGLISH("compare_apart") in shown and 'class="difference"' not in shown
        assert shown.count('class="panel ') == 2
    assert "<table>" not in shown  # the second was refused


def test_both_answers_are_told_and_no_change_is(chest):
    second = replace(chest, findings=(replace(TUBERCULOSIS, probability=None, reason="age"),))
    (row,) = comparison.rows(ENGLISH, chest, second)
    assert [answer["said"] for answer in row["answers"]] == ["63% · Detected", "Not judged"]
    shown = comparison_html(ENGLISH, chest, second)
    assert "points" not in shown and ENGLISH("about_comparison") in shown


def test_what_became_denser_is_orange_and_what_darker_blue(phantom):
    pixels, mask = phantom
    second = pixels.copy()
    second[100:140, 60:90] += 0.3
    second[100:140, 170:200] -= 0.3
    layer = np.asarray(difference_layer(pixels, second, mask.astype(np.float32))).astype(int)
    assert tuple(layer[120, 75, :3]) == comparison.DENSER and tuple(layer[120, 185, :3]) == comparison.DARKER
    assert layer[120, 75, 3] > 100 and layer[120, 185, 3] > 100 and layer[5, 5, 3] == 0
    assert not np.asarray(difference_layer(pixels, pixels, mask.astype(np.float32)))[..., 3].any()
