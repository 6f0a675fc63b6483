"""Which view a segmenter sees, and on which side the heart lies."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lungfusion import LungFusionPipeline
from lungfusion.loading import load_model
from lungfusion.models import LungUNetConfig, LungUNetForSemanticSegmentation
from lungfusion.models.view_head import VIEWS, ViewHead, heart_logit, view_inputs
from lungfusion.reading.radiograph import load_radiograph
from tests.support.tiny import draw_phantom
from train.augment.phantom.views import draw_lateral
from train.calibrate import views
from train.calibrate.views import (
    as_sent,
    fitted_heart,
    part,
    sides_table,
    summarise_sides,
    summarise_views,
    turned,
    twice,
    view_regression,
)


def test_it_says_nothing_until_it_is_fitted():
    view_logits, heart_logit = ViewHead(8)(torch.rand(2, 8, 4, 4), torch.randn(2, 1, 64, 64), torch.rand(2, 1, 96, 96))
    assert view_logits.shape == (2, len(VIEWS)) and heart_logit.shape == (2,)
    assert not view_logits.any() and not heart_logit.any()


def test_a_mirror_image_has_the_heart_on_the_other_side():
    head, generator = ViewHead(8), torch.Generator().manual_seed(0)
    for name, weight in head.named_buffers():
        if name.startswith("heart"):
            weight.normal_(generator=generator)
    image = torch.rand(1, 1, 256, 256)
    one, other, darker = (
        head(torch.rand(1, 8, 4, 4), torch.randn(1, 1, 64, 64), x)[1] for x in (image, image.flip(3), image / 2 + 0.1)
    )
    assert one.item() == pytest.approx(-other.item(), rel=1e-4) and one.item() != 0
    assert one.item() == pytest.approx(darker.item(), rel=0.1)
    assert view_inputs(torch.rand(1, 8, 4, 4), torch.randn(1, 1, 64, 64)).shape == (1, 8 + 64)


def test_the_heart_s_side_is_learned_from_chests_and_their_mirror_images(monkeypatch):
    monkeypatch.setattr(views, "HEART_EPOCHS", 6)
    chests = np.stack([draw_phantom(seed, 64)[0] for seed in range(24)])
    pictures = torch.from_numpy(chests)[:, None].repeat(6, 1, 1, 1)
    weights = fitted_heart([pictures])
    assert weights.keys() < dict(ViewHead(8).named_buffers()).keys()
    unseen = torch.from_numpy(np.stack([draw_phantom(seed, 64)[0] for seed in range(30, 40)]))[:, None]
    assert (heart_logit(unseen, weights) > 0).all()
    figures = summarise_sides(unseen, weights)
    assert figures["images"] == 10 and figures["as they are"]["value"] == 0
    assert "10 | 0.000" in sides_table({"phantoms": figures})[2]


def test_the_regression_tells_apart_what_it_was_fitted_to():
    generator = np.random.default_rng(0)
    shown = np.repeat(np.arange(len(VIEWS)), 30)
    seen = generator.normal(size=(len(shown), 12)) * 3 + 5
    seen[np.arange(len(shown)), shown] += 20
    weight, bias = view_regression(seen, shown)
    assert ((seen @ weight.T + bias).argmax(1) == shown).mean() > 0.97


def test_the_table_says_what_each_kind_is_taken_for():
    logits = np.zeros((4, len(VIEWS)))
    logits[[0, 1, 2, 3], [0, 1, 0, 4]] = 9
    groups = ["oak", "lateral chest 7", "lateral chest 8", "oak"]
    figures = summarise_views([0, 1, 1, 4], groups, [True, True, False, False], logits)
    assert figures["lateral chest, as they are"]["lateral"]["value"] == 1
    assert figures["lateral chest, altered"]["frontal"]["value"] == 1
    assert sum(row["images"] for row in figures.values()) == 4


def test_what_is_sent_is_a_picture():
    pixels, other = (draw_phantom(seed, 128)[0] for seed in (0, 1))
    for seed in range(20):
        generator = np.random.default_rng(seed)
        for picture in (pixels, turned(pixels, generator), part(pixels, generator), twice(pixels, other, generator)):
            sent = as_sent(picture, generator)
            assert sent.dtype == np.float32 and sent.ndim == 2 and min(sent.shape) > 64
            assert 0 <= sent.min() < sent.max() <= 1


def test_the_bundled_head():
    pipe = LungFusionPipeline.from_pretrained(backend="torch")
    frontal, lateral = draw_phantom(30, 384)[0], draw_lateral(30, 384)[0]
    generator = np.random.default_rng(0)
    both, knee = twice(frontal, lateral, generator), part(frontal, generator)
    mirror_image = frontal[:, ::-1].copy()
    cases = (frontal, False), (mirror_image, False), (lateral, True), (both, True), (knee, True)
    for picture, refused in cases:
        assert pipe(np.ascontiguousarray(picture)).refused == refused
    state, mirrored = pipe.infer([load_radiograph(picture) for picture in (frontal, mirror_image)])
    assert state.views["frontal"] > 0.5 and sum(state.views.values()) == pytest.approx(1)
    assert state.heart_left > 0.9 and mirrored.heart_left < 0.05
    codes = [[warning.code for warning in pipe(picture).warnings] for picture in (frontal, mirror_image)]
    assert codes == [[], ["mirrored"]]


def test_a_checkpoint_without_a_view_head_says_nothing_of_the_view(tmp_path):
    model = LungUNetForSemanticSegmentation(LungUNetConfig(encoder="plain", width=4, image_size=32)).eval()
    model.save_pretrained(tmp_path)
    weights = {k: v for k, v in load_file(tmp_path / "model.safetensors").items() if "view_head" not in k}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    output = load_model(tmp_path).eval()(torch.rand(1, 1, 32, 32))
    assert not output.view_logits.any() and not output.heart_logit.any() and output.logits.any()
