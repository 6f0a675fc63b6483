"""TBX11K, tuberculosis, 512 px (Liu et al. 2020).

Of tuberculosis the boxes' names say whether it is active, or obsolete, which the paper calls latent. `TBX11K_val.txt`
becomes the split `validation`; the test images have no published labels. Patients were not published: each image
stands for one.
"""

import re

from train.data.layouts.layout import Entry, Layout

LABELS = (
    "healthy",
    "sick_without_tuberculosis",
    "active_tuberculosis",
    "latent_tuberculosis",
    "uncertain_tuberculosis",
)
FOLDERS = {"health": "healthy", "sick": "sick_without_tuberculosis"}


def find(folder):
    for part, split in (("train", "train"), ("val", "validation")):
        path = folder / "lists" / f"TBX11K_{part}.txt"
        for name in path.read_text().split() if path.is_file() else ():
            image = folder / "imgs" / name
            if image.is_file():
                label = FOLDERS.get(image.parent.name) or activity(folder / "annotations" / "xml" / f"{image.stem}.xml")
                yield Entry(image, label, image.stem, split=split)


def activity(path):
    """Label of an image with tuberculosis, by its boxes: active goes before obsolete."""
    names = re.findall(r"<name>\s*(\w+)\s*</name>", path.read_text()) if path.is_file() else []
    if "ActiveTuberculosis" in names:
        return "active_tuberculosis"
    return "latent_tuberculosis" if "ObsoletePulmonaryTuberculosis" in names else "uncertain_tuberculosis"


LAYOUT = Layout(
    find,
    LABELS,
    "It must hold lists/TBX11K_train.txt, imgs/health/h0001.png, imgs/sick/s0001.png and imgs/tb/tb0001.png and so on, "
    "and may hold annotations/xml/tb0001.xml and lists/TBX11K_val.txt.",
)
