"""COVID-19 Radiography Database, lung masks included (Chowdhury et al. 2020; Rahman et al. 2021).

Patients were not published, so each image stands for one: a split by patient is a split by image here. The viral
pneumonias are children of Kermany's set, most others adults of other sources: figures on it measure the source too.
"""

from train.data.layouts.layout import Entry, Layout, existing, matching

LABELS = {
    "Normal": "normal",
    "COVID": "covid",
    "Lung_Opacity": "lung_opacity",
    "Viral Pneumonia": "viral_pneumonia",
}


def find(folder):
    for kind, label in LABELS.items():
        for image, _ in matching(folder / kind / "images", rf"{kind}-\d+\.png"):
            yield Entry(image, label, image.stem, existing(folder / kind / "masks" / image.name))


LAYOUT = Layout(
    find,
    tuple(LABELS.values()),
    "It must hold COVID/images/COVID-1.png and so on, likewise Normal, Lung_Opacity and Viral Pneumonia, and "
    "may hold COVID/masks/COVID-1.png.",
)
