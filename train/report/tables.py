"""Figures as tables in Markdown, and as JSON beside them, which says of which weights they are."""

from train.io import cell, markdown_table
from train.scoring.metrics import PREVALENCES

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
    "ece_if_calibrated": "ECE if calibrated",
}
HEALTHY = "Healthy: people with none of the findings that are known of them, pneumonia and tuberculosis among these."
NOT_TOLD = (
    "Not shown: learned, but the 95 % interval of its ROC AUC over all sources that label it reaches below 0.70, so "
    "users are not told of it."
)
OFF_SOURCE = (
    "Sources that know a finding in one way only. Where none of the images has it, the share detected is that of false "
    "alarms; where all have it, of those found. 95 % intervals after Wilson."
)
IF_CALIBRATED = (
    "ECE if calibrated: how large chance alone would make the ECE, on average, on so many images if every probability "
    "were exactly right."
)
DISTANCES = (
    "HD95 and ASSD: how far the drawn outline and the true one lie apart, the 95th percentile and the mean, as "
    "fractions of the image's width (the image's diagonal where no lungs are drawn)."
)


def metrics_tables(metrics, shown_alone=False):
    """Markdown tables of metrics.json: lungs, then findings, or those shown to users alone; one row for each source.

    Sources that know a finding in one way only have a table of their own.
    """
    lungs = {source: summary["lungs"] for source, summary in metrics.items() if "lungs" in summary}
    lines = []
    if lungs:
        names = [name for name in NAMES if name in next(iter(lungs.values()))]
        rows = [
            [source, figures["images"], *[cell(figures[n]) for n in names], f"{figures['least_dice']:.3f}"]
            for source, figures in lungs.items()
        ]
        lines += [*markdown_table(["lungs", "images", *[NAMES[n] for n in names], "least Dice"], rows), ""]
        if "hd95_width" in names:
            lines += [DISTANCES, ""]
    findings = [(s, f, v) for s, summary in metrics.items() for f, v in summary["findings"].items()]
    if shown_alone:
        findings = [row for row in findings if row[2]["shown"]]
    if findings:
        names = [name for name in NAMES if name in findings[0][2]]
        titles = ["finding", "source", "images (with it)", "threshold", *[NAMES[n] for n in names]]
        rows = []
        for source, finding, figures in findings:
            name = finding if figures["shown"] else f"{finding} (not shown)"
            count = f"{figures['images']} ({figures['positive']})"
            rows.append([name, source, count, f"{figures['threshold']:.3f}", *[cell(figures[n]) for n in names]])
        lines += [*markdown_table(titles, rows), ""]
        if "ece_if_calibrated" in names:
            lines += [IF_CALIBRATED, ""]
        lines += healthy_tables(metrics, findings)
        refused = [f"{summary['refused']} of {summary['images']} of {source}" for source, summary in metrics.items()]
        lines += [f"Refused, and in no figure of the findings: {', '.join(refused)}.", ""]
        if f"ppv_{PREVALENCES[0]}" in findings[0][2]:
            lines += [*predictive_values_table(findings), ""]
        if not all(figures["shown"] for _, _, figures in findings):
            lines += [NOT_TOLD, ""]
    off_source = [(s, f, v) for s, summary in metrics.items() for f, v in summary.get("off_source", {}).items()]
    off_source = [row for row in off_source if row[2]["shown"] or not shown_alone]
    if off_source:
        lines += [*off_source_table(off_source), "", OFF_SOURCE, ""]
    unreadable = {source: summary.get("unreadable", 0) for source, summary in metrics.items()}
    if any(unreadable.values()):
        named = ", ".join(f"{count} of {source}" for source, count in unreadable.items() if count)
        lines += [f"Radiographs that could not be read, and are in no figure: {named}.", ""]
    return lines


def healthy_tables(metrics, findings):
    """Markdown: in how many healthy people anything is detected, and the ill against the healthy alone."""
    lines = []
    called = [
        [source, summary["healthy"]["images"], cell(summary["healthy"]["detected"])]
        for source, summary in metrics.items()
        if "healthy" in summary
    ]
    if called:
        lines += [*markdown_table(["healthy people of", "n", "any finding shown detected"], called), ""]
    ranked = [
        [finding, source, figures["auc_healthy"]["images"], cell(figures["auc_healthy"])]
        for source, finding, figures in findings
        if figures["shown"] and "auc_healthy" in figures
    ]
    if ranked:
        lines += [*markdown_table(["finding", "source", "n", "ROC AUC, ill against healthy"], ranked), ""]
    return [*lines, HEALTHY, ""] if lines else []


def off_source_table(rows):
    """Markdown: how many are detected where all have the finding, or none has."""
    titles = ["finding", "source", "images (with it)", "detected"]
    return markdown_table(
        titles,
        [[f, source, f"{v['images']} ({v['positive']})", cell(v["detected"])] for source, f, v in rows],
    )


def predictive_values_table(findings):
    """Markdown: how many of those detected have the finding, where it is rare and where it is not."""
    titles = ["finding", "source", *[f"PPV where {prevalence} of 100 have it" for prevalence in PREVALENCES]]
    rows = [
        [finding, source, *[cell(figures[f"ppv_{prevalence}"]) for prevalence in PREVALENCES]]
        for source, finding, figures in findings
        if figures["shown"]
    ]
    return markdown_table(titles, rows)
