"""The classifier alone: features are those the whole model would make, looked at once, and learned from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_model
from train.data.arrays import LungArrays
from train.engine import head
from train.engine.head import (
    FusedFeatures,
    fused_features,
    labelled_rows,
    learns_head_alone,
    logits_of,
    one_view,
    with_features,
)
from train.engine.losses import by_finding
from train.scoring.hospitals import hospitals_of, score_parts

FROZEN = {
    "frozen": -1,
    "model": {"fusion": "concat"},
    "augmentation": {"preset": "none"},
    "views": 0,
    "loss": "by_finding",
}


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """Five radiographs of a larger file, memory-mapped as `lung_arrays` leaves them."""
    monkeypatch.setattr(head, "HF_CACHE_HOME", str(tmp_path))
    (tmp_path / "lungfusion" / "drawn").mkdir(parents=True)
    generator = np.random.default_rng(0)
    files = []
    for name, side in (("pixels", 64), ("alpha", 32)):
        path = tmp_path / "lungfusion" / "drawn" / f"{name}.npy"
        np.save(path, generator.integers(0, 256, (7, side, side), np.uint8))
        files.append(np.load(path, mmap_mode="r"))
    return LungArrays(*files).select(np.array([0, 2, 3, 5, 6]))


def test_features_stand_for_the_radiographs(arrays):
    model = tiny_model(findings=["mass", "edema"], fusion="concat", image_size=64)
    labels = np.array([[0, 1]] * 5, np.float32)
    part = ("own", None, arrays, labels)
    [(_, _, features, _)] = with_features(model, [part])
    assert isinstance(features, FusedFeatures) and len(features.select(np.array([1, 2]))) == 2
    whole, alone = (
        torch.utils.data.default_collate([dataset[row] for row in range(5)])
        for dataset in (labelled_rows([(rows, labels)]) for rows in (arrays, features))
    )
    with torch.no_grad():
        expected = logits_of(model, whole)
        torch.testing.assert_close(logits_of(model, alone), expected, rtol=1e-3, atol=1e-4)
    loss = by_finding(head.head_of(model), one_view(alone))
    loss.backward()
    assert all(p.grad is None for p in model.branches.parameters())
    assert all(p.grad is not None for p in model.classifier.parameters())


def test_an_image_is_looked_at_once(arrays, monkeypatch):
    model = tiny_model(fusion="concat", image_size=64)
    first = fused_features(model, arrays)
    monkeypatch.setattr(head, "extract_features", lambda *_: pytest.fail("It was looked at already."))
    np.testing.assert_array_equal(fused_features(model, arrays.select(np.array([1]))), first[1:2])
    with torch.no_grad():
        next(model.branches.parameters()).add_(1)
    with pytest.raises(pytest.fail.Exception):
        fused_features(model, arrays)


def test_another_models_features_are_not_taken(arrays):
    """Of the same branches, but with another configuration, whatever it is that differs."""
    settings = {"fusion": "concat", "image_size": 64, "branch_size": 32}
    one, other = (tiny_model(concatenation=name, **settings) for name in ("crop", "align"))
    other.branches.load_state_dict(one.branches.state_dict())
    kept = [fused_features(model, arrays) for model in (one, other)]
    with torch.inference_mode():
        for model, features in zip((one, other), kept, strict=True):
            np.testing.assert_array_equal(features, head.extract_features(model.eval(), arrays, ""))
    one.config.dropout += 0.1
    fused_features(one, arrays)
    assert len(list((Path(head.HF_CACHE_HOME) / "lungfusion").glob("features-*"))) == 3


def test_hospitals_are_scored_by_features_too(arrays):
    model = tiny_model(findings=["mass", "edema"], fusion="concat", image_size=64)
    data = {"patient_id": list("abcde"), "file_name": list("abcde")}
    labels = np.array([[0, 1]] * 5, np.float32)
    part = ("own", data, arrays, labels)
    [(_, _, features, _)] = with_features(model, [part])
    by_image, by_features = (
        score_parts(model, [({"source": "own"}, data, rows, labels)], ["mass", "edema"]) for rows in (arrays, features)
    )
    for one, other in zip(by_image, by_features, strict=True):
        assert one["logit_mass"] == pytest.approx(other["logit_mass"], abs=1e-3)  # features are kept in float16


@pytest.mark.parametrize(
    "change", [{"frozen": 3}, {"model": {"fusion": "gated"}}, {"augmentation": {"preset": "mixed"}}, {"loss": "own"}]
)
def test_only_where_nothing_else_changes(change):
    assert learns_head_alone(FROZEN)
    assert not learns_head_alone(FROZEN | change)


def test_altered_pictures_are_looked_at_a_given_number_of_times(arrays):
    model = tiny_model(findings=["mass", "edema"], fusion="concat", image_size=64)
    labels = np.array([[0, 1]] * 5, np.float32)
    [(_, _, features, _)] = with_features(model, [("own", None, arrays, labels)], 2, Brighter())
    plain, first, second = features.views
    assert len(plain) == len(first) == len(second) == 5
    assert not np.array_equal(plain, first) and not np.array_equal(first, second)
    [(_, _, again, _)] = with_features(model, [("own", None, arrays.select(np.array([3, 4])), labels)], 1, Brighter())
    np.testing.assert_array_equal(again.views[1], first[3:5])  # kept, whatever part of the file is asked for
    batch = torch.utils.data.default_collate([labelled_rows([(features, labels)])[0]])
    seen = {one_view(batch)["features"].numpy().tobytes() for _ in range(40)}
    assert seen == {view[0].astype(np.float32).tobytes() for view in features.views}
    assert learns_head_alone(FROZEN | {"augmentation": {"preset": "hospitals"}, "views": 2})


class Brighter:
    def __repr__(self):
        return "brighter"

    def __call__(self, image, alpha):
        return image ** torch.empty(len(image), 1, 1, 1).uniform_(0.2, 0.8), alpha


def test_a_hospital_that_the_beginning_has_seen_is_not_left_out():
    recipe = {"sources": {"a": {"hospital": "one"}, "b": {"hospital": "two"}}, "init_saw": ["one"]}
    assert hospitals_of(recipe) == ["two"]
    assert hospitals_of(recipe | {"init_saw": []}) == ["one", "two"]
