"""Guangzhou, children of 1 to 5 years, pneumonia (Kermany et al. 2018).

A patient is `personN`, bacterial and viral images together, or the IM number: `patients` in sources.yaml says which
images are kept together. The 16 images of `val`, which some copies
set aside, too few to choose a model by, go back to `train`.
"""

from train.data.layouts.layout import Entry, Layout, matching

LABELS = {None: "normal", "bacteria": "bacterial_pneumonia", "virus": "viral_pneumonia"}
PATTERN = r"((?:NORMAL2-)?IM-\d+)(?:-\d+)+\.jpe?g|(person\d+)_(bacteria|virus)(?:_\d+)+\.jpe?g"


def find(folder):
    for part, split in (("train", "train"), ("val", "train"), ("test", "test")):
        for kind in ("NORMAL", "PNEUMONIA"):
            for image, match in matching(folder / part / kind, PATTERN):
                yield Entry(image, LABELS[match[3]], match[1] or match[2], split=split)


LAYOUT = Layout(
    find,
    tuple(LABELS.values()),
    "It must hold train/NORMAL/IM-0115-0001.jpeg, train/PNEUMONIA/person1_bacteria_1.jpeg and so on, and may hold "
    "the same in val and test.",
)
