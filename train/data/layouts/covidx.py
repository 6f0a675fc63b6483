"""COVIDx CXR, collected from many sources (Wang, Lin and Wong 2020, COVID-Net).

A line of train.txt, val.txt or test.txt is `patient file class source`, older versions' without the source; classes are
normal, pneumonia and COVID-19, or positive and negative of COVID-19. Each class comes from other sources, some of them
copies of other sets in sources.yaml: figures on it measure the source too.
"""

import re

from train.data.layouts.layout import Entry, Layout

LABELS = {"normal": "normal", "pneumonia": "pneumonia", "COVID-19": "covid19", "negative": "no_covid19"}
LABELS |= {"positive": "covid19"}
LINE = re.compile(rf"(\S+) (.+?) ({'|'.join(LABELS)})(?: .*)?")


def find(folder):
    for part, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        for path in sorted(folder.glob(f"{part}*.txt")):
            for match in filter(None, map(LINE.fullmatch, path.read_text().splitlines())):
                image = folder / part / match[2]
                if image.is_file():
                    yield Entry(image, LABELS[match[3]], match[1], split=split)


LAYOUT = Layout(
    find,
    tuple(dict.fromkeys(LABELS.values())),
    "It must hold train.txt (or train_COVIDx9A.txt), and the files it names in train, and may hold the same of val and "
    "test.",
)
