"""The card of a prepared data set: what is in it, where it comes from, and who may have it."""

from huggingface_hub import DatasetCardData

from train.data.sources import known_sources
from train.io import markdown_table

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
COLUMNS = """| column | |
| --- | --- |
| `image` | the radiograph: its file's own bytes |
| `mask` | its lungs: a PNG, 255 in the lungs, in the geometry of the image; null where there is none |
{labels}
| `patient_id` | what its patient is called: split by this, not by image |
| `file_name` | of the image, where it was published |"""


def data_card(name, source, layout, splits, place="FOLDER_OR_ID"):
    """Text of README.md.

    Args:
        name: of the layout.
        source: of sources.yaml.
        layout: `Layout`.
        splits: {split: counts of `rows`, `patients`, `masks` and of each label}.
        place: what `load_dataset` is to be given.
    """
    labels = layout.labels
    rows = sum(counts["rows"] for counts in splits.values())
    masks = sum(counts["masks"] for counts in splits.values())
    front = DatasetCardData(
        license=source["hub_licence"],
        license_name=f"{name}-terms" if source["hub_licence"] == "other" else None,
        license_link=source["link"] or None if source["hub_licence"] == "other" else None,
        pretty_name=source["title"],
        task_categories=["image-classification"] + ["image-segmentation"] * bool(masks),
        size_categories=next((size for limit, size in SIZES.items() if rows < limit), "n>1M"),
        tags=["chest-x-ray", "radiology", "medical"],
    )
    titles = ["split", "radiographs", "patients", "with lungs", *labels]
    table = [
        [split, *[counts[what] for what in ("rows", "patients", "masks", *labels)]] for split, counts in splits.items()
    ]
    return "\n".join(
        [
            "---",
            front.to_yaml(),
            "---",
            "",
            f"# {source['title']}",
            "",
            f"{source['about']} Radiographs are as they were published"
            + (f", made smaller to {layout.side} px where they were larger" if layout.side else "")
            + "; their layout is new. For research and education.",
            "",
            *markdown_table(titles, table),
            "",
            COLUMNS.format(labels=label_rows(layout)),
            *[f"| `{name}` | of the patient, null where it is not known |" for name in layout.about],
            "",
            "```python",
            "from datasets import load_dataset",
            "",
            f'data = load_dataset("{place}")',
            "```",
            "",
            *[f"Published first at {source['link']}; made from that by LungFusion's `python -m train.prepare {name}`."]
            * bool(source["link"]),
            "",
            f"Cite: {source['citation']}",
            "",
            f"Licence: {source['licence']}.",
            "",
        ]
    )


def label_rows(layout):
    """The rows of the table that say how labels are stored."""
    names = ", ".join(f"`{label}`" for label in layout.labels)
    if layout.column == "each":
        return f"| {names} | 1 where it is present, 0 where absent, null where unknown |"
    return {"label": f"| `label` | one of {names} |", "findings": f"| `findings` | a list out of {names} |"}[
        layout.column
    ]


def data_sets_table(layouts):
    """Lines of a table in Markdown: each data set that has a layout, its terms, and the command that makes its folder.

    layouts: names.
    """
    known = known_sources()
    rows = [
        [
            f"[{known[name]['title']}]({known[name]['link']})",
            known[name]["licence"],
            command(name, known[name]["dataset"]),
        ]
        for name in layouts
    ]
    readers = known["nih"]["readers"]
    rows.append(["What radiologists said of NIH's images", "see there", command("nih_expert_labels", readers["table"])])
    return markdown_table(["data set", "licence", "command, and the folder it makes"], rows)


def command(name, dataset):
    return f"`python -m train.prepare {name} RAW_DIR` → `data/{dataset}`"
