"""Hannover Medical School, adults with COVID-19 by PCR (Winther et al. 2020, COVID-19 Image Repository)."""

from train.data.layouts.layout import Entry, Layout, read_csv

LABELS = ("covid19",)


def find(folder):
    for row in read_csv(folder / "data.csv"):
        image = folder / "png" / f"{row['image_id']}.png"
        if row["modality"] in ("CR", "DX") and image.is_file():
            about = {"view": row["projection"].upper() or None, "sex": row["sex"].upper() or None}
            yield Entry(image, "covid19", row["patient_id"], about=about)


LAYOUT = Layout(find, LABELS, "It must hold data.csv, and png/b343e657.png and so on.", about=("view", "sex"))
