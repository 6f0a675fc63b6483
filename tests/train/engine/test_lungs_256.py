"""The small segmenter: what it costs, what it begins with, who teaches it, and how a classifier takes it."""

import pytest
import torch
from datasets import Dataset
from torch.utils.flop_counter import FlopCounterMode

from lungfusion.models import LungUNetConfig, LungUNetForSemanticSegmentation
from tests.support.tiny import find_lungs_everywhere, tiny_model, tiny_segmenter
from train.augment.augmentation import Augmentation
from train.data.cache import RadiographBytes, from_bytes, to_bytes
from train.data.splits import without_mask
from train.engine.losses import own_loss
from train.engine.pseudo_labels import predict_masks
from train.engine.recipe import RECIPES, load_recipe
from train.segment import augmented_loss, init_from_checkpoint

SIDE = 64


def test_it_costs_half_of_classification_alone():
    recipe = load_recipe(RECIPES / "lungs_256.yaml")
    with torch.device("meta"):
        model = LungUNetForSemanticSegmentation(LungUNetConfig(**recipe["model"])).eval()
        image = torch.zeros(1, 1, 256, 256)
    with FlopCounterMode(display=False) as counter:
        model(image)
    assert counter.get_total_flops() <= 2.5e9  # of 5.7 for DenseNet-121 at 224 px


def test_it_begins_with_a_trained_one_of_another_size(tmp_path):
    trained = tiny_segmenter()
    trained.save_pretrained(tmp_path)
    config = trained.config.to_dict() | {"image_size": SIDE // 2}
    model = LungUNetForSemanticSegmentation(LungUNetConfig.from_dict(config))
    init_from_checkpoint(model, tmp_path)
    assert model.config.image_size == SIDE // 2
    for name, tensor in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    wider = LungUNetForSemanticSegmentation(LungUNetConfig.from_dict(config | {"width": 2 * trained.config.width}))
    with pytest.raises(ValueError, match="another network"):
        init_from_checkpoint(wider, tmp_path)


@pytest.fixture
def arrays():
    torch.manual_seed(0)
    rows = [{"pixels": to_bytes(torch.rand(1, SIDE, SIDE)), "mask": to_bytes(torch.ones(1, SIDE, SIDE))}] * 4
    return Dataset.from_list(rows)


@pytest.mark.parametrize("preset", ["none", "strong"])
def test_a_batch_is_augmented_where_the_model_computes(arrays, preset):
    data = RadiographBytes(arrays, SIDE)
    batch = {key: torch.stack([data[row][key] for row in range(4)]) for key in data[0]}
    assert batch["labels"].dtype == batch["pixel_values"].dtype == torch.uint8
    loss = augmented_loss(own_loss, Augmentation(preset), tiny_segmenter(), batch)
    loss.backward()
    assert 0 < loss.item() < 3


def test_a_teacher_draws_finer_than_its_pupil_sees(arrays):
    segmenter = tiny_segmenter()
    find_lungs_everywhere(segmenter)
    drawn = predict_masks(arrays, segmenter, SIDE, SIDE // 2)
    assert len(drawn) == 4 and {len(row[key]) for row in drawn for key in row} == {(SIDE // 2) ** 2}
    assert from_bytes(drawn[0]["pixels"], SIDE // 2).mean() == pytest.approx(0.5, abs=0.05)


def test_who_has_a_mask_drawn_by_hand_needs_no_teacher():
    assert without_mask(Dataset.from_dict({"mask": ["a", None, "b", None], "row": [0, 1, 2, 3]}))["row"] == [1, 3]
    assert len(without_mask(Dataset.from_dict({"row": [0, 1]}))) == 2


def test_a_classifier_sees_finer_than_its_segmenter(pixel_values):
    model = tiny_model(concatenation="crop")
    fine = torch.nn.functional.interpolate(pixel_values, (2 * SIDE, 2 * SIDE), mode="bilinear")
    small, seen = model.segmenter.config.image_size, []
    encode = model.segmenter.unet.encode
    model.segmenter.unet.encode = lambda x: seen.append(x.shape[-1]) or encode(x)
    output = model(fine)
    assert seen == [small] and output.alpha.shape == fine.shape
    logits = model.segmenter(fine).logits
    torch.testing.assert_close(
        output.alpha, logits.sigmoid()
    )  # scaled up before the sigmoid: the border stays as steep
