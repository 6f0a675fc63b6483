"""The report of a run: figures and model card, made from its metrics alone. No number here is typed by hand."""

import json

import matplotlib
import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

matplotlib.use("agg")
MATRICES_IN_A_LINE = 5

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

NOT_TOLD = (
    "Not shown: learned, but the 95 % interval of its ROC AUC over all sources that label it reaches below 0.70, so "
    "users are not told of it."
)

DISTANCES = (
    "HD95 and ASSD: how far the drawn outline and the true one lie apart, the 95th percentile and the mean, as "
    "fractions of the image's width (the image's diagonal where no lungs are drawn)."
)

NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "pixel_accuracy": "pixel accuracy",
    "precision": "precision",
    "recall": "recall",
    "hd95_width": "HD95 / width",
    "assd_width": "ASSD / width",
    "auc": "ROC AUC",
    "average_precision": "average precision",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "brier": "Brier score",
    "ece": "ECE",
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


def metrics_tables(metrics):
    """Markdown tables: lungs, then findings, one row for each source."""
    lungs = {source: summary["lungs"] for source, summary in metrics.items() if "lungs" in summary}
    lines = []
    if lungs:
        names = [name for name in NAMES if name in next(iter(lungs.values()))]
        lines += table_head(["lungs", "images", *[NAMES[n] for n in names], "least Dice"])
        for source, figures in lungs.items():
            cells = [source, str(figures["images"]), *[cell(figures[n]) for n in names], f"{figures['least_dice']:.3f}"]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        if "hd95_width" in names:
            lines += [DISTANCES, ""]
    findings = [(s, f, v) for s, summary in metrics.items() for f, v in summary["findings"].items()]
    if findings:
        names = [name for name in NAMES if name in findings[0][2]]
        lines += table_head(["finding", "source", "images (with it)", "threshold", *[NAMES[n] for n in names]])
        for source, finding, figures in findings:
            count = f"{figures['images']} ({figures['positive']})"
            name = finding if figures["shown"] else f"{finding} (not shown)"
            cells = [name, source, count, f"{figures['threshold']:.3f}", *[cell(figures[n]) for n in names]]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        if not all(figures["shown"] for _, _, figures in findings):
            lines += [NOT_TOLD, ""]
    return lines


def table_head(titles):
    return [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]


def cell(figure):
    value, low, high = (round(number, 3) + 0.0 for number in (figure["value"], *figure["interval"]))  # no −0
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def write_figures(metrics, rows, history, output):
    """Draw what there is to draw; returns {file name: title}."""
    figures = {}
    if history:
        figures["history.png"] = "Training history"
        draw_history(history).savefig(output / "history.png", dpi=120)
    curves = [(s, f) for s, summary in metrics.items() for f in summary["findings"]]
    if curves:
        figures["curves.png"] = "ROC curves, precision and recall, reliability"
        draw_curves(curves, rows).savefig(output / "curves.png", dpi=120)
        figures["confusion.png"] = "Confusion matrices at the thresholds"
        draw_confusion(curves, rows, metrics).savefig(output / "confusion.png", dpi=120)
    if any("lungs" in summary for summary in metrics.values()):
        figures["dice.png"] = "Dice of each image"
        draw_dice(rows).savefig(output / "dice.png", dpi=120)
    return figures


def draw_history(history):
    epochs = [epoch["epoch"] for epoch in history]
    figure = Figure((9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [epoch["loss"] for epoch in history], "o-")
    left.set(xlabel="epoch", ylabel="training loss")
    for key in [k for k in history[0] if k not in ("epoch", "loss", "seconds")]:
        right.plot(epochs, [epoch[key] for epoch in history], "o-", label=NAMES.get(key, key))
    right.set(xlabel="epoch", ylabel="on validation patients")
    right.legend(fontsize=8)
    return figure


def draw_curves(curves, rows):
    """ROC, precision against recall, and reliability: one line for each finding and source."""
    figure = Figure((13, 4.2 + 0.2 * len(curves)), layout="constrained")
    roc, recall, reliability = figure.subplots(1, 3)
    for source, finding in curves:
        truth, probabilities = known(rows, source, finding)
        false_positive, true_positive, _ = roc_curve(truth, probabilities)
        roc.plot(false_positive, true_positive, label=f"{finding}, {source}: {truth.sum()} of {len(truth)} with it")
        precision, sensitivity, _ = precision_recall_curve(truth, probabilities)
        recall.plot(sensitivity, precision)
        observed, predicted = calibration_curve(truth, probabilities, n_bins=5, strategy="quantile")
        reliability.plot(predicted, observed, "o-")
    for axes, x, y in (
        (roc, "1 − specificity", "sensitivity"),
        (recall, "recall (sensitivity)", "precision (PPV)"),
        (reliability, "predicted probability", "observed frequency"),
    ):
        axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.01))
    for axes in (roc, reliability):
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def draw_confusion(curves, rows, metrics):
    """A confusion matrix at the threshold for each finding and source."""
    lines = -(-len(curves) // MATRICES_IN_A_LINE)
    figure = Figure((2.6 * MATRICES_IN_A_LINE, 2.7 * lines), layout="constrained")
    places = figure.subplots(lines, MATRICES_IN_A_LINE, squeeze=False).ravel()
    for axes in places[len(curves) :]:
        axes.set_axis_off()
    for axes, (source, finding) in zip(places, curves, strict=False):
        truth, probabilities = known(rows, source, finding)
        matrix = confusion_matrix(truth, probabilities >= metrics[source]["findings"][finding]["threshold"])
        axes.imshow(matrix / matrix.sum(1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(matrix):
            name = ("TN", "FP", "FN", "TP")[2 * row + column]
            share = matrix[row, column] / matrix[row].sum()
            axes.text(column, row, f"{name}\n{count}", ha="center", va="center", color="w" if share > 0.5 else "k")
        axes.set_title(f"{finding}\n{source}, n={len(truth)}", fontsize=9)
        axes.set(
            xticks=(0, 1), yticks=(0, 1), xticklabels=("not detected", "detected"), yticklabels=("without", "with")
        )
        axes.tick_params(labelsize=7)
    return figure


def known(rows, source, finding):
    """truth (N,) in {0, 1} and probabilities (N,) of a source's images of which the finding is known."""
    label, probability = f"label_{finding}", f"probability_{finding}"
    of_source = [r for r in rows if r["source"] == source and label in r and r[probability] is not None]
    return np.array([r[label] for r in of_source]), np.array([r[probability] for r in of_source])


def draw_dice(rows):
    figure = Figure((9, 3), layout="constrained")
    axes = figure.subplots()
    for source in dict.fromkeys(row["source"] for row in rows if "dice" in row):
        dice = sorted(row["dice"] for row in rows if row["source"] == source and "dice" in row)
        axes.plot(np.linspace(0, 1, len(dice)), dice, ".-", label=f"{source}, n={len(dice)}")
    axes.set(xlabel="share of the images", ylabel="Dice")
    axes.legend(fontsize=8)
    return figure
