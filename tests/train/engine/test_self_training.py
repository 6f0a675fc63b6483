"""A teacher that knows phantoms draws the lungs of radiographs without masks."""

import numpy as np
import pytest

from lungfusion import LungFusionImageProcessor
from lungfusion.models.mask_postprocessing import keep_lungs
from tests.support.helpers import write_source
from tests.support.tiny import draw_phantom
from train.data.cache import from_bytes
from train.data.splits import load_source
from train.engine.pseudo_labels import clean_if_trusted, pseudo_labelled

SIDE = 64


@pytest.fixture(scope="module")
def drawn(phantom_segmenter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("self_training")
    phantom_segmenter.save_pretrained(folder / "teacher")
    write_source(folder / "data" / "source", ["normal", "nodule"], "nodule", with_mask=False)
    recipe = {
        "teacher": str(folder / "teacher"),
        "unlabelled": {"elsewhere": {"dataset": "source", "images": 10}},
        "data_root": str(folder / "data"),
        "validation_fold": 0,
        "seed": 0,
        "workers": 0,
    }
    processor = LungFusionImageProcessor(size={"height": SIDE, "width": SIDE})
    return pseudo_labelled(recipe, processor)["elsewhere"], load_source(folder / "data" / "source", "validation")


def test_masks_are_drawn_cleaned_and_of_training_patients(drawn):
    arrays, validation = drawn
    assert 5 <= len(arrays) <= 10
    assert len(validation) > 0
    for row in arrays:
        alpha = from_bytes(row["mask"], SIDE)[0].numpy()
        np.testing.assert_allclose(keep_lungs(alpha), alpha, atol=1 / 255)
        assert 0.1 < (alpha > 0.5).mean() < 0.6


def test_doubtful_masks_and_single_lungs_are_not_learned_from(phantom_segmenter):
    _, mask = draw_phantom(seed=0, size=SIDE)
    one_lung = mask & (np.arange(SIDE) < SIDE // 2)

    def trusted(alpha):
        row = {"mask": (alpha * 255).round().astype(np.uint8).tobytes()}
        return clean_if_trusted(row, SIDE, phantom_segmenter.config)["mask"] is not None

    assert trusted(np.where(mask, 0.99, 0.0))
    assert not trusted(np.where(mask, 0.7, 0.2))
    assert not trusted(np.where(one_lung, 0.99, 0.0))
    assert not trusted(np.zeros((SIDE, SIDE)))
