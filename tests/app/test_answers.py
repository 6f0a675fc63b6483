"""The cache of answers: the model runs once for a radiograph, and what it said is gone with the file."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from lungfusion import LungFusionImageProcessor, RadiographError
from lungfusion.analysis import Correction
from lungfusion.app import answers as cache
from lungfusion.app.answers import Answers, Request
from lungfusion.app.examples import Examples
from lungfusion.app.handlers import Handlers
from lungfusion.app.lessons import Lessons
from tests.support.app_server import ROOT

VISITOR = SimpleNamespace(headers={}, query_params={})


@pytest.fixture
def path(radiograph_files, tmp_path):
    return shutil.copy(radiograph_files["chest.png"], tmp_path)


@pytest.fixture
def runs(monkeypatch):
    """Grows by one whenever radiographs are made into what the model reads, which every run begins with."""
    counted, process = [], LungFusionImageProcessor.__call__

    def counting(processor, *images, **settings):
        counted.append(images)
        return process(processor, *images, **settings)

    monkeypatch.setattr(LungFusionImageProcessor, "__call__", counting)
    return counted


def test_answer_downloads_and_lessons_are_of_one_run(pipe, path, runs):
    handlers = Handlers(pipe, Examples(ROOT / "examples" / "radiographs"))
    lessons = Lessons(pipe, handlers)
    handlers.answered(path, Request(), VISITOR)
    first = len(runs)
    for kind in ("numbers", "mask", "cut_out", ""):
        handlers.on_file_request(path, Request(), SimpleNamespace(file=kind, number=0), VISITOR)
    handlers.compared(path, path, VISITOR)
    handlers.analyze_chest_xray(path)
    assert len(runs) == first
    lessons.stepped(path, Request(), VISITOR)
    assert len(runs) == first + 1  # the trace
    lessons.stepped(path, Request(), VISITOR)
    for covered in ("0" * 4, "1" * 4):
        lessons.covered(path, Request(), SimpleNamespace(covered=covered), VISITOR)
    assert len(runs) == first + 1


def test_another_request_is_another_answer(pipe, path):
    answers = Answers(pipe)
    upright, turned = Request(), Request(Correction(90, False), by_hand=True)
    assert answers.analysed(path)[0] is answers.analysed(path, upright)[0]
    assert answers.analysed(path, turned)[0] is not answers.analysed(path)[0]
    assert answers.analysed(path, Request(who="child"))[0].radiograph is not answers.analysed(path)[0].radiograph


def test_what_was_said_is_gone_with_the_file(pipe, path, monkeypatch):
    monkeypatch.setattr(cache, "SWEEP", 0.05)
    answers = Answers(pipe)
    answers.analysed(path)
    assert len(answers.kept) == 1
    shutil.os.remove(path)
    answers.sweeper.join(5)
    assert not answers.kept and answers.sweeper is None  # by itself
    with pytest.raises(RadiographError):
        answers.analysed(path)


def test_few_are_kept(pipe, radiograph_files, tmp_path, monkeypatch):
    answers = Answers(pipe)
    monkeypatch.setattr(cache, "MOST", 2)
    paths = [shutil.copy(radiograph_files["chest.png"], tmp_path / f"{number}.png") for number in range(4)]
    for one in paths:
        answers.analysed(one)
    assert [key[1] for key in answers.kept] == [str(one) for one in paths[2:]]
    monkeypatch.setattr(cache, "MOST_PIXELS", 1)
    answers.analysed(paths[0])
    assert len(answers.kept) == 1


def test_covered_scores_are_those_before_and_after(pipe, path):
    scores = Answers(pipe).covered(path, Request(), np.zeros((4, 4), bool))
    assert list(scores) == list(pipe.findings)
    assert all(before == pytest.approx(after, abs=1e-4) for before, after in scores.values())
