"""What radiologists said of NIH's images: a table joined from those that were published, by the images' names.

`python -m train.prepare nih_expert_labels RAW_DIR` writes labels.parquet, which `readers` in sources.yaml reads.
RAW_DIR holds, at any depth, any of:

- RSNA Pneumonia Detection Challenge 2018: `stage_2_detailed_class_info.csv`, `stage_2_train_labels.csv`, and RSNA's
  `pneumonia-challenge-dataset-mappings_2018.json`, which says what the images are called at NIH
- Google: the folders `all_findings_expert_labels` (`test_labels.csv`, `test_individual_readers.csv`; Nabulsi et al.
  2021) and `four_findings_expert_labels` (`test_labels.csv`, `validation_labels.csv`; Majkowska et al. 2019)
- ChestX-Det (Lian et al. 2021): `ChestX_Det_train.json`, `ChestX_Det_test.json`, and `mapping.json`, which its authors
  gave in an issue of their repository
- NIH: `BBox_List_2017.csv`
- Tang et al. 2020 (NIH CADLab, CXR-Binary-Classifier): `test_rad_consensus_voted3.txt`, `test_attending_rad.txt`
- MGH AutoLabels: `platinum_lable_*.csv`

The names of files and columns are those of the publishers. Not checked against the real file: whether `mapping.json`
goes from ChestX-Det's names to NIH's or back (both are read), and the columns of Google's four findings.
"""

import csv
import json
import re
from collections import defaultdict

import pyarrow as pa
import pyarrow.parquet as pq

from train.data.labels import canonical
from train.data.layouts.layout import read_csv

NIH_NAME = re.compile(r"\d{8}_\d{3}\.png")
DET = (
    *("Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "Diffuse Nodule", "Effusion", "Emphysema"),
    *("Fibrosis", "Fracture", "Mass", "Nodule", "Pleural Thickening", "Pneumothorax"),
)


def write_expert_labels(folder, path):
    """Join what is there and write it.

    Args:
        folder: `Path` of the published tables.
        path: `Path` of the Parquet file: `file_name`, and columns that are null where that group did not look.

    Raises:
        FileNotFoundError: none of the tables is there.
    """
    rows = defaultdict(dict)
    for group in (rsna, google14, google4, chestxdet, bbox2017, tang, mgh):
        said = group(folder)
        print(f"{group.__name__}: {len(said)} images")
        for name, values in said.items():
            rows[name] |= values
    if not rows:
        raise FileNotFoundError(f"Nothing found in {folder}. {EXPECTS}")
    columns = list(dict.fromkeys(column for values in rows.values() for column in values))
    table = [{"file_name": name} | {column: rows[name].get(column) for column in columns} for name in sorted(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table), path)
    print(f"{path}: {len(table)} images.")


EXPECTS = "It must hold the tables that train/data/layouts/nih_expert_labels.py names, or some of them."


def file_of(folder, name, within=""):
    """The first file of a name at any depth, below a folder or with a prefix of the name `within`; None."""
    paths = (path for path in sorted(folder.rglob(f"*{name}")) if within in path.relative_to(folder).as_posix())
    return next(paths, None)


def csv_of(folder, name, within=""):
    path = file_of(folder, name, within)
    return read_csv(path) if path else []


def json_of(folder, name):
    path = file_of(folder, name)
    return json.loads(path.read_text(encoding="utf-8")) if path else []


def rsna(folder):
    """rsna_class, rsna_target 0 or 1, rsna_boxes (x, y, w, h in 1024 px)."""
    names = {row["subset_img_id"]: row["img_id"] for row in json_of(folder, "dataset-mappings_2018.json")}
    found, boxes = {}, defaultdict(list)
    for row in csv_of(folder, "stage_2_train_labels.csv"):
        if row["x"]:
            boxes[row["patientId"]].append([float(row[key]) for key in ("x", "y", "width", "height")])
    for row in csv_of(folder, "stage_2_detailed_class_info.csv"):
        patient = row["patientId"]
        if patient in names:
            target = int(row["class"] == "Lung Opacity")
            found[names[patient]] = {"rsna_class": row["class"], "rsna_target": target}
            found[names[patient]]["rsna_boxes"] = json.dumps(boxes[patient]) if boxes[patient] else None
    return found


def google14(folder):
    """google14_FINDING: the majority of three; google14_FINDING_votes5: how many of five saw it."""
    within, found = "all_findings_expert_labels", defaultdict(dict)
    for row in csv_of(folder, "test_labels.csv", within):
        found[row["Image ID"]] = {f"google14_{name}": value for name, value in yes_or_no(row).items()}
    votes = defaultdict(lambda: defaultdict(int))
    for row in csv_of(folder, "test_individual_readers.csv", within):
        for name, value in yes_or_no(row).items():
            votes[row["Image ID"]][f"google14_{name}_votes5"] += value
    for name, counts in votes.items():
        found[name] = found[name] | dict(counts)
    return found


def google4(folder):
    """google4_FINDING, adjudicated: airspace_opacity, fracture, nodule_mass, pneumothorax."""
    found = {}
    for table in ("test_labels.csv", "validation_labels.csv"):
        for row in csv_of(folder, table, "four_findings_expert_labels"):
            said = {name.replace("_or_", "_"): value for name, value in yes_or_no(row).items()}
            found[row.get("Image Index") or row["Image ID"]] = {
                f"google4_{name}": value for name, value in said.items()
            }
    return found


def yes_or_no(row):
    """The cells of a row that say YES or NO, or 1 or 0 of `Abnormal` → {name: 1 or 0}."""
    words = {"YES": 1, "NO": 0}
    said = {canonical(name): words[value] for name, value in row.items() if value in words}
    if row.get("Abnormal") in ("0", "1"):
        said["abnormal"] = int(row["Abnormal"])
    return said


def chestxdet(folder):
    """chestxdet_FINDING 0 or 1, chestxdet_boxes (name, x1, y1, x2, y2 in 1024 px)."""
    names = dict(json_of(folder, "mapping.json"))
    names = {
        key: value for pair in names.items() for key, value in (pair, pair[::-1]) if NIH_NAME.fullmatch(str(value))
    }
    found = {}
    for part in ("train", "test"):
        for row in json_of(folder, f"ChestX_Det_{part}.json"):
            if row["file_name"] in names:
                said = {f"chestxdet_{canonical(name)}": int(name in row["syms"]) for name in DET}
                boxes = [[name, *box] for name, box in zip(row["syms"], row["boxes"], strict=True)]
                found[names[row["file_name"]]] = said | {"chestxdet_boxes": json.dumps(boxes) if boxes else None}
    return found


def bbox2017(folder):
    """bbox2017: list of (name, x, y, w, h in 1024 px). The header is broken: columns are taken by their place."""
    path, found = file_of(folder, "BBox_List_2017.csv"), defaultdict(list)
    with open(path or "/dev/null", newline="", encoding="utf-8-sig") as file:
        for name, finding, *box in list(csv.reader(file))[1:]:
            found[name].append([finding, *(float(value) for value in box[:4])])
    return {name: {"bbox2017": json.dumps(boxes)} for name, boxes in found.items()}


def tang(folder):
    """tang_abnormal_consensus3 and tang_abnormal_attending, 0 or 1."""
    found = defaultdict(dict)
    for table, column in (("rad_consensus_voted3", "consensus3"), ("attending_rad", "attending")):
        path = file_of(folder, f"test_{table}.txt")
        for line in path.read_text().splitlines() if path else ():
            name, abnormal = line.split()
            found[name][f"tang_abnormal_{column}"] = int(abnormal)
    return found


def mgh(folder):
    """mgh7_FINDING, the majority of seven, 0 or 1; images of CheXpert and MIMIC-CXR in the tables are passed over."""
    found = defaultdict(dict)
    for path in sorted(folder.rglob("platinum_lable_*.csv")):
        for row in read_csv(path):
            if NIH_NAME.fullmatch(row["PATH"]):
                found[row["PATH"]][f"mgh7_{path.stem.removeprefix('platinum_lable_')}"] = int(row["majority vote"])
    return found
