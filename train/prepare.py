"""Turn radiographs and labels into the columns that training reads.

    python -m train.prepare LAYOUT RAW_DIR [OUT_DIR]     a public data set's own folders, see train/data/layouts
    python -m train.prepare nih_expert_labels RAW_DIR    what radiologists said of NIH's images, see that layout
    python -m train.prepare table CSV RAW_DIR OUT_DIR    one's own: a table and the files it names, DICOM among them

Written to OUT_DIR, or where recipes look for it (data/...): one Parquet file for each split, as the Hub stores them, so
that `load_dataset("OUT_DIR")` works and a recipe can name the folder. Columns: `image`, `mask` (lungs, null where there
is none), `label` or `findings` or one for each finding, `patient_id`, `file_name`. Images keep their files' bytes;
DICOM becomes PNG, and so does what --side makes smaller. Masks become PNG, 0 and 255, in the geometry of their image.
README.md beside them is the data set's card. With --push-to-hub OWNER/NAME what was written is then published there.
"""

import sys
from dataclasses import replace
from pathlib import Path

from train.data.card import data_card
from train.data.layouts import LAYOUTS
from train.data.layouts.nih_expert_labels import write_expert_labels
from train.data.layouts.table import table_layout
from train.data.sources import known_sources
from train.data.writing import write_split
from train.engine.arguments import command_line
from train.publish.hub import PushError, check_name, publish


def main(arguments=None):
    arguments = parse(arguments)
    try:
        if arguments.layout == "nih_expert_labels":
            return write_expert_labels(arguments.raw, arguments.output / "labels.parquet")
        if arguments.push_to_hub:
            check_may_publish(arguments.layout, arguments.push_to_hub, arguments.private)
        layout = LAYOUTS.get(arguments.layout) or table_layout(
            arguments.table, arguments.path, arguments.patient, arguments.labels
        )
        layout = replace(layout, side=arguments.side or layout.side)
        files = prepare(arguments.layout, arguments.raw, arguments.output, arguments.push_to_hub, layout)
        if arguments.push_to_hub:
            publish(files, arguments.push_to_hub, "dataset", arguments.private, dry_run=arguments.dry_run)
    except (FileNotFoundError, PushError, ValueError) as error:
        sys.exit(str(error))


def parse(arguments):
    parser = command_line(__doc__)
    layouts = parser.add_subparsers(dest="layout", required=True, metavar="LAYOUT")
    for name in (*LAYOUTS, "table"):
        of_layout = layouts.add_parser(name)
        if name == "table":
            of_layout.add_argument("table", type=Path, metavar="CSV", help="or TSV, Excel, Parquet: a row an image")
            of_layout.add_argument("--path", metavar="COLUMN", help="of the files' names; guessed if not given")
            of_layout.add_argument("--patient", metavar="COLUMN", help="of the patients; guessed if not given")
            of_layout.add_argument("--labels", nargs="+", default=(), metavar="COLUMN", help="guessed if not given")
        of_layout.add_argument("raw", type=Path, metavar="RAW_DIR", help="the radiographs, as unpacked")
        if name == "table":
            of_layout.add_argument("output", type=Path, metavar="OUT_DIR")
        else:
            usual = Path("data") / known_sources()[name]["dataset"]
            of_layout.add_argument("output", type=Path, nargs="?", default=usual, metavar="OUT_DIR", help=str(usual))
        of_layout.add_argument("--side", type=int, help="make the longer side of the images smaller to that, pixels")
        of_layout.add_argument("--push-to-hub", metavar="OWNER/NAME", help="publish it there; made if it is not there")
        of_layout.add_argument("--private", action="store_true", help="if it is made: for the owner alone to see")
        of_layout.add_argument("--dry-run", action="store_true", help="with --push-to-hub: list what would be sent")
    labels = layouts.add_parser("nih_expert_labels")
    labels.add_argument("raw", type=Path, metavar="RAW_DIR", help="the published tables, as unpacked")
    labels.add_argument("output", type=Path, nargs="?", default=Path("data") / "nih-expert-labels", metavar="OUT_DIR")
    return parser.parse_args(arguments)


def check_may_publish(name, repo_id, private):
    """Before hours of work: that there can be such a repository, and that the data set's terms allow it.

    Raises:
        PushError: they don't.
    """
    check_name(repo_id)
    source = known_sources().get(name, OWN)
    if not (private or source["redistributable"]):
        raise PushError(
            f"{source['title']}: its terms ({source['licence']}) do not let others publish copies. "
            "Add --private to keep one on the Hub for yourself."
        )


def prepare(name, raw, output, place=None, layout=None):
    """Write a data set's Parquet files and card, and say what is in them.

    Args:
        name: of the layout.
        raw: `Path` of the data set as unpacked.
        output: `Path` of the folder to write to.
        place: id on the Hub where it will be; it stays in the folder if None.
        layout: `Layout`; that of the name if None.

    Returns:
        {file name: `Path`} of what was written.

    Raises:
        FileNotFoundError: no radiograph that can be read is there; the message says what the layout expects.
    """
    layout = layout or LAYOUTS[name]
    entries = list(layout.find(raw))
    files, splits = {}, {}
    for split in dict.fromkeys(entry.split for entry in entries):
        of_split = [entry for entry in entries if entry.split == split]
        path = output / f"{split}-00000-of-00001.parquet"
        if counts := write_split(of_split, layout, path):
            files[path.name], splits[split] = path, counts
    if not files:
        raise FileNotFoundError(f"Nothing found in {raw}. {layout.expects}")
    source = known_sources().get(name) or OWN | {"title": output.resolve().name}
    card = output / "README.md"
    card.write_text(data_card(name, source, layout, splits, place or output), encoding="utf-8")
    return files | {card.name: card}


OWN = {  # what a card says of one's own data
    "title": "Own data",
    "about": "Radiographs and labels of one's own table.",
    "citation": "not stated",
    "licence": "not stated",
    "hub_licence": "other",
    "link": "",
    "redistributable": False,
}


if __name__ == "__main__":
    main()
