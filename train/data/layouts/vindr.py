"""VinDr-CXR, adults, two hospitals in Hanoi (Nguyen et al. 2022).

Three readers labelled each training image: a finding is listed where two of them saw it. The test part holds the
consensus of five. Patients were not published: each image stands for one.
"""

from collections import defaultdict

from train.data.labels import canonical
from train.data.layouts.layout import Entry, Layout, read_csv

NAMES = {"pleural_effusion": "effusion", "pulmonary_fibrosis": "fibrosis"}  # theirs → ours
LABELS = (
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "edema",
    "effusion",
    "emphysema",
    "fibrosis",
    "infiltration",
    "nodule_mass",
    "pleural_thickening",
    "pneumonia",
    "pneumothorax",
    "tuberculosis",
    "other",
)
NOT_FINDINGS = ("image_id", "rad_id", "No finding")


def find(folder):
    for split in ("train", "test"):
        read = defaultdict(list)
        for row in read_csv(folder / "annotations" / f"image_labels_{split}.csv"):
            read[row["image_id"]].append(row)
        for name, rows in read.items():
            image = next((path for path in (folder / split).glob(f"{name}.di*com")), None)
            if image:
                yield Entry(image, findings_of(rows), name, split=split)


def findings_of(rows):
    """Rows of an image, one for each reader, → what most of them saw; what we have no name for is `other`."""
    found = []
    for column in rows[0].keys() - set(NOT_FINDINGS):
        if 2 * sum(float(row[column]) for row in rows) > len(rows):
            name = NAMES.get(canonical(column), canonical(column))
            found.append(name if name in LABELS else "other")
    return tuple(sorted(set(found)))


LAYOUT = Layout(
    find,
    LABELS,
    "It must hold annotations/image_labels_train.csv and train/IMAGE_ID.dicom, and may hold the same of test.",
    column="findings",
    about=("view", "age", "sex"),
)
