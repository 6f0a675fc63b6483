"""PadChest, adults mostly, San Juan Hospital, Alicante (Bustos et al. 2020), frontal views.

Labels are a physician's for a quarter of the reports, a network's for the others. The images may lie at any depth (the
archives number their folders). What we have no name for is `other`; an image of which nothing but `unchanged` is said
is unlabelled, one to `exclude` is left out.
"""

import ast
import re

from train.data.labels import canonical
from train.data.layouts import nih
from train.data.layouts.layout import Entry, Layout, read_csv

NAMES = {  # theirs → ours
    "pleural_effusion": "effusion",
    "pulmonary_edema": "edema",
    "pulmonary_fibrosis": "fibrosis",
    "pulmonary_mass": "mass",
    "infiltrates": "infiltration",
    "multiple_nodules": "nodule",
    "hiatal_hernia": "hernia",
    "tuberculosis_sequelae": "other",
}
LABELS = (*nih.LABELS, "tuberculosis", "other")
VIEWS = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP"}


def find(folder):
    images = {path.name: path for path in folder.rglob("*.png")}
    for table in sorted(folder.glob("PADCHEST_chest_x_ray_images_labels_160K*.csv*")):
        for row in read_csv(table):
            said = ast.literal_eval(row["Labels"]) if row["Labels"].startswith("[") else []
            said = {canonical(label) for label in said} - {""}
            if row["ImageID"] in images and row["Projection"] in VIEWS and "exclude" not in said:
                about = {"view": VIEWS[row["Projection"]], "age": age_of(row), "sex": row["PatientSex_DICOM"] or None}
                yield Entry(images[row["ImageID"]], findings_of(said), row["PatientID"], about=about)


def findings_of(said):
    """Names of labels → ours, sorted; () for `normal`, None where nothing is said."""
    said = said - {"unchanged", "suboptimal_study"}
    if not said:
        return None
    ours = {NAMES.get(name, name) for name in said - {"normal"}}
    return tuple(sorted({name if name in LABELS else "other" for name in ours}))


def age_of(row):
    """Years between PatientBirth (1950.0) and StudyDate_DICOM (20140915)."""
    years = [re.match(r"\d{4}", row[column] or "") for column in ("StudyDate_DICOM", "PatientBirth")]
    return int(years[0][0]) - int(years[1][0]) if all(years) else None


LAYOUT = Layout(
    find,
    LABELS,
    "It must hold PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv (or .csv.gz), and the PNG files it names, at "
    "any depth.",
    column="findings",
    about=("view", "age", "sex"),
)
