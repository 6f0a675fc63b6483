"""Shortcuts: a classifier may know the hospital, the ward or the patient's age instead of the finding.

Of each data set is measured:

- the ROC AUC of each finding reported to users: as it is, with the lungs blacked out, and with nothing but the image's
  border shown (what then remains above 0.5 does not come from the lungs);
- the same by view, sex and age, where the data set knows them;
- how well the fused features tell the data sets apart (balanced accuracy of a logistic regression, patients it was not
  fitted on): 1 divided by their number if not at all.
"""

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from train.data.labels import known_labels
from train.data.pictures import image_bytes
from train.data.sources import hospital_of
from train.io import cell, markdown_table
from train.scoring.images import reported
from train.scoring.metrics import roc_auc, with_interval

BORDER = 0.1  # of the side: how much of each edge is shown where only the border is
RIM = 0.03  # of the side: how far beyond the lungs' outline they are blacked out
AGES = ((0, 40), (40, 60), (60, 120))  # years, the upper one exclusive
VERSIONS = ("as it is", "lungs blacked out", "border only")
MIN_POSITIVE = 5  # images with a finding, and without it, that a row of the table needs


def measure_shortcuts(pipeline, parts, declared=None):
    """`findings_figures`, and of several data sets `source_figures`.

    Args:
        pipeline: `LungFusionPipeline` of a classifier.
        parts: source → `datasets.Dataset` as `load_source` gives it.
        declared: source → its declaration, of a recipe; None for what sources.yaml says of data sets of these names.
    """
    seen = {name: ablate_regions(pipeline, data, name) for name, data in parts.items()}
    figures = {"findings": findings_figures(pipeline, parts, seen, declared)}
    if len(parts) > 1:
        figures["source"] = source_figures(parts, seen, declared)
    return figures


@torch.inference_mode()
def ablate_regions(pipeline, data, name, batch_size=8):
    """What the model makes of each radiograph: as it is, without its lungs, and of its border alone.

    Returns:
        dict: `as it is`, `lungs blacked out`, `border only` → (N, findings) logits; `features` → (N, D).
    """
    seen = {key: [] for key in (*VERSIONS, "features")}
    for start in tqdm(range(0, len(data), batch_size), desc=f"Looking at {name}"):
        images = data[start : start + batch_size]["image"]
        pixel_values = pipeline.pixel_values([load_radiograph(image_bytes(image)) for image in images])
        output = pipeline.model(pixel_values)
        seen["as it is"].append(output.logits)
        seen["features"].append(output.fused_features)
        for version, kept in (
            ("lungs blacked out", without_lungs(output.alpha)),
            ("border only", border(pixel_values)),
        ):
            seen[version].append(pipeline.model(pixel_values * kept, alpha=output.alpha).logits)
    return {key: torch.cat(parts).float().cpu().numpy() for key, parts in seen.items()}


def without_lungs(alpha):
    """(B, 1, S, S) → 0 in the lungs and a rim around them, 1 elsewhere."""
    size = 2 * round(RIM * alpha.shape[-1]) + 1
    lungs = maximum_filter((alpha > 0.5).cpu().numpy(), (1, 1, size, size))
    return torch.from_numpy(~lungs).to(alpha)


def border(pixel_values):
    """(1, 1, S, S): 1 in the outermost tenth of each side, 0 inside."""
    kept = torch.ones_like(pixel_values[:1])
    edge = round(BORDER * kept.shape[-1])
    kept[..., edge:-edge, edge:-edge] = 0
    return kept


def findings_figures(pipeline, sources, seen, declared=None):
    """One dict for each source, finding and group: images, positive, and the ROC AUC of each version of the images."""
    names, rows = list(pipeline.model.config.findings), []
    for source, data in sources.items():
        labels = known_labels(data, names, (declared or {}).get(source, source))
        for column, name in enumerate(names):
            if name not in reported(pipeline):
                continue
            for group, of_group in groups(data).items():
                chosen = of_group & ~np.isnan(labels[:, column])
                truth = labels[chosen, column]
                if min((truth == 1).sum(), (truth == 0).sum()) < MIN_POSITIVE:
                    continue
                row = {"source": source, "finding": name, "group": group}
                row |= {"images": len(truth), "positive": int(truth.sum())}
                patient_ids = np.array(data["patient_id"])[chosen].tolist()
                logits = [seen[source][version][chosen, column] for version in VERSIONS]
                rows.append(row | with_interval(aucs, patient_ids, truth, np.stack(logits, axis=1)))
    return rows


def aucs(truth, logits):
    if len(np.unique(truth)) < 2:
        return None
    return {version: roc_auc(truth, column) for version, column in zip(VERSIONS, logits.T, strict=True)}


def groups(data):
    """group → (N,) bool: everyone, and each view, sex and age band the data set knows of some, but not of all."""
    found = {}
    for column in ("view", "sex"):
        if column in data.column_names:
            values = np.array(list(data[column]), object)
            found |= {f"{column} {value}": values == value for value in sorted(set(values) - {None})}
    if "age" in data.column_names:
        ages = np.array(data["age"], float)
        found |= {f"age {low}–{high - 1}": (ages >= low) & (ages < high) for low, high in AGES}
    return {"everyone": np.ones(len(data), bool)} | {name: who for name, who in found.items() if not who.all()}


def source_figures(sources, seen, declared=None):
    """How well a logistic regression tells the data sets apart by the fused features, patients held out."""
    features = np.concatenate([seen[name]["features"] for name in sources])
    truth = np.concatenate([[name] * len(data) for name, data in sources.items()])
    hospitals = {name: hospital_of(name, (declared or {}).get(name)) for name in sources}
    patient_ids = [f"{hospitals[name]} {patient}" for name, data in sources.items() for patient in data["patient_id"]]
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    told = cross_val_predict(model, features, truth, groups=patient_ids, cv=GroupKFold(5))

    def balanced_accuracy(truth, told):
        if set(truth) != set(sources):
            return None
        return {"balanced_accuracy": float(np.mean([(told[truth == name] == name).mean() for name in sources]))}

    return {"sources": len(sources), "images": len(truth)} | with_interval(balanced_accuracy, patient_ids, truth, told)


def shortcuts_table(figures):
    """Markdown: one row for each source, finding and group; then a sentence about the source."""
    titles = ["source", "finding", "group", "images (with it)", *(f"ROC AUC, {version}" for version in VERSIONS)]
    rows = []
    for row in figures["findings"]:
        cells = [row["source"], row["finding"], row["group"], f"{row['images']} ({row['positive']})"]
        rows.append(cells + [cell(row[version]) for version in VERSIONS])
    lines = markdown_table(titles, rows)
    if "source" in figures:
        found = figures["source"]
        lines += [
            "",
            f"The fused features tell the {found['sources']} data sets apart with a balanced accuracy of "
            f"{cell(found['balanced_accuracy'])}, n = {found['images']}; {1 / found['sources']:.2f} would be chance.",
        ]
    return lines
