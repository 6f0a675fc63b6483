"""Faults of data and recipe are said before the first epoch, a sentence each."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value

from tests.support.helpers import png
from tests.support.tiny import draw_phantom
from train.data.check import check_run, faults_of
from train.data.splits import load_part
from train.engine.recipe import load_recipe

PATIENTS = 30


def rows_of(labels, column="label"):
    """One radiograph for each label and patient."""
    return [
        {"image": png(draw_phantom(seed, 64)[0]), column: label, "patient_id": str(seed), "file_name": f"{seed}.png"}
        for seed, label in enumerate(labels)
    ]


def write(folder, rows, **features):
    folder.mkdir(parents=True)
    usual = {"image": Image(), "patient_id": Value("string"), "file_name": Value("string")}
    kinds = {name: kind for name, kind in (usual | features).items() if name in rows[0]}
    Dataset.from_list(rows, features=Features(kinds)).to_parquet(folder / "train-00000-of-00001.parquet")


@pytest.fixture
def recipe_of(tmp_path):
    """Function of overrides → a recipe of one's own data in `tmp_path`/own."""
    (tmp_path / "segmenter").mkdir()
    (tmp_path / "segmenter" / "config.json").write_text("{}")
    text = "base: base_findings.yaml\nmodel: {findings: [tb]}\nsources: {own: {dataset: own}}\npretrained: null\n"
    (tmp_path / "own.yaml").write_text(text + f"data_root: {tmp_path}\nsegmenter: {tmp_path}/segmenter\nworkers: 0\n")
    return lambda *overrides: load_recipe(tmp_path / "own.yaml", overrides)


ALTERNATING = [index % 2 for index in range(PATIENTS)]
TB = {"label": ClassLabel(names=["NO_TB", "TB"])}


def test_nothing_is_said_of_sound_data(recipe_of, tmp_path):
    write(tmp_path / "own", rows_of(ALTERNATING), **TB)
    assert faults_of(recipe_of()) == ([], [])


@pytest.mark.parametrize(
    ("labels", "column", "kind"),
    [
        (["TB", "healthy"], "label", Value("string")),
        (["tb|effusion", "No Finding"], "findings", Value("string")),
        ([["TB"], []], "findings", List(Value("string"))),
        ([1.0, 0.0], "tb", Value("float32")),
    ],
)
def test_labels_may_have_many_forms(recipe_of, tmp_path, labels, column, kind):
    write(tmp_path / "own", rows_of(labels * (PATIENTS // 2), column), **{column: kind})
    assert faults_of(recipe_of()) == ([], [])


def test_unknown_labels_are_counted_and_named(recipe_of, tmp_path):
    labels = list(ALTERNATING)
    labels[3], labels[8] = None, -1
    write(tmp_path / "own", rows_of(labels), **TB)
    assert faults_of(recipe_of()) == (
        [],
        ["own: 2 of 30 rows of train have no label and count as unknown, the first is row 3 (3.png)."],
    )


@pytest.mark.parametrize("kind", ["int64", "float32", "bool"])
def test_numbers_without_names_are_said_to_say_nothing(recipe_of, tmp_path, kind):
    write(tmp_path / "own", rows_of(ALTERNATING), label=Value(kind))
    faults, notes = faults_of(recipe_of())
    assert notes == [
        "own: the labels of train are numbers without names and say nothing: write the names, or a column for each "
        "finding (1, 0)."
    ]
    assert faults[0].startswith("tb: no source says anything of it")
    declared = recipe_of("sources={own: {dataset: own, labels: {0: {absent: [tb]}, 1: {present: [tb]}}}}")
    if kind == "int64":
        assert faults_of(declared) == ([], [])


def test_an_unreadable_radiograph_is_left_out_and_named(recipe_of, tmp_path):
    rows = rows_of(ALTERNATING)
    rows[4]["image"] = {"bytes": b"no picture", "path": None}
    rows[5]["image"] = None
    write(tmp_path / "own", rows, **TB)
    recipe = recipe_of()
    faults, notes = faults_of(recipe)
    assert not faults
    assert len(notes) in (1, 2)  # they may lie in one part or in both
    assert notes[0].startswith("own: ") and "can't be read and are left out, the first is " in notes[0]
    assert any("4.png of patient 4: this is not a picture" in note for note in notes)
    parts = [load_part(recipe, recipe["sources"]["own"], split) for split in ("train", "validation")]
    names = {name for part in parts for name in part["file_name"]}
    assert names == {f"{number}.png" for number in range(PATIENTS)} - {"4.png", "5.png"}


def test_no_column_of_images(recipe_of, tmp_path):
    rows = [{key: value for key, value in row.items() if key != "image"} for row in rows_of(ALTERNATING)]
    write(tmp_path / "own", rows, **TB)
    (fault,) = faults_of(recipe_of())[0]
    assert fault.startswith("own: ") and "has no column image: it has " in fault


def test_image_and_label_suffice_and_what_that_means_is_said(recipe_of, tmp_path):
    """As on the Hub: each image its own patient, or as a rule reads it from the file's name; and copies are counted."""
    rows = [{key: row[key] for key in ("image", "label")} for row in rows_of(ALTERNATING)]
    for number, row in enumerate(rows):
        row["image"] = row["image"] | {"path": f"person{number // 2}_bacteria_{number}.png"}
    write(tmp_path / "own", [*rows, rows[0]], **TB)
    recipe = recipe_of()
    faults, notes = faults_of(recipe)
    assert not faults and "own: train says nothing of patients: each image counts as a patient of its own." in notes
    assert f"own: 1 of {PATIENTS + 1} images of train are copies of others and are left out." in notes
    parts = [load_part(recipe, recipe["sources"]["own"], split) for split in ("train", "validation")]
    assert {name for part in parts for name in part["patient_id"]} == {row["image"]["path"] for row in rows}
    ruled = recipe["sources"]["own"] | {"patients": r"(person\d+)_"}
    parts = [{*load_part(recipe, ruled, split)["patient_id"]} for split in ("train", "validation")]
    assert parts[0] | parts[1] == {f"person{number}" for number in range(PATIENTS // 2)} and not parts[0] & parts[1]


def test_a_row_without_a_patient(recipe_of, tmp_path):
    rows = rows_of(ALTERNATING)
    rows[7]["patient_id"] = None
    write(tmp_path / "own", rows, **TB)
    assert faults_of(recipe_of())[0] == ["own: row 7 of train (7.png) has no patient_id."]


def test_a_finding_that_nobody_labels(recipe_of, tmp_path):
    write(tmp_path / "own", rows_of(ALTERNATING), **TB)
    (fault,) = faults_of(recipe_of("model.findings=[tb, tuberculossis]"))[0]
    assert fault.startswith("tuberculossis: no source says anything of it in the training patients.")


def test_one_class_alone(recipe_of, tmp_path):
    write(tmp_path / "own", rows_of([1] * PATIENTS), **TB)
    (fault,) = faults_of(recipe_of())[0]
    assert fault.startswith("tb: there are no training patients without it.")


def test_a_label_that_is_not_declared(recipe_of, tmp_path):
    write(tmp_path / "own", rows_of(ALTERNATING), **TB)
    recipe = recipe_of("sources={own: {dataset: own, labels: {healthy: {absent: [tb]}}}}")
    (fault,) = faults_of(recipe)[0]
    assert "is not declared: the source's labels are healthy" in fault


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("validation_fold=7", "validation_fold is 7: there are 5, 0 to 4."),
        ("sources={}", "sources is empty"),
        ("segmenter=runs/lungs/nowhere/model", "segmenter is runs/lungs/nowhere/model: no model lies there."),
        ("segmenter=null", "segmenter is null: name a trained one"),
        ("init_from=runs/of/nobody", "init_from is runs/of/nobody: no model lies there."),
        ("pretrained=weights", "pretrained is weights: give hub, null, or a folder"),
        ("sources.own.dataset=elsewhere", "own: there is no folder "),
    ],
)
def test_faults_of_the_recipe(recipe_of, tmp_path, override, said):
    write(tmp_path / "own", rows_of(ALTERNATING), **TB)
    (fault,) = faults_of(recipe_of(override))[0]
    assert fault.startswith(said) and "\n" not in fault
    with pytest.raises(SystemExit, match=r"^\w+"):
        check_run(recipe_of(override), tmp_path)


def test_every_fault_is_said(recipe_of):
    faults, _ = faults_of(recipe_of("validation_fold=-1", "segmenter=null", "init_from=a/b/c"))
    assert len(faults) == 3


def test_a_segmenter_needs_masks(tmp_path):
    write(tmp_path / "own", rows_of(ALTERNATING), **TB)
    overrides = ["sources={own: {dataset: own}}", f"data_root={tmp_path}", "pretrained=null", "workers=0"]
    recipe = load_recipe("train/recipes/lungs_teacher.yaml", overrides)
    assert faults_of(recipe)[0] == [
        "own: no training radiograph has a mask to learn from.",
        "own: no validation radiograph has a mask to learn from.",
    ]
    rows = [row | {"mask": png(np.eye(64))} for row in rows_of(ALTERNATING)]
    write(tmp_path / "masked" / "own", rows, **TB, mask=Image())
    assert faults_of(recipe | {"data_root": str(tmp_path / "masked")}) == ([], [])
    rows[4]["mask"] = {"bytes": b"no picture", "path": None}
    write(tmp_path / "damaged" / "own", rows, **TB, mask=Image())
    faults, notes = faults_of(recipe | {"data_root": str(tmp_path / "damaged")})
    assert not faults and "4.png of patient 4: its mask is damaged or not a picture" in notes[0]
    recipe = load_recipe("train/recipes/lungs_teacher.yaml", [*overrides, "unlabelled={nih: {images: 3}}"])
    assert faults_of(recipe)[0] == [
        "teacher is null: name a trained segmenter to draw the lungs of the unlabelled sources."
    ]
