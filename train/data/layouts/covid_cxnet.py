"""COVID-CXNet, adults mostly, COVID-19, from clinics of many countries (Haghanifar et al. 2022).

A minus in a file's name says that nothing is seen yet, a `p` that it is a child. samples.csv names the images that are
no copies of other sets in sources.yaml. Of those that metadata.csv does not know each stands for a patient.
"""

from train.data.layouts.layout import Entry, Layout, read_csv, sampled

LABELS = ("covid19_clear", "covid19")


def find(folder):
    said = {row["filename"]: row for row in read_csv(folder / "metadata.csv")}
    for name in sampled("covid_cxnet"):
        image, row = folder / "chest_xray_images" / "covid19" / name, said.get(name, {})
        if image.is_file():
            patient = f"cxnet-{row['patient_id']}" if row.get("patient_id") else f"cxnet-f{image.stem.rstrip('p-')}"
            age = int(float(row["age"])) if row.get("age") else None
            sex = (row.get("sex") or "").upper()[:1] or None
            about = {"view": row.get("view") or None, "age": age, "sex": sex}
            yield Entry(image, LABELS["-" not in image.stem], patient, about=about)


LAYOUT = Layout(
    find,
    LABELS,
    "It must hold metadata.csv, and chest_xray_images/covid19/001.jpeg and so on.",
    about=("view", "age", "sex"),
)
