"""A lesion run's figures: lesions.json, lesions.md, lesions.csv and README.md."""

import json

import numpy as np

from lungfusion import LungFusionPipeline
from train.calibrate.lesions import MIN_SIDE, calibrate_lesions
from train.engine.loop import save_model, write_json
from train.report.card import read_rows
from train.report.tables import cell, markdown_table
from train.scoring.images import write_csv
from train.scoring.lesions import RATES, false_mark_threshold, find_made, froc, score_lesions, summarise_images
from train.scoring.metrics import with_interval
from train.scoring.ranking import roc_auc

ALL = "all that radiologists read"
FINE = f"those of {MIN_SIDE} pixels and more"
NAMES = {"nodule": "nodule", "mass": "mass", "either": "nodule or mass"}


def score_lesion_run(recipe, output, validation, device):
    """Score a run's model, whose lesion branch is calibrated anew if it has one, and write the figures.

    Args:
        recipe: of the run.
        output: `Path` of its folder, with `model` in it.
        validation: as `train.data.lesion_parts.load_lesion_parts` gives them.
        device: on which to score.
    """
    pipeline, made = LungFusionPipeline.from_pretrained(output / "model", device=device), {}
    config = pipeline.model.config
    for name in config.lesion_findings:
        config.temperatures[name], config.biases[name] = 1.0, 0.0
    rows = score_lesions(pipeline, {name: (data, known) for name, (data, _, known) in validation.items()})
    if config.lesion_findings:
        calibrate_lesions(pipeline, rows, recipe["sources"], recipe["not_learned"])
        save_model(pipeline.model, pipeline.processor, output / "model")
        healthy = [arrays.select(np.flatnonzero(known["healthy"])) for _, arrays, known in validation.values()]
        made = find_made(pipeline.model, healthy, false_mark_threshold(rows))
    write_lesions(recipe, rows, made, output)


def write_lesions(recipe, rows, made, output):
    """Write the files.

    Args:
        recipe: of the run.
        rows: as `train.scoring.lesions.score_lesions` returns them.
        made: as `find_made` does; {} of a model without a lesion branch.
        output: `Path` of the run's folder.
    """
    figures = {"sources": {}, "made": made}
    read = [row for row in rows if recipe["sources"][row["source"]].get("readers")]
    groups = {ALL: read, FINE: [row for row in read if row["side"] >= MIN_SIDE]}
    for row in read:
        groups.setdefault(row["source"], []).append(row)
    for name, of_group in groups.items():
        figures["sources"][name] = {"findings": summarise_images(of_group), "froc": froc(of_group)}
    write_json(output / "lesions.json", figures)
    write_csv(output / "lesions.csv", [figures_of(row) for row in read])
    text = "\n".join([*images_table(figures), "", *froc_table(figures), "", *made_table(made)]) + "\n"
    (output / "lesions.md").write_text(text)
    (output / "README.md").write_text(f"# {recipe['name']}\n\n{recipe['description']}\n{text}")
    print(text)


def figures_of(row):
    """A row for the file: no places, no label that is not known."""
    names = ["source", "patient_id", "file_name", "side", *(k for k in row if k.startswith(("label_", "probability_")))]
    return {name: row[name] for name in names if row[name] == row[name]}


def images_table(figures):
    rows = []
    for source, of_source in figures["sources"].items():
        for name, figure in of_source["findings"].items():
            rows.append([source, NAMES[name], figure["images"], figure["with_it"], cell(figure["auc"])])
    return markdown_table(["validation patients", "finding", "images", "with it", "ROC AUC"], rows)


def froc_table(figures):
    names = [f"sensitivity_at_{rate:g}" for rate in RATES]
    located = {source: of_source["froc"] for source, of_source in figures["sources"].items() if of_source["froc"]}
    rows = [[source, f["images"], f["lesions"], *(cell(f[name]) for name in names)] for source, f in located.items()]
    titles = [f"found at {rate:g} false places an image" for rate in RATES]
    return markdown_table(["validation patients", "images", "lesions with a box", *titles], rows) if rows else []


def made_table(made):
    rows = [
        [f"{key}, {interval}", figure["lesions"], f"{figure['found']:.2f}"]
        for key, table in made.items()
        for interval, figure in table.items()
    ]
    titles = ["made nodules: size in mm, contrast as a share of the grey range", "nodules", "found at 1 false place"]
    return markdown_table(titles, rows) if rows else []


def summarise_lesions(folders, first):
    """A variant for `train.compare`: ROC AUC of nodule or mass on images that radiologists read, those alone that are
    fine enough for the model to be asked; its difference to the first variant's on the same images; and the lesions
    found by its first run, on all of them.

    Args:
        folders: of the variant's runs, one for each fold and seed; their images are pooled.
        first: those of the first variant's.
    """
    pairs = []
    for folder, of_first in zip(folders, first, strict=True):
        rows, rows_of_first = (read_rows(place / "lesions.csv") for place in (folder, of_first))
        pairs += zip(rows, rows_of_first, strict=True)
    known = [(row, other) for row, other in pairs if "label_either" in row and float(row["side"]) >= MIN_SIDE]
    labels = np.array([row["label_either"] for row, _ in known])
    said = np.array([[row["probability_either"], other["probability_either"]] for row, other in known])
    figures = with_interval(two_aucs, [row["patient_id"] for row, _ in known], labels, said)
    located = json.loads((folders[0] / "lesions.json").read_text())["sources"][ALL]["froc"]  # of the first run alone
    return {"runs": len(folders), "images": len(known), "with_it": int(labels.sum()), **figures, "froc": located}


def two_aucs(labels, said):
    if len(np.unique(labels)) < 2:
        return None
    own, first = (roc_auc(labels, column) for column in said.T)
    return {"auc": own, "auc_difference": own - first}


def lesions_table(table):
    """Markdown: one row for each variant."""
    titles = ["variant", "runs", "images (with it)", f"nodule or mass, {FINE}: ROC AUC", "against the first"]
    titles += ["lesions with a box", *(f"found at {rate:g} false places an image" for rate in RATES)]
    rows = []
    for variant, row in table.items():
        places = [cell(row["froc"][f"sensitivity_at_{rate:g}"]) for rate in RATES] if row["froc"] else ["no map"] * 3
        cells = [cell(row["auc"]), cell(row["auc_difference"]), row["froc"].get("lesions", "no map"), *places]
        rows.append([variant, row["runs"], f"{row['images']} ({row['with_it']})", *cells])
    return markdown_table(titles, rows)
