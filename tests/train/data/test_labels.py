"""What a data set says of a finding: declared for each source, never guessed."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value

from tests.support.helpers import png
from tests.support.tiny import draw_phantom
from train.data.labels import known_labels, labels_and_readers
from train.data.sources import apply_rules, find_source, known_sources, resolve_sources
from train.data.splits import load_part, load_source

NAN = float("nan")


def of_label(names, labels):
    return Dataset.from_dict({"label": labels}, features=Features({"label": ClassLabel(names=names)}))


def of_list(findings, names=None):
    kind = ClassLabel(names=names) if names else Value("string")
    return Dataset.from_dict({"findings": findings}, features=Features({"findings": List(kind)}))


def test_a_denied_label_is_absent():
    labels = known_labels(of_label(["no_pneumonia", "pneumonia"], [0, 1]), ["pneumonia", "tuberculosis"], "kermany")
    np.testing.assert_array_equal(labels, [[0, 0], [1, 0]])
    own = of_label(["NO_TB", "TB"], [0, 1])
    np.testing.assert_array_equal(known_labels(own, ["tb", "effusion"]), [[0, NAN], [1, NAN]])


def test_each_label_of_kermany_says_what_it_means():
    data = of_label(["normal", "bacterial_pneumonia", "viral_pneumonia"], [0, 1, 2])
    labels = known_labels(data, ["pneumonia", "viral_pneumonia", "tuberculosis", "edema"], "kermany")
    np.testing.assert_array_equal(labels, [[0, 0, 0, NAN], [1, 0, 0, NAN], [1, 1, 0, NAN]])


@pytest.mark.parametrize("source", ["shenzhen", "pakistan", "montgomery"])
def test_a_normal_adult_has_neither_and_tuberculosis_is_not_called_pneumonia(source):
    labels = known_labels(of_label(["normal", "tuberculosis"], [0, 1]), ["tuberculosis", "pneumonia"], source)
    np.testing.assert_array_equal(labels, [[0, 0], [1, 0]])


def test_null_and_minus_one_are_unknown():
    labels = known_labels(of_label(["normal", "tuberculosis"], [0, -1, None, 1]), ["tuberculosis"], "shenzhen")
    np.testing.assert_array_equal(labels[:, 0], [0, NAN, NAN, 1])
    lists = of_list([["Mass"], None, []])
    np.testing.assert_array_equal(known_labels(lists, ["mass"], "nih")[:, 0], [1, NAN, 0])


def test_lists_say_absent_only_of_what_the_source_looks_for():
    lists = of_list([["Effusion", "Mass"], [], ["Pneumonia"]])
    labels = known_labels(lists, ["mass", "pneumonia", "tuberculosis", "fracture"], "nih")
    np.testing.assert_array_equal(labels, [[1, NAN, 0, NAN], [0, 0, 0, NAN], [0, NAN, 0, NAN]])
    numbers = of_list([[1], []], names=["Mass", "Pleural_Thickening"])
    np.testing.assert_array_equal(known_labels(numbers, ["pleural_thickening", "mass"], "nih"), [[1, 0], [0, 0]])


def test_a_rare_finding_is_absent_in_a_split_in_which_nobody_has_it():
    lists = of_list([["mass"], []], names=["mass", "hernia"])
    assert known_labels(lists, ["hernia"], "nih")[:, 0].tolist() == [0, 0]
    assert known_labels(lists, ["hernia"])[:, 0].tolist() == [0, 0]
    assert known_labels(of_label(["normal", "tb"], [0, 0]), ["tb"])[:, 0].tolist() == [0, 0]


def test_a_label_that_nobody_declared_is_an_error():
    with pytest.raises(ValueError, match="'covid' is not declared: the source's labels are normal, "):
        known_labels(of_label(["normal", "covid"], [0, 1]), ["pneumonia"], "kermany")
    with pytest.raises(ValueError, match="'cavity' is not declared"):
        known_labels(of_list([["cavity"]]), ["mass"], "nih")


def test_text_counts_where_the_source_says_which_findings_it_labels():
    data = Dataset.from_dict({"findings": ["Effusion|Mass", "No Finding", "Cavity", None]})
    np.testing.assert_array_equal(known_labels(data, ["mass"])[:, 0], [1, NAN, NAN, NAN])
    np.testing.assert_array_equal(known_labels(data, ["mass"], {"findings": ["mass"]})[:, 0], [1, 0, 0, NAN])
    text = Dataset.from_dict({"label": ["TB", "healthy", ""]})
    np.testing.assert_array_equal(known_labels(text, ["tb"], {"findings": ["tb"]})[:, 0], [1, 0, NAN])
    numbers = Dataset.from_dict({"label": [3, 4]})
    source = {"labels": {3: {"absent": ["tb"]}, 4: {"present": ["tb"]}}}
    assert known_labels(numbers, ["tb"], source)[:, 0].tolist() == [0, 1]


def test_a_column_for_each_finding_as_in_chexpert():
    data = Dataset.from_dict({"Pleural Effusion": [1.0, 0.0, -1.0, None], "Edema": ["1", "0", "", "no"]})
    labels = known_labels(data, ["pleural_effusion", "edema", "mass"])
    np.testing.assert_array_equal(labels, [[1, 1, NAN], [0, 0, NAN], [NAN, NAN, NAN], [NAN, 0, NAN]])


def test_labels_not_to_be_learned_are_unknown():
    pakistan = resolve_sources({"pakistan": {"unused_labels": ["normal"]}})["pakistan"]
    data = of_label(["normal", "tuberculosis"], [0, 1])
    np.testing.assert_array_equal(known_labels(data, ["tuberculosis"], pakistan)[:, 0], [NAN, 1])
    nih = resolve_sources({"nih": {"unused_labels": ["Mass"]}})["nih"]
    labels = known_labels(of_list([["mass", "edema"], []]), ["mass", "edema"], nih)
    np.testing.assert_array_equal(labels, [[NAN, 1], [NAN, 0]])


def test_masks_alone_say_nothing():
    data = Dataset.from_dict({"patient_id": ["1", "2"]})
    np.testing.assert_array_equal(known_labels(data, ["pneumonia"]), [[NAN], [NAN]])
    assert known_labels(data, ()).shape == (2, 0)


def test_readers_go_before_mined_labels(tmp_path):
    read = {
        "healthy.png": {"rsna_class": "Normal"},
        "opaque.png": {"rsna_class": "Lung Opacity"},
        "ill.png": {"rsna_class": "No Lung Opacity / Not Normal"},
        "voted.png": {"google14_mass_votes5": 4, "google14_nodule_votes5": 2, "google14_edema_votes5": 1},
    }
    columns = dict.fromkeys(column for row in read.values() for column in row)
    rows = [{"file_name": name} | {column: row.get(column) for column in columns} for name, row in read.items()]
    (tmp_path / "nih-expert-labels").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "nih-expert-labels" / "labels.parquet")
    mined = {"healthy.png": ["Mass"], "opaque.png": [], "ill.png": [], "voted.png": ["Edema"], "unread.png": ["Mass"]}
    images = [
        {"image": png(draw_phantom(i, 64)[0]), "findings": mined[name], "patient_id": str(i), "file_name": name}
        for i, name in enumerate(mined)
    ]
    features = Features(
        image=Image(), findings=List(Value("string")), patient_id=Value("string"), file_name=Value("string")
    )
    (tmp_path / "nih-experts").mkdir()
    for split in ("train", "validation"):
        path = tmp_path / "nih-experts" / f"{split}-00000-of-00001.parquet"
        Dataset.from_list(images, features=features).to_parquet(path)
    findings = ["pneumonia", "tuberculosis", "mass", "nodule", "edema"]
    recipe = {"data_root": str(tmp_path), "validation_fold": 0}
    data = load_part(recipe, known_sources()["nih_experts"], "validation")
    labels, who = labels_and_readers(data, findings, "nih_experts")
    said = {name: row.tolist() for name, row in zip(data["file_name"], labels, strict=True)}
    np.testing.assert_array_equal(said["healthy.png"], [0, 0, 0, 0, 0])
    np.testing.assert_array_equal(said["opaque.png"], [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(said["ill.png"], [0, 0, 0, 0, 0])
    np.testing.assert_array_equal(said["voted.png"], [NAN, 0, 1, NAN, 0])
    np.testing.assert_array_equal(said["unread.png"], [NAN, 0, 1, 0, 0])
    of = {name: row.tolist() for name, row in zip(data["file_name"], who, strict=True)}
    assert of["opaque.png"] == ["rsna", "label", "label", "label", "label"]
    assert of["voted.png"] == ["", "label", "google14", "google14", "google14"]
    by_place = known_labels(load_source(tmp_path / "nih-experts", "validation"), findings, "nih-experts")
    np.testing.assert_array_equal(by_place, labels)


def test_the_first_rule_that_says_anything_decides():
    rules = [
        {"readers": "five", "column": "five_{}", "findings": ["mass", "nodule"], "present": [3], "unsure": [2]},
        {"readers": "one", "column": "one", "findings": ["mass", "nodule"], "absent": [0]},
    ]
    said = {each["finding"]: each for each in apply_rules({"five_mass": 2, "five_nodule": 1, "one": 0}, rules)}
    assert said["mass"] == {"finding": "mass", "present": None, "readers": "five"}
    assert said["nodule"] == {"finding": "nodule", "present": False, "readers": "one"}
    assert apply_rules({"five_mass": None, "one": None}, rules) == []


def test_every_source_is_whole():
    for name, source in known_sources().items():
        needed = ("dataset", "title", "hospital", "population", "age", "citation", "licence", "hub_licence", "link")
        assert all(source[key] for key in needed), name
        assert source["age"] in ("child", "adult")
        assert source.get("labels") or source.get("findings") or name in ("chexpert", "mimic_cxr"), (
            name
        )  # a column each
        for entry in source.get("labels", {}).values():
            assert entry.keys() <= {"present", "absent", "aliases"}, name
            assert not set(entry.get("present", ())) & set(entry.get("absent", ())), name
    assert len({known_sources()[name]["hospital"] for name in ("nih", "nih_128", "nih_experts", "rsna")}) == 1


def test_a_source_is_found_by_name_folder_or_id():
    assert (
        find_source("data/kermany-pneumonia") == find_source("kermany") == find_source("hf-vision/chest-xray-pneumonia")
    )
    assert find_source("somewhere/own") == {}


def test_sources_as_recipes_write_them():
    sources = resolve_sources({"nih": {"images": 9}, "kermany": None, "own": {"dataset": "mine"}})
    assert list(sources) == ["nih", "own"]
    assert sources["nih"]["images"] == 9 and sources["nih"]["title"] == known_sources()["nih"]["title"]
    assert sources["own"] == {
        "title": "mine",
        "hospital": "own",
        "population": "population not stated",
        "citation": "mine.",
        "licence": "not stated",
        "dataset": "mine",
    }
    assert resolve_sources(sources) == sources
    for wrong, said in ({"ours": {}}, "for a data set of your own"), ({"nih": {"titel": "x"}}, "has a key 'titel'"):
        with pytest.raises(ValueError, match=said):
            resolve_sources(wrong)
