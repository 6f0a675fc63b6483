"""RSNA Pneumonia Detection Challenge 2018: images of NIH ChestX-ray14, opacities that radiologists saw.

Of the patients the challenge published one image each, under a name of its own: `patient_id` is that name. View, age
and sex come from the DICOM headers. The challenge's test images have no published labels and are left out.
"""

from train.data.layouts.layout import Entry, Layout, read_csv

LABELS = {
    "Normal": "normal",
    "No Lung Opacity / Not Normal": "no_lung_opacity_not_normal",
    "Lung Opacity": "lung_opacity",
}


def find(folder):
    classes = {row["patientId"]: row["class"] for row in read_csv(folder / "stage_2_detailed_class_info.csv")}
    for name, label in classes.items():
        image = folder / "stage_2_train_images" / f"{name}.dcm"
        if image.is_file():
            yield Entry(image, LABELS[label], name)


LAYOUT = Layout(
    find,
    tuple(LABELS.values()),
    "It must hold stage_2_detailed_class_info.csv, and stage_2_train_images/NAME.dcm for each patientId in it.",
    about=("view", "age", "sex"),
)
