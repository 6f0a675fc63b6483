"""Turn a public data set's own folders into the column contract: python -m train.prepare LAYOUT RAW_DIR OUT_DIR

With --push-to-hub OWNER/NAME what was written is then published there.

Written to OUT_DIR: one Parquet file for each split, as the Hub stores them, so that `load_dataset("OUT_DIR")` works and
a recipe can name the folder. Columns: `image`, `mask` (lungs, null where there is none), `label`, `patient_id`,
`file_name`. Images keep their files' bytes; masks become PNG, 0 and 255, in the geometry of their image. README.md
beside them is the data set's card.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Value
from datasets import Image as ImageFeature
from PIL import Image
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from train.data.card import data_card
from train.data.sources import known_sources
from train.engine.arguments import command_line
from train.publish.hub import PushError, check_name, publish

ROWS_PER_GROUP = 25  # rows held in memory at a time, and of one Parquet row group
RAW_JSRT_SIDE, RAW_JSRT_WHITE = 2048, 4095  # pixels; 12 bits


@dataclass(frozen=True)
class Entry:
    """One radiograph of a layout, its files not yet read.

    image: its file.
    label: one of the layout's labels.
    patient_id: what its patient is called.
    masks: files of its lungs, which are joined; empty where there are none.
    split: `train` or `test`.
    """

    image: Path
    label: str
    patient_id: str
    masks: tuple[Path, ...] = ()
    split: str = "train"


@dataclass(frozen=True)
class Layout:
    """How a data set is published.

    find: function of its folder → iterator of `Entry`; reads no image.
    labels: its labels, in the order of the ClassLabel.
    expects: a sentence that says what the folder must hold.
    """

    find: Callable
    labels: tuple[str, ...]
    expects: str


def main():
    parser = command_line(__doc__)
    parser.add_argument("layout", choices=LAYOUTS)
    parser.add_argument("raw", type=Path, metavar="RAW_DIR", help="the data set as unpacked")
    parser.add_argument("output", type=Path, metavar="OUT_DIR")
    parser.add_argument("--push-to-hub", metavar="OWNER/NAME", help="publish it there; made if it is not there")
    parser.add_argument("--private", action="store_true", help="if it is made: for the owner alone to see")
    parser.add_argument("--dry-run", action="store_true", help="with --push-to-hub: list what would be sent")
    arguments = parser.parse_args()
    try:
        if arguments.push_to_hub:
            check_may_publish(arguments.layout, arguments.push_to_hub, arguments.private)
        files = prepare(arguments.layout, arguments.raw, arguments.output, arguments.push_to_hub)
        if arguments.push_to_hub:
            publish(files, arguments.push_to_hub, "dataset", arguments.private, dry_run=arguments.dry_run)
    except (FileNotFoundError, PushError) as error:
        sys.exit(str(error))


def check_may_publish(name, repo_id, private):
    """Before hours of work: that there can be such a repository, and that the data set's terms allow it.

    Raises:
        PushError: they don't.
    """
    check_name(repo_id)
    source = known_sources()[name]
    if not (private or source["redistributable"]):
        raise PushError(
            f"{source['title']}: its terms ({source['licence']}) do not let others publish copies. "
            "Add --private to keep one on the Hub for yourself."
        )


def prepare(name, raw, output, place=None):
    """Write a data set's Parquet files and card, and say what is in them.

    Args:
        name: of the layout.
        raw: `Path` of the data set as unpacked.
        output: `Path` of the folder to write to.
        place: id on the Hub where it will be; it stays in the folder if None.

    Returns:
        {file name: `Path`} of what was written.

    Raises:
        FileNotFoundError: no radiograph that can be read is there; the message says what the layout expects.
    """
    layout = LAYOUTS[name]
    entries = list(layout.find(raw))
    files, splits = {}, {}
    for split in dict.fromkeys(entry.split for entry in entries):
        of_split = [entry for entry in entries if entry.split == split]
        path = output / f"{split}-00000-of-00001.parquet"
        if counts := write_split(of_split, layout.labels, path):
            files[path.name], splits[split] = path, counts
    if not files:
        raise FileNotFoundError(f"Nothing found in {raw}. {layout.expects}")
    card = output / "README.md"
    card.write_text(data_card(name, known_sources()[name], layout.labels, splits, place or output), encoding="utf-8")
    return files | {card.name: card}


def write_split(entries, labels, path):
    """Write one split row by row; a radiograph that can't be read is reported and left out.

    Returns:
        how many `rows`, `patients`, `masks` and of each label there are; None, and no file is written, with no rows.
    """
    features = Features(
        image=ImageFeature(),
        mask=ImageFeature(),
        label=ClassLabel(names=list(labels)),
        patient_id=Value("string"),
        file_name=Value("string"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    counts, patients = Counter(), set()
    with pq.ParquetWriter(unfinished, features.arrow_schema) as writer:
        for group in groups(readable(entries, labels)):
            writer.write_table(pa.Table.from_pylist(group, features.arrow_schema))
            counts.update(labels[row["label"]] for row in group)
            counts["rows"] += len(group)
            counts["masks"] += sum(row["mask"] is not None for row in group)
            patients.update(row["patient_id"] for row in group)
    rows, counts["patients"] = counts["rows"], len(patients)
    if not rows:
        unfinished.unlink()
        return None
    unfinished.replace(path)
    by_label = ", ".join(f"{counts[label]} {label}" for label in labels)
    print(f"{path}: {rows} radiographs ({by_label}), {counts['masks']} with lungs, {len(entries) - rows} left out.")
    return counts


def groups(rows):
    """Iterator of rows → iterator of lists of `ROWS_PER_GROUP` rows, the last one perhaps shorter."""
    group = []
    for row in rows:
        group.append(row)
        if len(group) == ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group


def readable(entries, labels):
    """Rows of the entries that can be read; says of each other one why it can't."""
    for entry in tqdm(entries, desc="Reading radiographs"):
        try:
            yield read_row(entry, labels)
        except (OSError, ValueError) as error:
            tqdm.write(f"Left out: {error}", file=sys.stderr)


def read_row(entry, labels):
    """Read one radiograph and its lungs.

    Raises:
        ValueError: one of the files can't be decoded; the message names it.
        OSError: one of them can't be opened.
    """
    file_name = entry.image.name
    raw = entry.image.suffix.lower() == ".img"
    image = raw_jsrt_to_png(entry.image) if raw else entry.image.read_bytes()
    height, width = load_radiograph(named(image, file_name)).pixels.shape
    mask = join_masks(entry.masks, (width, height)) if entry.masks else None
    return {
        "image": {"bytes": image, "path": entry.image.with_suffix(".png").name if raw else file_name},
        "mask": mask and {"bytes": mask, "path": f"{entry.image.stem}_mask.png"},
        "label": labels.index(entry.label),
        "patient_id": entry.patient_id,
        "file_name": file_name,
    }


def named(content, name):
    """Bytes as a file with a name, which an error message then gives."""
    file = BytesIO(content)
    file.name = name
    return file


def raw_jsrt_to_png(path):
    """A raw radiograph of JSRT → bytes of a 16-bit PNG with values 0 … 4095, bone white.

    The files have no header: 2048 × 2048 big-endian 16-bit integers of which 12 bits are used, bone dark.

    Raises:
        ValueError: the file has another size, or larger values.
    """
    values = np.fromfile(path, ">u2")
    if values.size != RAW_JSRT_SIDE**2 or values.max() > RAW_JSRT_WHITE:
        raise ValueError(f"{path.name}: not the 2048 × 2048 big-endian 16-bit integers below 4096 of JSRT.")
    return png((RAW_JSRT_WHITE - values).astype(np.uint16).reshape(RAW_JSRT_SIDE, RAW_JSRT_SIDE))


def join_masks(paths, size):
    """Masks of a radiograph, one or one for each lung → bytes of one PNG, 0 and 255.

    Args:
        paths: files that Pillow reads; whatever is brighter than half the brightest pixel is lung.
        size: (width, height) of the radiograph; the mask is stretched to it, nearest pixel.

    Raises:
        ValueError: a mask can't be decoded, or there is no lung in it.
    """
    joined = np.zeros(size[::-1], bool)
    for path in paths:
        try:
            with Image.open(path) as image:
                mask = np.asarray(image.convert("L").resize(size, Image.Resampling.NEAREST))
        except Exception as error:  # decoders raise nearly anything over a broken file
            raise ValueError(f"{path.name}: the mask can't be decoded.") from error
        if not mask.any():
            raise ValueError(f"{path.name}: the mask is empty.")
        joined |= mask > mask.max() / 2
    return png(joined.astype(np.uint8) * 255)


def png(pixels):
    """(H, W) uint8 or uint16 → bytes of a PNG of that depth."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


# The layouts

SIDES = ("left", "right")
TUBERCULOSIS = ("normal", "tuberculosis")
JSRT_LABELS = {"N": "normal", "L": "nodule"}  # JPCNN001, JPCLN001
COVID_LABELS = {
    "Normal": "normal",
    "COVID": "covid",
    "Lung_Opacity": "lung_opacity",
    "Viral Pneumonia": "viral_pneumonia",
}
KERMANY_LABELS = {None: "normal", "bacteria": "bacterial_pneumonia", "virus": "viral_pneumonia"}


def shenzhen(folder):
    """Shenzhen No. 3 Hospital, adults, tuberculosis (Jaeger et al. 2014); masks of a part (Stirenko et al. 2018)."""
    for image, match in matching(folder / "CXR_png", r"(CHNCXR_\d{4})_([01])\.png"):
        masks = existing(folder / "mask" / f"{image.stem}_mask.png")
        yield Entry(image, TUBERCULOSIS[int(match[2])], match[1], masks)


def montgomery(folder):
    """Montgomery County, adults, tuberculosis, one mask for each lung (Jaeger et al. 2014; Candemir et al. 2014)."""
    for image, match in matching(folder / "CXR_png", r"(MCUCXR_\d{4})_([01])\.png"):
        masks = existing(*(folder / "ManualMask" / f"{side}Mask" / image.name for side in SIDES))
        yield Entry(image, TUBERCULOSIS[int(match[2])], match[1], masks)


def jsrt(folder):
    """Japanese Society of Radiological Technology, lung nodules (Shiraishi et al. 2000).

    The masks are the SCR data set (van Ginneken et al. 2006). Images and masks may lie at any depth. Radiographs
    without a nodule are labelled `normal`: what else they may show was not recorded.
    """
    left, right = ({path.stem: path for path in folder.rglob(f"fold[12]/masks/{side} lung/*.gif")} for side in SIDES)
    images = {path.stem: path for path, _ in matching(folder, r"JPC[LN]N\d{3}\.(?i:img|png|tiff?)", deep=True)}
    for name, image in images.items():
        masks = (left[name], right[name]) if name in left and name in right else ()
        yield Entry(image, JSRT_LABELS[name[3]], name, masks)


def covid_radiography(folder):
    """COVID-19 Radiography Database, lung masks included (Chowdhury et al. 2020; Rahman et al. 2021).

    Patients were not published, so each image stands for one: a split by patient is a split by image here. The viral
    pneumonias are children of Kermany's set, most others adults of other sources: figures on it measure the source too.
    """
    for kind, label in COVID_LABELS.items():
        for image, _ in matching(folder / kind / "images", rf"{kind}-\d+\.png"):
            yield Entry(image, label, image.stem, existing(folder / kind / "masks" / image.name))


def kermany(folder):
    """Guangzhou, children of 1 to 5 years, pneumonia (Kermany et al. 2018).

    A patient is `personN`, bacterial and viral images together, or the IM number. The 16 images of `val`, which some
    copies set aside, too few to choose a model by, go back to `train`.
    """
    for part, split in (("train", "train"), ("val", "train"), ("test", "test")):
        for kind in ("NORMAL", "PNEUMONIA"):
            pattern = r"((?:NORMAL2-)?IM-\d+)(?:-\d+)+\.jpe?g|(person\d+)_(bacteria|virus)(?:_\d+)+\.jpe?g"
            for image, match in matching(folder / part / kind, pattern):
                yield Entry(image, KERMANY_LABELS[match[3]], match[1] or match[2], split=split)


def matching(folder, pattern, deep=False):
    """(path, match) of each file in a folder, or also below it, whose name is as the pattern says, by name."""
    paths = folder.rglob("*") if deep else folder.glob("*")
    matches = ((path, re.fullmatch(pattern, path.name)) for path in sorted(paths))
    return [(path, match) for path, match in matches if match]


def existing(*paths):
    """The paths, if all of them exist, else ()."""
    return paths if all(path.exists() for path in paths) else ()


LAYOUTS = {
    "shenzhen": Layout(
        shenzhen,
        TUBERCULOSIS,
        "It must hold CXR_png/CHNCXR_0001_0.png and so on, and may hold mask/CHNCXR_0001_0_mask.png.",
    ),
    "montgomery": Layout(
        montgomery,
        TUBERCULOSIS,
        "It must hold CXR_png/MCUCXR_0001_0.png and so on, and may hold the same names in ManualMask/leftMask and "
        "ManualMask/rightMask.",
    ),
    "jsrt": Layout(
        jsrt,
        tuple(JSRT_LABELS.values()),
        "It must hold JPCLN001.IMG, JPCNN001.IMG and so on (or PNG or TIFF), and may hold "
        "fold1/masks/left lung/JPCLN001.gif, the same in right lung, and fold2.",
    ),
    "covid_radiography": Layout(
        covid_radiography,
        tuple(COVID_LABELS.values()),
        "It must hold COVID/images/COVID-1.png and so on, likewise Normal, Lung_Opacity and Viral Pneumonia, and "
        "may hold COVID/masks/COVID-1.png.",
    ),
    "kermany": Layout(
        kermany,
        tuple(KERMANY_LABELS.values()),
        "It must hold train/NORMAL/IM-0115-0001.jpeg, train/PNEUMONIA/person1_bacteria_1.jpeg and so on, and may hold "
        "the same in val and test.",
    ),
}


if __name__ == "__main__":
    main()
