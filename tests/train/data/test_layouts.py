"""Layouts that come with a table or lists, and one's own table and files."""

import csv
import gzip
import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
import pydicom
import pytest
from datasets import Image as ImageFeature
from datasets import load_dataset
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from train.data.labels import known_labels
from train.data.layouts import LAYOUTS
from train.data.layouts.layout import SAMPLES, read_csv
from train.data.sources import apply_rules, known_sources
from train.engine.recipe import RECIPES, load_recipe
from train.prepare import main, prepare

SIDE = 72


def radiograph(seed=0):
    return np.roll(np.linspace(0, 255, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8), seed, axis=1)


def save(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(radiograph(seed)).save(path)


def save_dicom(path, seed=0, patient="Doe^Jane 4711", age="047Y", sex="F", view="AP"):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID = ExplicitVRLittleEndian, generate_uid()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dicom = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dicom.PatientID = dicom.PatientName = patient
    dicom.PatientAge, dicom.PatientSex, dicom.ViewPosition, dicom.Modality = age, sex, view, "DX"
    dicom.Rows = dicom.Columns = SIDE
    dicom.BitsAllocated = dicom.BitsStored = 16
    dicom.HighBit, dicom.PixelRepresentation, dicom.SamplesPerPixel = 15, 0, 1
    dicom.PhotometricInterpretation = "MONOCHROME2"
    dicom.PixelData = (radiograph(seed).astype(np.uint16) * 257).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom.save_as(path)


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def load(folder, split="train"):
    data = load_dataset(str(folder), cache_dir=f"{folder}_cache")[split]
    return data.cast_column("image", ImageFeature(decode=False)).cast_column("mask", ImageFeature(decode=False))


def test_nih_whole(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    said = {"00000001_000.png": "Cardiomegaly|Effusion", "00000002_000.png": "No Finding", "00000003_001.png": "Mass"}
    rows = [
        {
            "Image Index": name,
            "Finding Labels": labels,
            "Patient ID": str(int(name[:8])),
            "Patient Age": "058Y",
            "Patient Gender": "M",
            "View Position": "PA",
        }
        for name, labels in said.items()
    ]
    write_csv(raw / "Data_Entry_2017.csv", [*rows, rows[0] | {"Image Index": "00000009_000.png"}])
    (raw / "test_list.txt").write_text("00000003_001.png\n")
    for number, name in enumerate(said):
        save(raw / f"images_00{number + 1}/images" / name, number)
    prepare("nih_whole", raw, out)
    data = load(out)
    assert data["patient_id"][:] == ["1", "2"]
    assert (data[0]["view"], data[0]["age"], data[0]["sex"]) == ("PA", 58, "M")
    labels = known_labels(data, ["effusion", "nodule", "tuberculosis"], "nih_whole")
    np.testing.assert_array_equal(labels, [[1, 0, 0], [0, 0, 0]])
    assert known_labels(load(out, "test"), ["mass"], "nih_whole").tolist() == [[1]]
    assert "a list out of `atelectasis`" in (out / "README.md").read_text()


def test_rsna_keeps_nothing_of_the_header_but_view_age_and_sex(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    classes = {"a1": "Normal", "b2": "Lung Opacity", "c3": "No Lung Opacity / Not Normal"}
    rows = [{"patientId": name, "class": kind} for name, kind in classes.items() for _ in range(2)]
    write_csv(raw / "stage_2_detailed_class_info.csv", rows)
    for number, name in enumerate(classes):
        save_dicom(raw / f"stage_2_train_images/{name}.dcm", number)
    prepare("rsna", raw, out)
    data = load(out)
    assert data["patient_id"][:] == ["a1", "b2", "c3"]
    assert {(row["view"], row["age"], row["sex"]) for row in data} == {("AP", 47, "F")}
    np.testing.assert_array_equal(known_labels(data, ["pneumonia"], "rsna")[:, 0], [0, 1, 0])
    assert all(row["image"]["bytes"].startswith(b"\x89PNG") for row in data)
    assert b"Doe" not in (out / "train-00000-of-00001.parquet").read_bytes()


def test_vindr_takes_what_most_readers_saw(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    columns = ["Pleural effusion", "Nodule/Mass", "ILD", "Tuberculosis", "No finding"]
    votes = {"x": [(1, 0, 1, 0, 0), (1, 0, 1, 0, 0), (0, 1, 0, 0, 0)], "y": [(0, 0, 0, 0, 1)] * 3}
    rows = [
        {"image_id": name, "rad_id": f"R{number}"} | dict(zip(columns, vote, strict=True))
        for name, of_image in votes.items()
        for number, vote in enumerate(of_image)
    ]
    write_csv(raw / "annotations/image_labels_train.csv", rows)
    for number, name in enumerate(votes):
        save_dicom(raw / f"train/{name}.dicom", number)
    prepare("vindr", raw, out)
    labels = known_labels(load(out), ["effusion", "tuberculosis", "nodule"], "vindr")
    np.testing.assert_array_equal(labels, [[1, 0, np.nan], [0, 0, 0]])


def test_hannover_and_pakistan(tmp_path):
    rows = [
        {"patient_id": "p", "image_id": name, "sex": "m", "modality": kind, "projection": "ap"}
        for name, kind in (("aa", "CR"), ("bb", "CT"), ("cc", "DX"))
    ]
    write_csv(tmp_path / "hannover/data.csv", rows)
    for number, name in enumerate(("aa", "bb")):
        save(tmp_path / f"hannover/png/{name}.png", number)
    prepare("hannover", tmp_path / "hannover", tmp_path / "out")
    data = load(tmp_path / "out")
    assert [(row["file_name"], row["view"], row["sex"]) for row in data] == [("aa.png", "AP", "M")]
    assert known_labels(data, ["pneumonia"], "hannover").tolist() == [[1]]
    for number, name in enumerate(("TB/TB.1002.jpg", "normal/others (1).jpg", "normal/notes (1).jpg")):
        save(tmp_path / "pakistan" / name, number)
    prepare("pakistan", tmp_path / "pakistan", tmp_path / "other")
    labels = known_labels(load(tmp_path / "other"), ["tuberculosis"], "pakistan")
    assert labels.tolist() == [[1], [0]]


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["train.prepare", "table", *map(str, arguments)])
    main()


def own_files(folder):
    for number in range(3):
        save(folder / f"raw/deep/{number}.png", number)
    return folder / "raw"


OWN = {"file_name": ["0.png", "1.png", "2.png"], "patient_id": ["007", "007", "8"]}


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_table_with_a_column_for_each_finding(tmp_path, monkeypatch, kind):
    table, path = pd.DataFrame(OWN | {"Nodule": [1, 0, None], "Pleural Effusion": [0, -1, 1]}), tmp_path / f"own.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    run(monkeypatch, path, own_files(tmp_path), tmp_path / "out")
    data = load(tmp_path / "out")
    assert data["patient_id"][:] == ["007", "007", "8"]
    labels = known_labels(data, ["nodule", "pleural_effusion"])
    np.testing.assert_array_equal(labels, [[1, 0], [0, np.nan], [np.nan, 1]])
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# out" in card and "| train | 3 | 2 | 0 | 1 | 1 |" in card


@pytest.mark.parametrize(
    ("column", "values", "known"),
    [
        ("findings", ["nodule|mass", "No Finding", "mass"], [1, 0, 0]),
        ("Finding Labels", ["nodule", "No Finding", ""], [1, 0, np.nan]),
        ("label", ["nodule", "normal", "normal"], [1, 0, 0]),
    ],
)
def test_a_table_with_one_column_of_labels(tmp_path, monkeypatch, column, values, known):
    pd.DataFrame(OWN | {column: values}).to_csv(tmp_path / "own.csv", index=False)
    run(monkeypatch, tmp_path / "own.csv", own_files(tmp_path), tmp_path / "out")
    np.testing.assert_array_equal(known_labels(load(tmp_path / "out"), ["nodule"])[:, 0], known)


def test_a_dicom_tree_brings_its_own_patients(tmp_path, monkeypatch):
    for number, patient in enumerate(("Doe^Jane", "Doe^Jane", "Roe^John")):
        save_dicom(tmp_path / f"raw/study{number}/IM{number}", number, patient, age=f"0{30 + number}Y")
    table = pd.DataFrame({"sop": ["IM0", "IM1", "IM2"], "tb": [1, 0, 1], "read by": ["x", "y", "z"]})
    table.to_csv(tmp_path / "own.csv", index=False)
    run(monkeypatch, tmp_path / "own.csv", tmp_path / "raw", tmp_path / "out", "--path", "sop")
    data = load(tmp_path / "out")
    assert [row["age"] for row in data] == [30, 31, 32]
    first, second, third = data["patient_id"][:]
    assert first == second != third and "Doe" not in first
    written = (tmp_path / "out" / "train-00000-of-00001.parquet").read_bytes()
    assert b"Doe" not in written and b"Roe" not in written
    assert pydicom.dcmread(tmp_path / "raw/study0/IM0").PatientID == "Doe^Jane"  # what is there stays as it was


@pytest.mark.parametrize(
    ("columns", "arguments", "said"),
    [
        ({"tb": [1, 0, 1]}, [], "--path: which column is it?"),
        (OWN, [], "which columns are labels? Say --labels; there are file_name, patient_id"),
        (OWN | {"tb": [1, 0, 1]}, ["--patient", "person"], "--patient: there is no column person; there are file_name"),
        ({"file_name": ["0.png", "1.png", "2.png"], "tb": [1, 0, 1]}, [], "Nothing found in"),
        ({"file_name": ["x.png", "y.png", "z.png"], "patient_id": [1, 2, 3], "tb": [1, 0, 1]}, [], "Nothing found in"),
    ],
)
def test_what_a_table_lacks_is_said(tmp_path, monkeypatch, columns, arguments, said):
    pd.DataFrame(columns).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(SystemExit, match=said.replace("?", r"\?")):
        run(monkeypatch, tmp_path / "own.csv", own_files(tmp_path), tmp_path / "out", *arguments)


def test_a_table_of_another_kind(tmp_path, monkeypatch):
    (tmp_path / "own.pdf").write_bytes(b"%PDF")
    with pytest.raises(SystemExit, match=r"give a table as \.csv"):
        run(monkeypatch, tmp_path / "own.pdf", tmp_path, tmp_path / "out")


def test_own_data_are_published_only_in_private(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="Add --private"):
        run(monkeypatch, "own.csv", tmp_path, tmp_path / "out", "--push-to-hub", "owner/own")


def test_covid_cxnet(tmp_path):
    raw, names = tmp_path / "raw", ["268.jpg", "439-.png", "775p.jpg", "001.jpeg", "copy.jpg"]
    for number, name in enumerate(names):
        save(raw / "chest_xray_images" / "covid19" / name, number)
    columns = ("filename", "patient_id", "sex", "age", "view")
    said = [("268.jpg", "13", "male", "86", ""), ("439-.png", "113", "female", "27", "AP")]
    write_csv(raw / "metadata.csv", [dict(zip(columns, row, strict=True)) for row in said])
    prepare("covid_cxnet", raw, tmp_path / "out")
    found = {row["file_name"]: row for row in load(tmp_path / "out")}
    assert found.keys() == set(names[:4])  # the last is not in samples.csv
    patients = [found[name]["patient_id"] for name in names[:4]]
    assert patients == ["cxnet-13", "cxnet-113", "cxnet-f775", "cxnet-f001"]
    assert [found[name]["label"] for name in names[:4]] == [1, 0, 1, 1] and found["439-.png"]["age"] == 27
    known = known_labels(load(tmp_path / "out"), ["pneumonia", "tuberculosis"], "covid_cxnet")
    assert np.nansum(known[:, 0]) == 3 and not known[:, 1].any()


def test_nih_samples_are_those_listed_and_smaller(tmp_path):
    raw, samples = tmp_path / "raw", read_csv(SAMPLES)
    assert {row["sample"] for row in samples} == {"nih", "nih_experts", "nih_128", "covid_cxnet"} <= LAYOUTS.keys()
    patients = {split: {row["file_name"][:8] for row in samples if row["split"] == split} for split in SPLITS}
    assert not patients["train"] & patients["validation"] and all(len(row["sha256"]) == 16 for row in samples)
    listed = {row["split"]: row["file_name"] for row in samples if row["sample"] == "nih_128"}
    others = "00000000_000.png"
    write_csv(raw / "Data_Entry_2017.csv", [nih_row(name) for name in (*listed.values(), others)])
    for name in (*listed.values(), others):
        save(raw / "images_001/images" / name)
    small = replace(LAYOUTS["nih_128"], side=48)
    prepare("nih_128", raw, tmp_path / "out", layout=small)
    for split, name in listed.items():
        assert load(tmp_path / "out", split)["file_name"][:] == [name]
    picture = Image.open(BytesIO(load(tmp_path / "out")[0]["image"]["bytes"]))
    assert picture.size == (48, 48) and picture.format == "PNG"
    assert "made smaller to 48 px" in (tmp_path / "out" / "README.md").read_text()


SPLITS = ("train", "validation")
CHEXPERT = {
    "No Finding": "",
    "Enlarged Cardiomediastinum": "",
    "Cardiomegaly": "-1.0",
    "Lung Opacity": "",
    "Lung Lesion": "",
    "Edema": "0.0",
    "Consolidation": "",
    "Pneumonia": "",
    "Atelectasis": "",
    "Pneumothorax": "",
    "Pleural Effusion": "1.0",
    "Pleural Other": "",
    "Fracture": "",
    "Support Devices": "1.0",
}
HEALTHY = dict.fromkeys(CHEXPERT, "") | {"No Finding": "1.0", "Support Devices": "1.0"}
ASKED = ["effusion", "cardiomegaly", "edema", "pneumonia", "support_devices", "abnormal"]
ILL_SAID, HEALTHY_SAID = [1, np.nan, 0, np.nan, 1, 1], [0, 0, 0, 0, 1, 0]


def nih_row(name):
    about = {"Patient ID": name[:8].lstrip("0") or "0", "Patient Age": "58", "Patient Gender": "M"}
    return {"Image Index": name, "Finding Labels": "No Finding", "View Position": "PA"} | about


def test_chexpert(tmp_path):
    raw = tmp_path / "raw" / "CheXpert-v1.0-small"
    images = {"train/patient00001/study1/view1_frontal.jpg": "Frontal"}
    images |= {"train/patient00001/study1/view2_lateral.jpg": "Lateral"}
    images |= {"train/patient00002/study3/view1_frontal.jpg": "Frontal"}
    rows = []
    for number, (name, view) in enumerate(images.items()):
        save(raw / name, number)
        about = {"Path": f"CheXpert-v1.0-small/{name}", "Sex": "Female", "Age": "68", "Frontal/Lateral": view}
        rows.append(about | {"AP/PA": "AP" if view == "Frontal" else ""} | (HEALTHY if number == 2 else CHEXPERT))
    write_csv(raw / "train.csv", rows)
    other = "valid/patient64541/study1/view1_frontal.jpg"
    save(raw / other, 5)
    write_csv(raw / "valid.csv", [rows[0] | {"Path": f"CheXpert-v1.0-small/{other}"}])
    prepare("chexpert", tmp_path / "raw", tmp_path / "out")
    data = load(tmp_path / "out")
    assert data["patient_id"][:] == ["patient00001", "patient00002"]
    assert (data[0]["view"], data[0]["age"], data[0]["sex"]) == ("AP", 68, "F")
    np.testing.assert_array_equal(known_labels(data, ASKED, "chexpert"), [ILL_SAID, HEALTHY_SAID])
    assert load(tmp_path / "out", "validation")["patient_id"][:] == ["patient64541"]


def test_chexpert_as_its_four_archives_unpack(tmp_path):
    raw = tmp_path / "raw"
    first, second = raw / "CheXpert-v1.0 batch 1 (validate & csv)", raw / "CheXpert-v1.0 batch 2 (train 1)"
    about = {"Sex": "Male", "Age": "50", "Frontal/Lateral": "Frontal", "AP/PA": "PA"} | CHEXPERT
    for table, folder, name in (("train", second, "patient00001"), ("valid", first / "valid", "patient64541")):
        save(folder / name / "study1" / "view1_frontal.jpg", len(table))
        path = f"CheXpert-v1.0/{table}/{name}/study1/view1_frontal.jpg"
        write_csv(first / f"{table}.csv", [{"Path": path} | about])
    prepare("chexpert", raw, tmp_path / "out")
    assert load(tmp_path / "out")["patient_id"][:] == ["patient00001"]
    assert load(tmp_path / "out", "validation")["patient_id"][:] == ["patient64541"]


def test_mimic_cxr(tmp_path):
    raw = tmp_path / "raw"
    images = {
        "02aa804e": ("10000032", "50414267", "PA", "train"),
        "174413ec": ("10000032", "50414267", "LATERAL", "train"),
    }
    images |= {"68b5c4b1": ("10000764", "57375967", "AP", "validate")}
    keys = ("subject_id", "study_id", "ViewPosition", "split")
    rows = [{"dicom_id": name} | dict(zip(keys, row, strict=True)) for name, row in images.items()]
    for number, row in enumerate(rows):
        patient = f"p{row['subject_id']}"
        save(raw / "files" / patient[:3] / patient / f"s{row['study_id']}" / f"{row['dicom_id']}.jpg", number)
    studies = {row["study_id"]: row for row in rows}
    said = [
        {"subject_id": row["subject_id"], "study_id": study} | (HEALTHY if study == "57375967" else CHEXPERT)
        for study, row in studies.items()
    ]
    for name, table in (("chexpert", said), ("metadata", rows), ("split", rows)):
        path = raw / f"mimic-cxr-2.0.0-{name}.csv"
        write_csv(path, table)
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    prepare("mimic_cxr", raw, tmp_path / "out")
    data = load(tmp_path / "out")
    assert [(row["patient_id"], row["view"]) for row in data] == [("10000032", "PA")]
    np.testing.assert_array_equal(known_labels(data, ASKED, "mimic_cxr"), [ILL_SAID])
    np.testing.assert_array_equal(
        known_labels(load(tmp_path / "out", "validation"), ASKED, "mimic_cxr"), [HEALTHY_SAID]
    )


def test_padchest(tmp_path):
    raw = tmp_path / "raw"
    said = {
        "a.png": ("PA", "['pleural effusion', 'cardiomegaly', 'aortic elongation']"),
        "b.png": ("AP_horizontal", "['normal']"),
        "c.png": ("L", "['normal']"),
        "d.png": ("PA", "['unchanged', '']"),
        "e.png": ("PA", "['exclude']"),
    }
    common = {"ImageDir": "0", "PatientBirth": "1950.0", "PatientSex_DICOM": "F", "StudyDate_DICOM": "20140915"}
    rows = [
        {"ImageID": name, "PatientID": f"p{name[0]}", "Projection": view, "Labels": labels} | common
        for name, (view, labels) in said.items()
    ]
    write_csv(raw / "table.csv", rows)
    table = gzip.compress((raw / "table.csv").read_bytes())
    (raw / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz").write_bytes(table)
    for number, name in enumerate(said):
        save(raw / "0" / name, number)
    prepare("padchest", raw, tmp_path / "out")
    data = load(tmp_path / "out")
    assert [(row["patient_id"], row["view"], row["age"]) for row in data] == [
        ("pa", "PA", 64),
        ("pb", "AP", 64),
        ("pd", "PA", 64),
    ]
    known = known_labels(data, ["effusion", "pneumonia", "tuberculosis", "abnormal"], "padchest")
    np.testing.assert_array_equal(known, [[1, 0, 0, np.nan], [0, 0, 0, 0], [np.nan] * 4])


def test_tbx11k(tmp_path):
    raw = tmp_path / "raw"
    names = ["health/h0001.png", "sick/s0001.png", "tb/tb0001.png", "tb/tb0002.png", "tb/tb0003.png"]
    for number, name in enumerate(names):
        save(raw / "imgs" / name, number)
    boxes = {
        "tb0001": ("ObsoletePulmonaryTuberculosis", "ActiveTuberculosis"),
        "tb0002": ("ObsoletePulmonaryTuberculosis",),
    }
    for name, kinds in boxes.items():
        path = raw / "annotations" / "xml" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        objects = "".join(f"<object><name>{kind}</name></object>" for kind in kinds)
        path.write_text(f"<annotation><filename>{name}.png</filename>{objects}</annotation>")
    (raw / "lists").mkdir()
    (raw / "lists/TBX11K_train.txt").write_text("\n".join(names[:4]))
    (raw / "lists/TBX11K_val.txt").write_text(names[4])
    prepare("tbx11k", raw, tmp_path / "out")
    known = known_labels(load(tmp_path / "out"), ["tuberculosis", "abnormal", "nodule"], "tbx11k")
    np.testing.assert_array_equal(known, [[0, 0, 0], [0, 1, np.nan], [1, 1, np.nan], [np.nan, 1, np.nan]])
    assert known_labels(load(tmp_path / "out", "validation"), ["tuberculosis"], "tbx11k").tolist() == [[1]]


def test_covidx(tmp_path):
    raw = tmp_path / "raw"
    lines = {
        "train": [
            "p1 a b.png pneumonia rsna",
            "p2 c.png COVID-19 cohen",
            "p3 gone.png normal rsna",
            "p4 d.jpg negative",
        ],
        "test": ["p5 e.png positive ricord"],
    }
    for number, (part, name) in enumerate(
        [("train", "a b.png"), ("train", "c.png"), ("train", "d.jpg"), ("test", "e.png")]
    ):
        save(raw / part / name, number)
    (raw / "train_COVIDx9A.txt").write_text("\n".join(lines["train"]))
    (raw / "test.txt").write_text("\n".join(lines["test"]))
    prepare("covidx", raw, tmp_path / "out")
    data = load(tmp_path / "out")
    assert data["patient_id"][:] == ["p1", "p2", "p4"]
    np.testing.assert_array_equal(
        known_labels(data, ["pneumonia", "covid19"], "covidx"), [[1, 0], [np.nan, 1], [np.nan, 0]]
    )
    assert known_labels(load(tmp_path / "out", "test"), ["covid19"], "covidx").tolist() == [[1]]


def test_what_radiologists_said_is_joined_by_nihs_names(tmp_path, monkeypatch):
    raw, one, two, three = tmp_path / "raw", "00000001_000.png", "00000002_001.png", "00000003_002.png"
    (raw / "rsna").mkdir(parents=True)
    mapping = [{"subset_img_id": "x1", "img_id": one}, {"subset_img_id": "x2", "img_id": two}]
    (raw / "rsna/pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping))
    classes = {"x1": "Lung Opacity", "x2": "Normal", "x3": "Normal"}
    write_csv(raw / "rsna/stage_2_detailed_class_info.csv", [{"patientId": p, "class": c} for p, c in classes.items()])
    box = {"x": "10.0", "y": "20.0", "width": "30.0", "height": "40.0"}
    nowhere = dict.fromkeys(box, "")
    boxes = [{"patientId": "x1"} | box | {"Target": "1"}, {"patientId": "x2"} | nowhere | {"Target": "0"}]
    write_csv(raw / "rsna/stage_2_train_labels.csv", boxes)
    all_findings, seen = (
        raw / "all_findings_expert_labels",
        {"Abnormal": "1", "Nodule": "YES", "Pleural Thickening": "NO"},
    )
    write_csv(all_findings / "test_labels.csv", [{"Image ID": two, "Patient ID": "2"} | seen])
    readers = [{"Image ID": two, "Reader ID": str(n)} | seen | {"Nodule": "YES" if n < 4 else "NO"} for n in range(5)]
    write_csv(all_findings / "test_individual_readers.csv", readers)
    four = {"Image Index": one, "Patient ID": "1", "Fracture": "NO", "Pneumothorax": "YES", "Nodule or mass": "NO"}
    write_csv(raw / "four_findings_expert_labels" / "validation_labels.csv", [four])
    det = [{"file_name": "7.png", "syms": ["Nodule", "Pleural Thickening"], "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]]}]
    (raw / "ChestX_Det_train.json").write_text(json.dumps(det))
    (raw / "mapping.json").write_text(json.dumps({"7.png": three}))
    (raw / "BBox_List_2017.csv").write_text(f"Image Index,Finding Label,Bbox [x,y,w,h],,,\n{three},Mass,1.5,2,3,4,,,\n")
    (raw / "test_rad_consensus_voted3.txt").write_text(f"{one} 1\n{two} 0\n")
    (raw / "platinum_lable_pulmonary_edema.csv").write_text(
        f"PATH,majority vote\npatient00001/study1/view1_frontal.jpg,1\n{three},0\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.prepare", "nih_expert_labels", str(raw)])
    main()
    said = {
        row["file_name"]: row for row in pd.read_parquet("data/nih-expert-labels/labels.parquet").to_dict("records")
    }
    assert said[one]["rsna_class"] == "Lung Opacity" and said[one]["rsna_boxes"] == "[[10.0, 20.0, 30.0, 40.0]]"
    assert said[two]["rsna_target"] == 0 and said[two]["google14_nodule_votes5"] == 4
    assert said[two]["google14_abnormal"] == 1 and said[two]["google14_pleural_thickening"] == 0
    assert said[one]["google4_pneumothorax"] == 1 and said[one]["google4_nodule_mass"] == 0
    assert said[three]["chestxdet_nodule"] == 1 and said[three]["chestxdet_mass"] == 0
    assert said[three]["chestxdet_boxes"] == '[["Nodule", 1, 2, 3, 4], ["Pleural Thickening", 5, 6, 7, 8]]'
    assert said[three]["bbox2017"] == '[["Mass", 1.5, 2.0, 3.0, 4.0]]' and pd.isna(said[three]["rsna_class"])
    assert said[one]["tang_abnormal_consensus3"] == 1 and said[three]["mgh7_pulmonary_edema"] == 0
    rules = known_sources()["nih"]["readers"]["rules"]
    read = {name: {each["finding"]: each["present"] for each in apply_rules(row, rules)} for name, row in said.items()}
    assert read[one]["pneumonia"] is True and read[one]["pneumothorax"] is True and read[two]["nodule"] is True
    assert read[three]["nodule"] is True and read[three]["mass"] is False and read[three]["edema"] is False


def test_no_table_of_readers_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.prepare", "nih_expert_labels", str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"Nothing found in .* It must hold the tables"):
        main()


def test_out_dir_is_where_recipes_look(tmp_path, monkeypatch):
    save(tmp_path / "raw/CXR_png/CHNCXR_0001_0.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.prepare", "shenzhen", "raw", "--side", "36"])
    main()
    source = load_recipe(RECIPES / "lungs_teacher.yaml")["sources"]["shenzhen"]
    data = load(tmp_path / "data" / source["dataset"])
    assert Image.open(BytesIO(data[0]["image"]["bytes"])).size == (36, 36)
