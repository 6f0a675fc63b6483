"""Recipes: what they inherit, what may be overridden, and YAML as people mean it."""

from pathlib import Path

import pytest

from train.data.sources import known_sources
from train.engine.recipe import load_recipe, parse_arguments
from train.io import parse_yaml

RECIPES = Path(__file__).parents[3] / "train" / "recipes"
FINDINGS = RECIPES / "findings.yaml"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_short_and_whole(path):
    if path.stem.startswith(("base_", "compare_", "nodules", "sources")):  # train.nodules reads one of its own kind
        return
    recipe = load_recipe(path)
    assert recipe["name"] == path.stem
    assert len(path.read_text().splitlines()) <= 24
    assert recipe.keys() >= {"task", "sources", "epochs", "augmentation", "learning_rate"}
    for name, source in recipe["sources"].items():
        assert source["citation"] == known_sources()[name]["citation"]


def test_a_recipe_holds_what_differs_from_its_base(tmp_path):
    text = "base: base_findings.yaml\nepochs: 2\nmodel: {fusion: concat, branch_size: 64}\n"
    (tmp_path / "first.yaml").write_text(text)
    (tmp_path / "own.yaml").write_text("base: first.yaml\naugmentation: {flip: 0.5}\nsources: {kermany: {}}\n")
    recipe = load_recipe(tmp_path / "own.yaml", ["model.image_size=32"])
    usual = load_recipe(RECIPES / "base_findings.yaml")
    assert recipe["name"] == "own" and recipe["epochs"] == 2 and recipe["batch_size"] == usual["batch_size"]
    wanted = {"concatenation": "crop", "fusion": "concat", "branch_size": 64, "image_size": 32}
    assert recipe["model"] == usual["model"] | wanted
    assert recipe["augmentation"] == {"flip": 0.5}
    assert list(recipe["sources"]) == ["kermany"]
    (tmp_path / "bare.yaml").write_text("task: segmentation\n")
    with pytest.raises(ValueError, match=r"bare.yaml has no augmentation: write `base: base_lungs.yaml` in it"):
        load_recipe(tmp_path / "bare.yaml")


def test_sources_are_left_out_and_added_by_overrides():
    recipe = load_recipe(FINDINGS, ["sources.nih=null", "sources.montgomery={}", "sources.own={dataset: mine}"])
    assert "nih" not in recipe["sources"] and "nih_128" in recipe["sources"]
    assert recipe["sources"]["montgomery"]["hospital"] == "montgomery"
    assert recipe["sources"]["own"]["dataset"] == "mine"
    lungs = load_recipe(RECIPES / "lungs.yaml", ["unlabelled.nih=null"])
    assert list(lungs["unlabelled"]) == ["kermany"] and lungs["unlabelled"]["kermany"]["images"] == 800


def test_the_only_source_labels_what_is_asked_for():
    recipe = load_recipe(FINDINGS, ["sources={own: {dataset: mine}}", "model.findings=[a, b]"])
    assert recipe["sources"]["own"]["findings"] == ["a", "b"]


@pytest.mark.parametrize(
    ("override", "key", "meant"),
    [
        ("learning_rate=1e-3", "learning_rate", 0.001),
        ("learning_rate=1", "learning_rate", 1),
        ("mixed_precision=no", "mixed_precision", "no"),
        ("init_classifier=no", "init_classifier", False),
        ("init_classifier=yes", "init_classifier", True),
        ("pretrained=null", "pretrained", None),
        ("init_from=2024_01", "init_from", "2024_01"),
    ],
)
def test_values_are_read_as_people_mean_them(override, key, meant):
    value = load_recipe(FINDINGS, [override])[key]
    assert value == meant and type(value) is type(meant)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1e-3", 1e-3),
        ("-.5", -0.5),
        ("010", 10),
        ("off", "off"),
        ("12:30:00", "12:30:00"),
        ("2020-01-01", "2020-01-01"),
    ],
)
def test_yaml_without_traps(text, meant):
    assert parse_yaml(text) == meant


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epoch=3", "'epoch' is not in"),
        ("epochs", "write key=value"),
        ("epochs=three", "epochs is 'three': give a whole number, such as 6"),
        ("epochs=2.5", "epochs is 2.5: give a whole number"),
        ("epochs=null", "epochs is None: give a whole number"),
        ("init_classifier=perhaps", "init_classifier is 'perhaps': give true or false"),
        ("model.branch_size=large", "model.branch_size is 'large': give a whole number"),
        ("model.branches=vgg16", "model.branches is 'vgg16': give a list"),
        ("sources=[kermany, nih2]", "'nih2' is not in sources.yaml"),
        ("task=regression", "task is 'regression': choose one of segmentation, classification"),
    ],
)
def test_what_an_override_may_not_be(override, said):
    with pytest.raises(ValueError, match=said):
        load_recipe(FINDINGS, [override])


def test_a_file_that_is_no_recipe(tmp_path):
    (tmp_path / "own.yaml").write_text("just words")
    with pytest.raises(ValueError, match="holds no `key: value` lines"):
        load_recipe(tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match="is no YAML"):
        load_recipe(tmp_path / "own.yaml")


def test_options_may_stand_between_overrides(tmp_path):
    line = ["epochs=3", "--recipe", str(RECIPES / "findings.yaml"), "batch_size=8", "--output", str(tmp_path), "seed=2"]
    recipe, output = parse_arguments("", line)
    assert (recipe["epochs"], recipe["batch_size"], recipe["seed"], output) == (3, 8, 2, tmp_path)
