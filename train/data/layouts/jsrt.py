"""Japanese Society of Radiological Technology, lung nodules (Shiraishi et al. 2000).

The masks are the SCR data set (van Ginneken et al. 2006). Images and masks may lie at any depth. Radiographs without a
nodule are labelled `normal`: what else they may show was not recorded.
"""

import numpy as np

from train.data.layouts.layout import Entry, Layout, matching, png

LABELS = {"N": "normal", "L": "nodule"}  # JPCNN001, JPCLN001
RAW_SIDE, RAW_WHITE = 2048, 4095  # pixels; 12 bits


def find(folder):
    left, right = (
        {path.stem: path for path in folder.rglob(f"fold[12]/masks/{side} lung/*.gif")} for side in ("left", "right")
    )
    images = {path.stem: path for path, _ in matching(folder, r"JPC[LN]N\d{3}\.(?i:img|png|tiff?)", deep=True)}
    for name, image in images.items():
        masks = (left[name], right[name]) if name in left and name in right else ()
        convert = raw_to_png if image.suffix.lower() == ".img" else None
        yield Entry(image, LABELS[name[3]], name, masks, convert=convert)


def raw_to_png(path):
    """A raw radiograph → bytes of a 16-bit PNG with values 0 … 4095, bone white.

    The files have no header: 2048 × 2048 big-endian 16-bit integers of which 12 bits are used, bone dark.

    Raises:
        ValueError: the file has another size, or larger values.
    """
    values = np.fromfile(path, ">u2")
    if values.size != RAW_SIDE**2 or values.max() > RAW_WHITE:
        raise ValueError(f"{path.name}: not the 2048 × 2048 big-endian 16-bit integers below 4096 of JSRT.")
    return png((RAW_WHITE - values).astype(np.uint16).reshape(RAW_SIDE, RAW_SIDE))


LAYOUT = Layout(
    find,
    tuple(LABELS.values()),
    "It must hold JPCLN001.IMG, JPCNN001.IMG and so on (or PNG or TIFF), and may hold "
    "fold1/masks/left lung/JPCLN001.gif, the same in right lung, and fold2.",
)
