"""CheXpert, adults mostly, Stanford Hospital, findings mined from reports (Irvin et al. 2019), frontal views.

`valid.csv`, which three radiologists labelled, becomes the split `validation`. Uncertain (-1) is unknown; where nothing
was found, all that the labeller looks for is absent. `CheXpert-v1.0` and `CheXpert-v1.0-small` have the same layout.
"""

from train.data.labels import canonical, present_or_absent
from train.data.layouts.layout import Entry, Layout, read_csv

OURS = {"pleural_effusion": "effusion"}  # their name → ours
LABELS = (
    "enlarged_cardiomediastinum",
    "cardiomegaly",
    "lung_opacity",
    "lung_lesion",
    "edema",
    "consolidation",
    "pneumonia",
    "atelectasis",
    "pneumothorax",
    "effusion",
    "pleural_other",
    "fracture",
    "support_devices",
    "abnormal",
)


def find(folder):
    for table, split in (("train.csv", "train"), ("valid.csv", "validation")):
        for path in sorted(folder.rglob(table)):
            for row in read_csv(path):
                image = path.parent / row["Path"].split("/", 1)[1]  # less the archive's name
                if row["Frontal/Lateral"] == "Frontal" and image.is_file():
                    about = {"view": row["AP/PA"] or None, "age": int(float(row["Age"])), "sex": row["Sex"][:1]}
                    yield Entry(image, findings_of(row), image.parts[-3], split=split, about=about)


def findings_of(row):
    """A row of the labeller's table, MIMIC-CXR's too → {finding: 1, 0 or None}; abnormal: anything but devices."""
    said = {OURS.get(canonical(name), canonical(name)): present_or_absent(value) for name, value in row.items()}
    found = {name: None if said.get(name) not in (0, 1) else int(said[name]) for name in LABELS[:-1]}
    if said["no_finding"] == 1:
        return {name: 0 if value is None else value for name, value in found.items()} | {"abnormal": 0}
    ill = any(value == 1 for name, value in found.items() if name != "support_devices")
    return found | {"abnormal": 1 if ill else None}


LAYOUT = Layout(
    find,
    LABELS,
    "It must hold train.csv and train/patient00001/study1/view1_frontal.jpg and so on, and may hold valid.csv and "
    "valid, at any depth.",
    column="each",
    about=("view", "age", "sex"),
)
