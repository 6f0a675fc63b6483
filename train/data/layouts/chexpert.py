"""CheXpert, adults mostly, Stanford Hospital, findings mined from reports (Irvin et al. 2019), frontal views.

`valid.csv`, which three radiologists labelled, becomes the split `validation`. Uncertain (-1) is unknown; where nothing
was found, all that the labeller looks for is absent. `CheXpert-v1.0` and `CheXpert-v1.0-small` have the same layout; of
the former the four archives may also lie side by side, each in the folder that it unpacks to.
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
    batches = sorted(folder.rglob("CheXpert-v1.0 batch *"))  # "(train 1)" and so on, "(validate & csv)"
    for table, split in (("train.csv", "train"), ("valid.csv", "validation")):
        for path in sorted(folder.rglob(table)):
            for row in read_csv(path):
                _, part, of_patient = row["Path"].split("/", 2)  # CheXpert-v1.0, train, patient00001/…
                places = [path.parent / part, *batches, *(batch / part for batch in batches)]
                image = next((place / of_patient for place in places if (place / of_patient).is_file()), None)
                if row["Frontal/Lateral"] == "Frontal" and image:
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
    "valid, at any depth; or the folders CheXpert-v1.0 batch 1 (validate & csv), batch 2 (train 1) and so on.",
    column="each",
    about=("view", "age", "sex"),
)
