"""MIMIC-CXR-JPG, adults, Beth Israel Deaconess Medical Center, Boston (Johnson et al. 2019), frontal views.

Findings were mined from reports by CheXpert's labeller; see `chexpert` for what its table says. Version 2.0.0's file
names are expected, which 2.1.0 has kept.
"""

from train.data.layouts.chexpert import LABELS, findings_of
from train.data.layouts.layout import Entry, Layout, read_csv

SPLITS = {"train": "train", "validate": "validation", "test": "test"}


def find(folder):
    findings = {row["study_id"]: findings_of(row) for row in rows_of(folder, "chexpert")}
    splits = {row["dicom_id"]: SPLITS[row["split"]] for row in rows_of(folder, "split")}
    for row in rows_of(folder, "metadata"):
        name, patient, study, view = (row[key] for key in ("dicom_id", "subject_id", "study_id", "ViewPosition"))
        image = folder / "files" / f"p{patient[:2]}" / f"p{patient}" / f"s{study}" / f"{name}.jpg"
        if view in ("PA", "AP") and study in findings and image.is_file():
            yield Entry(image, findings[study], patient, split=splits.get(name, "train"), about={"view": view})


def rows_of(folder, name):
    """Rows of one of the tables, compressed as published or not."""
    paths = sorted(folder.glob(f"mimic-cxr-2.*-{name}.csv*"))
    return read_csv(paths[0]) if paths else []


LAYOUT = Layout(
    find,
    LABELS,
    "It must hold mimic-cxr-2.0.0-chexpert.csv.gz, mimic-cxr-2.0.0-metadata.csv.gz and "
    "files/p10/p10000032/s50414267/NAME.jpg and so on, and may hold mimic-cxr-2.0.0-split.csv.gz.",
    column="each",
    about=("view",),
)
