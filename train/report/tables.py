"""Figures as tables in Markdown, and as JSON beside them, which says of which weights they are."""

import numpy as np

from lungfusion.evidence import HELD_BACK, Share
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
BY_PLACE = {  # figures of `lungfusion.evidence.Place`, and what they are called
    "auc_healthy": "ROC AUC, hospital left out",
    "found": "found",
    "called_healthy": "healthy called",
    "called_otherwise_ill": "otherwise ill called",
}
NOT_MEASURED = "not measured"
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
        if f"ppv_{PREVALENCES[0]}" in findings[0][2] and any(figures["shown"] for _, _, figures in findings):
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


def findings_table(config, evidence, metrics):
    """Markdown: each finding that is told, each figure in the place where it is worst.

    Args:
        config: `LungFusionConfig`.
        evidence: `Evidence`.
        metrics: source → figures, as metrics.json holds them.
    """
    rows = []
    for name in config.shown:
        by_place = [worst_of_places(evidence[name], figure) for figure in BY_PLACE]
        rows.append([name, worst_at_home(metrics, name) or auc_held_back(evidence[name]), *by_place])
    measured = [True, True, *[any(row[column] for row in rows) for column in range(2, len(BY_PLACE) + 2)]]
    titles = ["finding", "ROC AUC at home", *BY_PLACE.values()]
    lines = markdown_table(
        [title for title, kept in zip(titles, measured, strict=True) if kept],
        [[cell or NOT_MEASURED for cell, kept in zip(row, measured, strict=True) if kept] for row in rows],
    )
    return lines if all(measured) else [*lines, "", f"Not measured: {missing(measured)}."]


def missing(measured):
    titles = list(BY_PLACE.values())
    return ", ".join(title for title, kept in zip(titles, measured[2:], strict=True) if not kept)


def worst_at_home(metrics, name):
    """The lowest ROC AUC of a finding among the data sets learned from, with n; empty where there is none."""
    figures = [summary["findings"][name] for summary in metrics.values() if name in summary["findings"]]
    worst = min(figures, key=lambda one: one["auc"]["value"], default=None)
    return worst and f"{cell(worst['auc'])}, n = {worst['images']}"


def auc_held_back(evidence):
    """Of `FindingEvidence` of findings with a table of their own, as nodules have; empty where there is none."""
    known = [auc for name, auc in evidence.measured("auc_otherwise_ill") if name.endswith(HELD_BACK)]
    return cell_of(known[0]) if known else ""


def worst_of_places(evidence, figure):
    """A figure of `FindingEvidence` in the place where it is worst, with n and the place; or empty.

    Areas under the curve are of hospitals left out: of patients held back metrics.md has them, source by source.
    """
    left_out_alone = figure.startswith("auc")
    for place, one in evidence.measured(figure):
        if not (left_out_alone and place.endswith(HELD_BACK)):
            return f"{cell_of(one)}, {place}"
    return ""


def cell_of(share):
    """`lungfusion.evidence.Share` as text."""
    return f"{cell({'value': share.value, 'interval': [share.low, share.high]})}, n = {share.n}"


def measured_outside_table(rows):
    """Markdown of one version's rows of measured_outside.yaml."""
    lines = []
    for row in rows:
        if "share" in row:
            figure = cell_of(Share.of(round(row["share"] * row["of"]), row["of"]))
        elif "auc" in row:
            figure = f"AUC {cell_of(auc_of_counts(row['auc'], *row['of']))}"
        else:
            least = f", least {row['least']:.3f}" if "least" in row else ""
            figure = f"Dice {row['dice']:.3f}{least}, n = {row['of']}"
        lines.append([row["what"], figure])
    return markdown_table(["what", "figure"], lines)


def auc_of_counts(auc, ill, healthy):
    """`Share` of an AUC of which only the counts are known, its interval after Hanley and McNeil 1982."""
    one, other = auc / (2 - auc) - auc**2, 2 * auc**2 / (1 + auc) - auc**2
    reach = 1.96 * np.sqrt((auc * (1 - auc) + (ill - 1) * one + (healthy - 1) * other) / (ill * healthy))
    return Share(auc, max(auc - reach, 0.0), min(auc + reach, 1.0), ill + healthy)
