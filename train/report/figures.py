"""The figures of a run as pictures: training history, curves, confusion matrices, the Dice of each image."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from train.report.tables import NAMES

matplotlib.use("agg")
MATRICES_IN_A_LINE = 5
FIGURES = {  # file name: title
    "history.png": "Training history",
    "curves.png": "ROC curves, precision and recall, reliability",
    "confusion.png": "Confusion matrices at the thresholds",
    "dice.png": "Dice of each image",
    "compare_findings/compare.png": "what each step of the method is worth",
}


def write_figures(metrics, rows, history, output):
    """Draw those of `FIGURES` for which there is something to draw: of findings those shown to users, if there are."""
    if len(history) > 1:
        draw_history(history).savefig(output / "history.png", dpi=120)
    curves = [(s, f, row["shown"]) for s, summary in metrics.items() for f, row in summary["findings"].items()]
    shown = [(source, finding) for source, finding, is_shown in curves if is_shown]
    curves = shown or [(source, finding) for source, finding, _ in curves]
    if curves:
        draw_curves(curves, rows).savefig(output / "curves.png", dpi=120)
        draw_confusion(curves, rows, metrics).savefig(output / "confusion.png", dpi=120)
    if any("lungs" in summary for summary in metrics.values()):
        draw_dice(rows).savefig(output / "dice.png", dpi=120)


def draw_history(history):
    epochs = [epoch["epoch"] for epoch in history]
    keys = [key for key in history[0] if key not in ("epoch", "loss", "seconds")]
    figure = Figure((9 + 2 * (len(keys) > 6), 2 + 0.2 * max(6, len(keys))), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [epoch["loss"] for epoch in history], "o-")
    left.set(xlabel="epoch", ylabel="training loss")
    for key in keys:
        right.plot(epochs, [epoch[key] for epoch in history], "o-", label=NAMES.get(key, key))
    right.set(xlabel="epoch", ylabel="on validation patients")
    if keys:
        figure.legend(loc="outside right center", fontsize=8)
    return figure


def draw_curves(curves, rows):
    """ROC, precision against recall, and reliability: one line for each finding and source."""
    figure = Figure((13, 4.2 + 0.2 * len(curves)), layout="constrained")
    roc, recall, reliability = figure.subplots(1, 3)
    for source, finding in curves:
        truth, probabilities = known(rows, source, finding)
        name = f"{finding}, {source}: {truth.sum():.0f} of {len(truth)} with it"
        first = (source, finding) == curves[0]
        RocCurveDisplay.from_predictions(truth, probabilities, ax=roc, name=name, plot_chance_level=first)
        PrecisionRecallDisplay.from_predictions(truth, probabilities, ax=recall)
        CalibrationDisplay.from_predictions(truth, probabilities, ax=reliability, n_bins=5, strategy="quantile")
    handles, labels = roc.get_legend_handles_labels()
    for axes, x, y in (
        (roc, "1 − specificity", "sensitivity"),
        (recall, "recall (sensitivity)", "precision (PPV)"),
        (reliability, "predicted probability", "observed frequency"),
    ):
        axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        if axes.get_legend():
            axes.get_legend().remove()  # one for all three, below
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
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
        detected = probabilities >= metrics[source]["findings"][finding]["threshold"]
        look = {"display_labels": ("without", "with"), "cmap": "Blues", "colorbar": False}
        ConfusionMatrixDisplay.from_predictions(truth, detected, ax=axes, **look)
        axes.set_title(f"{finding}\n{source}, n={len(truth)}", fontsize=9)
        axes.set(xlabel="answer", ylabel="truth", xticklabels=("not detected", "detected"))
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


def draw_changes(curves, finding):
    """Two rows of panels, ROC AUC and accuracy, a column for each change; a line and its 95 % band for each model.

    curves: "model, source" → as `train.scoring.curves.curves_of` returns.
    """
    changes = list(next(iter(curves.values())))
    figure = Figure((3 * len(changes), 6), layout="constrained")
    panels = figure.subplots(2, len(changes), sharey="row")
    for row, (score, title) in enumerate((("auc", "ROC AUC"), ("accuracy", "accuracy at the threshold"))):
        for axes, change in zip(panels[row], changes, strict=True):
            for name, of_model in curves.items():
                points = [(point["level"], point[score]) for point in of_model[change] if point[score]]
                axes.plot([level for level, _ in points], [one["value"] for _, one in points], "o-", label=name)
                known = [(level, *one["interval"]) for level, one in points if one["interval"]]
                if known:
                    axes.fill_between(*zip(*known, strict=True), alpha=0.15)
            axes.set(xlabel=change)
        panels[row][0].set(ylabel=title)
    panels[0][0].legend(fontsize=8)
    figure.suptitle(finding)
    return figure


def draw_variants(table):
    """One line for each variant: its ROC AUC in hospitals left out, at home, and tilted the most, with 95 % intervals.

    table: variant → figures, as compare.json has them.
    """
    columns = [(title, place) for title, place in PLACES.items() if any(of_place(row, place) for row in table.values())]
    figure = Figure((3 + 3.4 * len(columns), 1.2 + 0.26 * len(table)), layout="constrained")
    for axes, (title, place) in zip(
        figure.subplots(1, len(columns), sharey=True, squeeze=False)[0], columns, strict=True
    ):
        for line, row in enumerate(table.values()):
            auc = (of_place(row, place) or {}).get("auc")
            if auc and auc["interval"]:
                low, high = auc["interval"]
                axes.errorbar(
                    auc["value"], line, xerr=[[auc["value"] - low], [high - auc["value"]]], fmt="o", color="C0"
                )
        first = of_place(next(iter(table.values())), place)["auc"]["value"]
        axes.axvline(first, color="grey", linewidth=1, linestyle="dotted")
        axes.set(title=title, xlabel="ROC AUC")
        axes.grid(axis="y", alpha=0.3)
    axes.set_yticks(range(len(table)), [name.replace("_", " ") for name in table])
    axes.invert_yaxis()
    return figure


PLACES = {  # of `draw_variants`: title → where compare.json has the figures
    "hospitals left out": ("sources", "all left out"),
    "left out, tilted the most": ("tilted", -1),
    "home": ("sources", "home"),
}


def of_place(row, place):
    """A variant's figures in one of `PLACES`; None where there are none."""
    part, source = place
    figures = row.get(part, {})
    if source == -1:
        return list(figures.values())[-1] if figures else None
    return figures.get(source)
