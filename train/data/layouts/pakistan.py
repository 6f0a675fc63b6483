"""A hospital in Pakistan, adults, tuberculosis (Kiran and Jabeen 2024, Mendeley Data).

Files may lie at any depth: `TB.1002.jpg` is a tuberculosis, `others (1).jpg` a normal. Patients were not published:
each image stands for one.
"""

from train.data.layouts.layout import Entry, Layout, matching

LABELS = ("normal", "tuberculosis")


def find(folder):
    for image, match in matching(folder, r"(?i:(TB)[ .(]*\d+\)?|others ?\(\d+\))\.(?i:jpe?g|png)", deep=True):
        yield Entry(image, LABELS[bool(match[1])], image.stem)


LAYOUT = Layout(find, LABELS, "It must hold TB.1002.jpg and so on, and others (1).jpg and so on, at any depth.")
