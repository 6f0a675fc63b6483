"""Layouts that come with a table: NIH, RSNA, VinDr, Hannover, Pakistan, and one's own table and files."""

import csv

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
    data = load_dataset(str(folder), cache_dir=str(folder / "cache"))[split]
    return data.cast_column("image", ImageFeature(decode=False)).cast_column("mask", ImageFeature(decode=False))


def test_nih(tmp_path):
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
    prepare("nih", raw, out)
    data = load(out)
    assert data["patient_id"][:] == ["1", "2"]
    assert (data[0]["view"], data[0]["age"], data[0]["sex"]) == ("PA", 58, "M")
    labels = known_labels(data, ["effusion", "tuberculosis"], "nih")
    np.testing.assert_array_equal(labels, [[1, np.nan], [0, 0]])
    assert known_labels(load(out, "test"), ["mass"], "nih").tolist() == [[1]]
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
