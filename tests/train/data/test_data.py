"""Splits, sampling, pretrained weights."""

import collections

import numpy as np
import pytest
import timm
import torch
from datasets import Dataset
from safetensors.torch import save_file

from tests.support.helpers import ROOT, png, write_source
from train.data import splits
from train.data.pictures import read_mask
from train.data.sampler import balanced_sampler, epoch_sampler
from train.data.sources import known_sources
from train.data.splits import load_source, patient_fold, with_patients
from train.engine.recipe import load_recipe
from train.engine.weights import load_pretrained_backbone

RECIPES = ROOT / "train" / "recipes"
TRAINED = sorted(
    path for path in RECIPES.glob("*.yaml") if not path.stem.startswith(("base_", "compare_", "nodules", "sources"))
)


def test_split_is_by_patient_and_complete(tmp_path):
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "nodule", with_mask=True)
    parts = {split: load_source(tmp_path / "source", split) for split in ("train", "validation")}
    patients = {split: set(part["patient_id"]) for split, part in parts.items()}
    assert not patients["train"] & patients["validation"]
    assert patients["validation"] == {p for p in patients["train"] | patients["validation"] if patient_fold(p) == 0}
    assert len(parts["train"]) + len(parts["validation"]) == 24
    other = load_source(tmp_path / "source", "validation", fold=1)
    assert not set(other["patient_id"]) & patients["validation"]


def test_exact_copies_are_dropped(tmp_path):
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "nodule", with_mask=False)
    path = tmp_path / "source" / "train-00000-of-00001.parquet"
    data = Dataset.from_parquet(str(path))
    Dataset.from_list([*data.to_list(), data.to_list()[0]], features=data.features).to_parquet(path)
    assert sum(len(load_source(tmp_path / "source", split)) for split in ("train", "validation")) == 24


def test_an_image_stands_on_one_side_whoever_it_is_said_to_be_of(tmp_path):
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "nodule", with_mask=False)
    path = tmp_path / "source" / "train-00000-of-00001.parquet"
    data = Dataset.from_parquet(str(path))
    rows = data.to_list()
    other_side = next(f"copy {n}" for n in range(99) if patient_fold(f"copy {n}") == 0)
    of_training = next(row for row in rows if patient_fold(row["patient_id"]) != 0)
    Dataset.from_list([*rows, of_training | {"patient_id": other_side}], features=data.features).to_parquet(path)
    sides = [{row["image"]["bytes"] for row in load_source(tmp_path / "source", s)} for s in ("train", "validation")]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 24


def test_an_image_of_another_split_is_not_trained_on(tmp_path):
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "nodule", with_mask=False)
    folder = tmp_path / "source"
    data = Dataset.from_parquet(str(folder / "train-00000-of-00001.parquet"))
    validation = data.select([3, 3]).map(lambda row: row | {"patient_id": "somebody else"}, features=data.features)
    validation.to_parquet(folder / "validation-00000-of-00001.parquet")
    assert len(load_source(folder, "validation")) == 1
    assert len(load_source(folder, "train")) == 23


def test_images_are_hashed_once(tmp_path, monkeypatch):
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "nodule", with_mask=False)
    read = []
    monkeypatch.setattr(splits, "image_bytes", lambda image: read.append(1) or image["bytes"])
    for split in ("train", "validation", "train", "validation"):
        load_source(tmp_path / "source", split)
    assert len(read) == 24


def test_a_split_may_be_empty(tmp_path):
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "nodule", with_mask=False)
    nobody = load_source(tmp_path / "source", "train").select([])
    assert splits.image_digests(nobody) == []


def test_every_image_once_in_an_order_the_generator_knows():
    sampler = epoch_sampler([("source", None)] * 50, None)
    orders = []
    for seed in (0, 1, 0):
        sampler.generator.manual_seed(seed)
        orders.append(list(sampler))
    assert sorted(orders[0]) == list(range(50))
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_a_resumed_epoch_draws_what_an_undisturbed_one_would(path):
    recipe = load_recipe(path)
    groups = [(name, label) for name in recipe["sources"] for label in (None, 0, 1) for _ in range(20)]
    shares = {name: source.get("share", 1) for name, source in recipe["sources"].items()}
    orders = []
    for epochs in ((0, 1), (1,)):
        sampler = epoch_sampler(groups, recipe["epoch_size"], recipe.get("max_draws"), shares)
        for epoch in epochs:
            sampler.generator.manual_seed(recipe["seed"] + 1000 * epoch)
            order = list(sampler)
        orders.append(order)
    assert orders[0] == orders[1] and len(set(orders[0])) > 1


def test_a_split_that_is_not_there(tmp_path):
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "nodule", with_mask=False)
    with pytest.raises(ValueError, match="has no split 'test': it has train"):
        load_source(tmp_path / "source", "test")


def test_a_column_of_the_contract_that_is_not_there(tmp_path):
    (tmp_path / "own").mkdir()
    Dataset.from_list([{"picture": png(np.eye(64)), "label": 1}]).to_parquet(tmp_path / "own" / "train.parquet")
    with pytest.raises(ValueError, match="has no column image: it has picture, label"):
        load_source(tmp_path / "own", "train")


@pytest.mark.parametrize(
    ("name", "is_of"),
    [
        ("person99", "person99"),
        ("IM-0429", "IM-0429"),
        ("IM-0429-0001", "IM-0429"),
        ("NORMAL2-IM-0429-0001", "IM-0429"),
        ("CHNCXR_0001", "CHNCXR_0001"),
        ("75", "75"),
    ],
)
def test_all_images_of_a_patient_share_an_id(name, is_of):
    rule = known_sources()["kermany"]["patients"]
    for column in ("patient_id", "file_name"):
        data = Dataset.from_dict({column: [name], "label": [0]})
        assert list(with_patients(data, rule)["patient_id"]) == [is_of]
        assert list(with_patients(data)["patient_id"]) == [name]  # a rule is of one source alone


@pytest.mark.parametrize("white", [1, 255])
def test_masks_of_either_range_mean_the_same(white):
    pixels = np.zeros((80, 80), np.uint8)
    pixels[20:40] = white
    np.testing.assert_array_equal(read_mask(png(pixels / 255)), pixels > 0)
    assert not read_mask(png(pixels * 0.0)).any()


def test_sampler_draws_sources_and_labels_equally():
    groups = [("large", "sick")] * 700 + [("large", "well")] * 200 + [("small", "sick")] * 30 + [("small", "well")] * 70
    sampler = balanced_sampler(groups, 8000)
    sampler.generator.manual_seed(0)
    drawn = collections.Counter(groups[index] for index in sampler)
    assert all(abs(count - 2000) < 200 for count in drawn.values())
    assert len(drawn) == 4


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pretrained_weights_load_from_a_folder_and_fit_the_channels(channels, tmp_path):
    torch.manual_seed(0)
    teacher = timm.create_model("test_efficientnet", num_classes=0).eval()
    save_file({k: v.half() for k, v in teacher.state_dict().items()}, tmp_path / "test_efficientnet.in1k.safetensors")
    network = timm.create_model("test_efficientnet", num_classes=0, in_chans=channels).eval()
    load_pretrained_backbone(network, "test_efficientnet", str(tmp_path))
    grey = torch.rand(1, 1, 64, 64)
    colours = grey.expand(-1, 3, -1, -1)
    seen = {1: grey, 3: colours, 4: torch.cat([colours, torch.rand(1, 1, 64, 64)], dim=1)}[channels]
    torch.testing.assert_close(network(seen), teacher(colours), rtol=0, atol=0.02)


def test_pretrained_weights_that_are_not_there(tmp_path):
    network = timm.create_model("test_efficientnet", num_classes=0)
    with pytest.raises(FileNotFoundError, match=r"test_efficientnet\.safetensors"):
        load_pretrained_backbone(network, "test_efficientnet", str(tmp_path))
    save_file({"conv_stem.weight": torch.zeros(1)}, tmp_path / "test_efficientnet.safetensors")
    with pytest.raises(RuntimeError, match="lack"):
        load_pretrained_backbone(network, "test_efficientnet", str(tmp_path))
