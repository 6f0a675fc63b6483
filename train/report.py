"""The model card of a run, made from its metrics alone. No number here is typed by hand."""

import json

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from train.figures import write_figures
from train.tables import metrics_tables

NOT_SHOWN = (
    "description",
    "data_root",
    "pretrained",
    "segmenter",
    "teacher",
)  # of the recipe: said elsewhere, or paths

USE = """```python
from lungfusion import LungFusionPipeline

pipe = LungFusionPipeline.from_pretrained("{place}")
analysis = pipe("xray.png")
```"""

REPLACED = (
    "Branches, fusion and classifier were trained on the masks of an earlier segmenter. Thresholds, temperatures and "
    "all figures here are with the segmenter this checkpoint holds."
)

LIMITS = """- For research and education. Not a medical device: do not base care on it.
- Frontal chest radiographs only. Each finding was learned within one source, from its patients alone (see the table);
  elsewhere expect worse, and measure before you rely on it.
- Thresholds, temperatures and the choice of the epoch were made on the validation patients scored here, so these
  figures are somewhat better than those on patients nobody has looked at.
- A lung mask leaves out lung behind the heart and the diaphragm."""

TABLES = {
    "robustness.md": (
        "Altered images",
        "Lungs of the same validation patients, drawn on images made to look like another scanner's (a command of its "
        "own does it again: `python -m train.robustness`). `altered` is the mean of all alterations of each image.",
    ),
    "mask_quality.md": (
        "Mask quality",
        "The Dice that the model expects of each mask it draws, against the true one: on validation images as they "
        "are, altered, and harmed so that the masks go wrong (turned, shrunk, hidden in part and more; "
        "`python -m train.quality`). Its two numbers were fitted on these images; they do not change the ranking.",
    ),
}


def write_card(recipe, metrics, rows, pipeline, output):
    """Write figures and README.md, the model card, into a run's folder."""
    history = json.loads((output / "history.json").read_text())
    figures = write_figures(metrics, rows, history, output)
    tables = {name: (output / name).read_text() for name in TABLES if (output / name).exists()}
    counts = json.loads((output / "counts.json").read_text()) if (output / "counts.json").exists() else {}
    card = ModelCard(card_text(recipe, metrics, history, pipeline.model, figures, tables, counts))
    card.save(output / "README.md")


def card_text(recipe, metrics, history, model, figures, tables, counts):
    best = max(history, key=lambda epoch: epoch[chosen_by(history)])
    lines = [
        "---",
        card_data(recipe, metrics).to_yaml(),
        "---",
        "",
        f"# {recipe['name']}",
        "",
        recipe["description"].strip(),
        "",
        "For research and education, not a medical device.",
        "",
        "## Use",
        "",
        USE.format(place="FOLDER_OR_ID"),
        "",
        "## Figures",
        "",
        "On patients not trained on, one row for each source. 95 % intervals by bootstrap over patients.",
        "",
        *metrics_tables(metrics),
        *[f"![{title}]({name})" for name, title in figures.items()],
        "",
        *[line for name, table in tables.items() for line in section(*TABLES[name], table)],
        "## Training",
        "",
        f"{len(history)} epochs; kept: epoch {best['epoch']}, chosen by {chosen_by(history)} on validation patients. "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters.",
        "",
        *[f"Radiographs, {split}: {count_words(of_split)}." for split, of_split in counts.items()],
        "",
        *([REPLACED, ""] if recipe.get("segmenter_replaced") else []),
        *[f"- {source['citation']} Licence: {source['licence']}." for source in recipe["sources"].values()],
        *[
            f"- Without masks, drawn by a teacher, {source['images']} radiographs at most: {source['citation']} "
            f"Licence: {source['licence']}."
            for source in recipe.get("unlabelled", {}).values()
        ],
        "",
        "The whole recipe:",
        "",
        "```json",
        json.dumps({k: v for k, v in recipe.items() if k not in NOT_SHOWN}),
        "```",
        "",
        "## Limits",
        "",
        LIMITS,
    ]
    return "\n".join(lines) + "\n"


def count_words(of_split):
    return ", ".join(f"{count} of {source}" for source, count in of_split.items())


def section(title, words, table):
    return [f"## {title}", "", words, "", *table.splitlines(), ""]


def chosen_by(history):
    """The figure that chose the epoch: the first one after epoch and loss."""
    return next(key for key in history[0] if key not in ("epoch", "loss"))


def card_data(recipe, metrics):
    results = []
    for source, summary in metrics.items():
        data = {
            "dataset_name": recipe["sources"][source]["title"],
            "dataset_type": recipe["sources"][source]["dataset"],
        }
        data["dataset_split"] = "validation patients"
        for name, figures in summary["findings"].items():
            auc = {"metric_type": "roc_auc", "metric_name": f"ROC AUC, {name}", "metric_value": figures["auc"]["value"]}
            results.append(EvalResult(task_type="image-classification", **data, **auc))
        if "lungs" in summary:
            dice = {"metric_type": "dice", "metric_name": "Dice", "metric_value": summary["lungs"]["dice"]["value"]}
            results.append(EvalResult(task_type="image-segmentation", **data, **dice))
    return ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="image-classification" if recipe["task"] == "classification" else "image-segmentation",
        tags=["chest-x-ray", "radiology", "medical"],
        model_name=recipe["name"],
        eval_results=results,
    )
