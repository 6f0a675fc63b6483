"""NIH ChestX-ray14, adults mostly, findings mined from reports (Wang et al. 2017), and the samples of it in recipes.

The images may lie at any depth, as the archives of the Clinical Center and of Kaggle have them. `nih_whole` takes all;
`test_list.txt`, where it is there, says which are the official test part. `nih`, `nih_experts` and `nih_128` take the
images that samples.csv names, split by patient as it says, and as large as recipes saw them.
"""

from functools import partial

from train.data.layouts.layout import Entry, Layout, read_csv, sampled

LABELS = (
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "edema",
    "effusion",
    "emphysema",
    "fibrosis",
    "hernia",
    "infiltration",
    "mass",
    "nodule",
    "pleural_thickening",
    "pneumonia",
    "pneumothorax",
)


def find(folder, sample=None):
    tables = sorted(folder.glob("Data_Entry_2017*.csv"))
    tests = folder / "test_list.txt"
    test = set(tests.read_text().split()) if tests.is_file() else set()
    images = {path.name: path for path in folder.rglob("*.png")}
    if sample:
        images = {name: images[name] for name in sampled(sample) if name in images}
    for row in read_csv(tables[0]) if tables else ():
        name = row["Image Index"]
        if name in images:
            findings = [finding.strip().lower() for finding in row["Finding Labels"].split("|")]
            yield Entry(
                images[name],
                tuple(finding for finding in findings if finding != "no finding"),
                row["Patient ID"],
                split=sampled(sample)[name] if sample else "test" if name in test else "train",
                about={
                    "view": row["View Position"],
                    "age": int(row["Patient Age"].rstrip("YMD")) if row["Patient Age"][-1:] not in "MD" else 0,
                    "sex": row.get("Patient Gender") or row.get("Patient Sex"),
                },
            )


def layout(sample=None, side=None):
    return Layout(
        partial(find, sample=sample),
        LABELS,
        "It must hold Data_Entry_2017.csv (or Data_Entry_2017_v2020.csv) and images_001/images/00000001_000.png and so "
        "on, at any depth, and may hold test_list.txt.",
        column="findings",
        about=("view", "age", "sex"),
        side=side,
    )


LAYOUTS = {
    "nih": layout("nih", 448),
    "nih_experts": layout("nih_experts", 448),
    "nih_128": layout("nih_128", 128),
    "nih_whole": layout(),
}
