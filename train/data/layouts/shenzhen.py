"""Shenzhen No. 3 Hospital, adults, tuberculosis (Jaeger et al. 2014); masks of a part (Stirenko et al. 2018)."""

from train.data.layouts.layout import Entry, Layout, existing, matching

LABELS = ("normal", "tuberculosis")


def find(folder):
    for image, match in matching(folder / "CXR_png", r"(CHNCXR_\d{4})_([01])\.png"):
        masks = existing(folder / "mask" / f"{image.stem}_mask.png")
        yield Entry(image, LABELS[int(match[2])], match[1], masks)


LAYOUT = Layout(
    find, LABELS, "It must hold CXR_png/CHNCXR_0001_0.png and so on, and may hold mask/CHNCXR_0001_0_mask.png."
)
