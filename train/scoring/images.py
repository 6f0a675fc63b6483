"""Score a model on radiographs: rows, one for each image, and figures of them."""

import numpy as np
import torch
from tqdm.auto import tqdm

from lungfusion import RadiographError
from train.data.labels import known_labels
from train.data.pictures import load_image, read_mask
from train.data.sources import find_source, hospital_of
from train.data.splits import load_part, sample_labelled_rows
from train.scoring.hospitals import MIN_IMAGES, auc_with_interval, heed_rivals, is_healthy, patients, score_of
from train.scoring.metrics import (
    mask_scores,
    outline_scores,
    ranking_scores,
    share,
    threshold_figures,
    with_interval,
)

LUNG_SCORES = ("dice", "iou", "pixel_accuracy", "precision", "recall", "hd95", "assd", "hd95_width", "assd_width")


def validation_parts(recipe):
    """Source → its validation patients' images, as `load_source` gives them.

    Where `validation_images` limits them they are those by which training chose its epoch: out of those with a label.
    """
    parts = {name: load_part(recipe, source, "validation") for name, source in recipe["sources"].items()}
    limit = recipe.get("validation_images")
    if not limit:
        return parts
    labels = {name: known_labels(parts[name], recipe["model"]["findings"], recipe["sources"][name]) for name in parts}
    return {name: data.select(sample_labelled_rows(labels[name], limit)) for name, data in parts.items()}


def score_with_pipeline(pipeline, parts, sources=None):
    """Analyse every image of several sources, with every finding the model learned, shown to users or not.

    Args:
        pipeline: `LungFusionPipeline`.
        parts: source → `datasets.Dataset` as `load_source` gives it.
        sources: source → its declaration, of a recipe; None for what sources.yaml says of data sets of these names.

    Returns:
        rows, as `score_images` returns them, of all sources.
    """
    telling_all, declared = pipeline.telling_all(), sources or dict.fromkeys(parts)
    return [row for name, data in parts.items() for row in score_images(telling_all, data, name, declared[name])]


def summarise_parts(pipeline, parts, rows, split):
    """The figures of several sources.

    Args:
        pipeline, parts, rows: as for `score_with_pipeline`, and as it returns them.
        split: what part of their sources these are.

    Returns:
        metrics: source → figures.
    """
    metrics = {}
    for name in parts:
        metrics[name] = {"split": split, **summarise([row for row in rows if row["source"] == name], pipeline)}
    return metrics


def reported(pipeline):
    """Names of the findings to measure: those shown to users, or all that were learned where none is shown."""
    return pipeline.findings or tuple(pipeline.model.config.findings)


def score_images(pipeline, data, source, declared=None, batch_size=8):
    """Analyse every image of a data set, named `source`; its labels mean what `declared` says, or sources.yaml.

    Images that can't be read are named on the terminal.

    Returns:
        one dict for each image: source, index (its place in `data`), patient_id, file_name, hospital; `confounded`
        where the source is (see sources.yaml); refused (1 or 0); for each finding its `probability_…` (None where the
        image was refused, or the finding not assessed), its `score_…` where it has rivals (see `hospitals.heed_rivals`)
        and, where known, `label_…`; where there is a mask
        `LUNG_SCORES`. Of an image that can't be read no labels and no scores, but why: `error`.
    """
    declared = find_source(source) if declared is None else declared
    labels, facts = known_labels(data, pipeline.findings, declared), {"hospital": hospital_of(source, declared)}
    facts |= {"confounded": "yes"} if declared.get("confounded") else {}
    rows = []
    for start in tqdm(range(0, len(data), batch_size), desc=f"Scoring {source}"):
        batch = [data[i] for i in range(start, min(start + batch_size, len(data)))]
        read = [read_or_say_why(row["image"]) for row in batch]
        analyses = iter(pipeline([radiograph for radiograph, _ in read if radiograph]))
        for i, (content, (radiograph, error)) in enumerate(zip(batch, read, strict=True), start):
            row = {"source": source, "index": i, "patient_id": content["patient_id"], "file_name": content["file_name"]}
            row |= facts
            row |= {f"probability_{name}": None for name in pipeline.findings}
            if radiograph is None:
                tqdm.write(f"Left out: row {i} of {source}, {row['file_name']}: {error}")
                rows.append(row | {"error": error})
                continue
            analysis = next(analyses)
            row["refused"] = int(analysis.refused)
            row |= {f"probability_{finding.name}": finding.probability for finding in analysis.findings}
            known = zip(pipeline.findings, labels[i], strict=True)
            row |= {f"label_{name}": int(label) for name, label in known if not np.isnan(label)}
            if content.get("mask"):
                row |= lung_scores(analysis.alpha, read_mask(content["mask"]))
            rows.append(row)
    findings = getattr(pipeline.model.config, "findings", {})
    heed_rivals(rows, {name: finding.rivals for name, finding in findings.items() if finding.rivals})
    return rows


def read_or_say_why(image):
    """A row's picture → (`Radiograph`, None), or (None, why it can't be read)."""
    try:
        return load_image(image), None
    except RadiographError as error:
        return None, str(error)


def readable(parts, rows):
    """The sources without the images that can't be read. parts, rows: as `score_with_pipeline` takes and returns."""
    kept = {name: [row["index"] for row in rows if row["source"] == name and "error" not in row] for name in parts}
    return {name: data.select(kept[name]) for name, data in parts.items()}


def lung_scores(alpha, mask):
    """`LUNG_SCORES` of one image. alpha, mask: (H, W) float32 in [0, 1]."""
    scores = mask_scores(torch.from_numpy(alpha)[None, None], torch.from_numpy(mask)[None, None])
    return {name: float(values[0]) for name, values in scores.items()} | outline_scores(alpha > 0.5, mask > 0.5)


def summarise(rows, pipeline):
    """Figures over the images of one source, each with a 95 % interval over patients: by bootstrap, of shares Wilson's.

    A finding goes into `findings` where the source knows images with it and images without it, into `off_source` where
    it knows only one of them, and its two classes apart where it is confounded; `auc_healthy` there is that of the ill
    against people with nothing, where others have something else. `healthy` says in how many people with nothing any
    finding shown is detected.
    """
    unreadable, rows = [row for row in rows if "error" in row], [row for row in rows if "error" not in row]
    summary = {"images": len(rows), "patients": len({row["patient_id"] for row in rows})}
    summary |= {"unreadable": len(unreadable)}
    masked = [row for row in rows if "dice" in row]
    if masked:
        table = np.array([[row[name] for name in LUNG_SCORES] for row in masked])
        summary["lungs"] = {"images": len(masked), "least_dice": float(table[:, 0].min())}
        summary["lungs"] |= with_interval(mean_of_columns, patients(masked), table)
    findings = list(getattr(pipeline.model.config, "findings", ()))
    summary["refused"] = sum(row.get("refused", 0) for row in rows)
    summary["findings"], summary["off_source"] = {}, {}
    summary |= healthy_called(rows, pipeline)
    for name in findings:
        known = [row for row in rows if f"label_{name}" in row and row[f"probability_{name}"] is not None]
        if not known:
            continue
        truth = np.array([row[f"label_{name}"] for row in known])
        probabilities = np.array([row[f"probability_{name}"] for row in known])
        scores = np.array([score_of(row, name) for row in known])
        threshold = pipeline.model.config.findings[name].threshold
        figures = {"images": len(known), "positive": int(truth.sum()), "threshold": threshold}
        figures["shown"] = name in pipeline.findings
        if any(row.get("confounded") for row in known):  # class and device go together: no AUC within it
            for value, words in ((1, "with it"), (0, "without it")):
                if (truth == value).any():
                    chosen = [row for row, label in zip(known, truth, strict=True) if label == value]
                    detected = share(scores[truth == value] >= threshold, patients(chosen))
                    counts = {"images": len(chosen), "positive": value * len(chosen)}
                    summary["off_source"][f"{name}, {words}"] = figures | counts | {"detected": detected}
        elif 0 < truth.sum() < len(truth):
            figures |= with_interval(ranking_scores, patients(known), truth, probabilities, biased=["ece"])
            figures |= threshold_figures(truth, scores, threshold, patients(known))
            figures |= against_healthy(known, truth, probabilities)
            summary["findings"][name] = figures
        else:
            detected = share(scores >= threshold, patients(known))
            summary["off_source"][name] = figures | {"detected": detected}
    return summary


def healthy_called(rows, pipeline):
    """`healthy`: of people with nothing, in how many any finding shown is detected."""
    names, findings = pipeline.findings, getattr(pipeline.model.config, "findings", {})
    healthy = [row for row in rows if is_healthy(row) and not row["refused"]]
    if len(healthy) < MIN_IMAGES:
        return {}
    called = [any((score_of(row, name) or 0) >= findings[name].threshold for name in names) for row in healthy]
    return {"healthy": {"images": len(healthy), "detected": share(np.array(called), patients(healthy))}}


def against_healthy(rows, truth, probabilities):
    """`auc_healthy`: rows, labels and probabilities of one finding, without the people who have something else."""
    healthy = np.array([is_healthy(row) for row in rows])
    if healthy.sum() < MIN_IMAGES or (healthy == (truth == 0)).all():
        return {}
    chosen = healthy | (truth == 1)
    patient_ids = np.array(patients(rows))[chosen]
    return {"auc_healthy": auc_with_interval(patient_ids, truth[chosen], probabilities[chosen])}


def mean_of_columns(table):
    return dict(zip(LUNG_SCORES, table.mean(0).tolist(), strict=True))
