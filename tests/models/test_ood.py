"""Out-of-distribution score: the Mahalanobis distance, fitted to what a run learned from."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis as mahalanobis_of_scipy

from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from lungfusion.analysis import Correction
from lungfusion.checks.orientation import CORRECTIONS, UPRIGHT, corrected
from lungfusion.models.ood import MahalanobisDistance
from tests.support.helpers import write_findings
from tests.support.tiny import SIDE, draw_phantom, tiny_model, tiny_segmenter
from train.augment.ood_images import ood_images
from train.calibrate.ood import fitted_ood_head, mahalanobis


def fitted(features):
    mean, whitening = mahalanobis(features)
    ood_score = MahalanobisDistance(features.shape[1])
    ood_score.load_state_dict({"mean": torch.from_numpy(mean), "precision_cholesky": torch.from_numpy(whitening)})
    return ood_score


def test_it_is_the_mahalanobis_distance():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(20000, 4)) @ generator.normal(size=(4, 4)) + 3
    maps = torch.from_numpy(features[:50]).float()[:, :, None, None].expand(-1, -1, 2, 3)
    inverse = np.linalg.inv(np.cov(features.T))
    expected = [mahalanobis_of_scipy(row, features.mean(0), inverse) / 4**0.5 for row in features[:50]]
    np.testing.assert_allclose(fitted(features)(maps).numpy(), expected, rtol=0.02)


def test_it_is_1_for_what_it_was_fitted_to_and_more_elsewhere():
    generator = np.random.default_rng(0)
    ood_score = fitted(generator.normal(size=(4000, 30)))
    same = torch.from_numpy(generator.normal(size=(200, 30))).float()[..., None, None]
    assert ood_score(same).mean() == pytest.approx(1, abs=0.05)
    assert ood_score(same + 2).min() > ood_score(same).max()


def test_a_correction_undoes_what_was_done(pixel_values):
    turned = 1 - torch.rot90(pixel_values, 1, (2, 3))  # a quarter turn anticlockwise, inverted
    torch.testing.assert_close(corrected(turned, Correction(-90, True)), pixel_values, atol=1e-4, rtol=0)
    assert corrected(pixel_values, UPRIGHT) is pixel_values
    assert len(set(CORRECTIONS)) == len(CORRECTIONS)


def test_until_it_is_fitted_nothing_is_novel(pixel_values):
    assert tiny_segmenter()(pixel_values).ood_score.tolist() == [0, 0]
    assert tiny_model()(pixel_values).ood_score.tolist() == [0, 0]


def test_a_known_alpha_leaves_the_ood_score_open(pixel_values):
    assert tiny_model()(pixel_values, alpha=torch.ones_like(pixel_values)).ood_score is None


def test_a_run_is_fitted_to_its_training_patients(phantom_segmenter, tmp_path):
    write_findings(tmp_path / "nih", seed=0)
    recipe = {"data_root": str(tmp_path), "validation_fold": 0, "sources": {"nih": {"dataset": "nih"}}}
    model = tiny_model(segmenter=phantom_segmenter.config.to_dict())
    model.segmenter.load_state_dict(phantom_segmenter.state_dict())
    pipeline = LungFusionPipeline(model, LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}))
    model.segmenter.ood_head = fitted_ood_head(pipeline, recipe)
    pipeline = LungFusionPipeline(model, pipeline.processor)
    of_phantoms = [pipeline(draw_phantom(seed=seed, size=96)[0]).ood_score for seed in (1, 31, 32, 33)]
    of_noise = [pipeline(picture).ood_score for picture in ood_images()["noise"]]
    assert 0.3 < of_phantoms[0] < 1.5
    pixels, _ = draw_phantom(seed=31, size=96)
    assert pipeline(np.rot90(pixels).copy()).correction == Correction(-90, False)
    assert pipeline(np.rot90(1 - pixels, 2).copy()).correction == Correction(180, True)
    assert pipeline(pixels).correction == UPRIGHT
    assert max(of_phantoms) < min(of_noise)
    weights = pipeline.model.segmenter.ood_head.precision_cholesky
    assert torch.equal(weights, weights.half().float())  # as it will be stored
