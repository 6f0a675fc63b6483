"""Montgomery County, adults, tuberculosis, one mask for each lung (Jaeger et al. 2014; Candemir et al. 2014)."""

from train.data.layouts.layout import Entry, Layout, existing, matching

LABELS = ("normal", "tuberculosis")


def find(folder):
    for image, match in matching(folder / "CXR_png", r"(MCUCXR_\d{4})_([01])\.png"):
        masks = existing(*(folder / "ManualMask" / f"{side}Mask" / image.name for side in ("left", "right")))
        yield Entry(image, LABELS[int(match[2])], match[1], masks)


LAYOUT = Layout(
    find,
    LABELS,
    "It must hold CXR_png/MCUCXR_0001_0.png and so on, and may hold the same names in ManualMask/leftMask and "
    "ManualMask/rightMask.",
)
