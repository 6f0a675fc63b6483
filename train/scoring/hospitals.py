"""One hospital against the others: what a model says in a hospital that its training left out.

`train.classify` with `left_out: [HOSPITAL, …]` trains without these and writes left_out.csv; `train.compare
--leave-out` does so for several of them and puts hospitals.json and hospitals.md together.
"""

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lungfusion.models.configuration_lungfusion import better_fit
from train.data.crops import LabelledCrops, Part
from train.engine.head import logits_of
from train.io import cell, markdown_table
from train.scoring.metrics import bootstrap, roc_auc, share

MIN_IMAGES = 10  # of a kind, for a share or an AUC to be given
MAX_IMAGES = 1500  # of the hospital left out, drawn at random
BATCH = 32


def split_hospital(recipe):
    """A recipe's sources → those trained on, and those of the hospitals it leaves out.

    Raises:
        ValueError: no source is of one of those hospitals, or all sources are.
    """
    hospitals = recipe["left_out"] or []
    away = {name: source for name, source in recipe["sources"].items() if source.get("hospital") in hospitals}
    home = {name: source for name, source in recipe["sources"].items() if name not in away}
    known = hospitals_of(recipe)
    if set(hospitals) - set(known) or not home:
        raise ValueError(f"left_out is {hospitals}: give some of {', '.join(known)}, but not all of them.")
    return home, away


def hospitals_of(recipe):
    """The hospitals of a recipe's sources, each once, but those that `init_from` has seen: it can't be without them."""
    hospitals = dict.fromkeys(source["hospital"] for source in recipe["sources"].values() if source.get("hospital"))
    return [hospital for hospital in hospitals if hospital not in recipe.get("init_saw", ())]


def left_out_parts(validation, left_out, sources):
    """Whom a model without hospitals is scored on, as `score_with_model` takes them.

    Args:
        validation, left_out: list of `Part`, of its own hospitals' validation patients, who are all taken, and of the
            hospitals left out, `MAX_IMAGES` at most.
        sources: name → source.
    """
    generator, parts = np.random.default_rng(0), []
    images = sum(len(part.data) for part in left_out)
    for home, of_kind in (("yes", validation), ("no", left_out)):
        for name, data, crops, labels in of_kind:
            share = 1 if home == "yes" else min(1, MAX_IMAGES / images)
            rows = np.sort(generator.permutation(len(data))[: round(share * len(data))])
            part = Part(name, data.select(rows), crops.select(rows), labels[rows])
            parts.append((facts_of(sources, name, home), part))
    return parts


def facts_of(sources, name, home):
    """What every row of a source says: hospital, home, confounded, age."""
    confounded = "yes" if sources[name].get("confounded") else "no"
    facts = {"hospital": sources[name].get("hospital", name), "home": home}
    return facts | {"confounded": confounded, "age": sources[name].get("age", "")}


@torch.inference_mode()
def score_with_model(model, parts, findings):
    """What a model says of radiographs whose lungs are drawn already.

    Args:
        model: `LungFusionForImageClassification`.
        parts: list of (facts, `Part`): `facts` a dict for every row.
        findings: names of the columns.

    Returns:
        list of dicts: source, the facts, patient_id, file_name; of each finding `label_…` (1, 0 or absent), `logit_…`.
    """
    rows = []
    for facts, part in parts:
        logits = []
        for batch in tqdm(DataLoader(LabelledCrops([part]), BATCH), desc=f"Scoring {part.source}"):
            logits.append(logits_of(model, {name: value.to(model.device) for name, value in batch.items()}).cpu())
        names = part.data["patient_id"], part.data["file_name"]
        for patient_id, file_name, said, scores in zip(*names, part.labels, torch.cat(logits).tolist(), strict=True):
            row = {"source": part.source} | facts | {"patient_id": patient_id, "file_name": file_name}
            row |= {f"label_{name}": int(value) for name, value in zip(findings, said, strict=True) if value == value}
            rows.append(row | {f"logit_{name}": score for name, score in zip(findings, scores, strict=True)})
    return rows


def is_healthy(row):
    """Whether every finding known of an image is absent, pneumonia and tuberculosis among them."""
    labels = [value for key, value in row.items() if key.startswith("label_")]
    return not any(labels) and row.get("label_pneumonia") == 0 and row.get("label_tuberculosis") == 0


def patients(rows):
    """One name for each image's patient: hospitals number theirs alike, data sets of one hospital share patients."""
    return [f"{row.get('hospital', row.get('source'))} {row['patient_id']}" for row in rows]


def heed_rivals(rows, rivals):
    """Give each row the `score_…` of each finding with rivals: its probability, or 0 where a rival fits better.

    rivals: finding → names; see `FindingConfig.rivals`.
    """
    for row in rows:
        for finding, names in rivals.items():
            known = {name: row.get(f"probability_{name}") for name in (finding, *names)}
            if known[finding] is not None:
                row[f"score_{finding}"] = 0.0 if better_fit(finding, names, known) else known[finding]


def score_of(row, finding):
    """What is compared with a finding's threshold: its probability, or 0 where a rival fits better; None if refused."""
    return row.get(f"score_{finding}", row.get(f"probability_{finding}"))


def group_of(row, finding):
    """Whom an image is of whose label of a finding is known, one of `lungfusion.evidence.GROUPS`."""
    return "ill" if row[f"label_{finding}"] == 1 else "healthy" if is_healthy(row) else "otherwise_ill"


def summarise_hospital(rows, finding, threshold, beside=()):
    """One finding in one hospital.

    Args:
        rows: of that hospital's images, `probability_…` in them, and `score_…` where other findings may fit better: the
            probability, or 0 where one does.
        finding: its name.
        threshold: probability from which it is called.
        beside: rows of other hospitals that the same training left out, whose otherwise ill people the ill are set
            against where their own hospital has none.

    Returns:
        dict, by the names of `lungfusion.evidence.Place`: `auc_healthy`, the ill against people with nothing, and
        `auc_otherwise_ill`, against people with something else (both not where class and device go together);
        `called_healthy` and `called_otherwise_ill`, among the same people; `found`, among the ill: each {"value",
        "interval", "images"}, with 95 % intervals: of an AUC by bootstrap over patients, of shares after Wilson.
    """
    known = [row for row in rows if f"label_{finding}" in row]
    if not any(group_of(row, finding) == "otherwise_ill" for row in known):
        beside = [row for row in beside if f"label_{finding}" in row and group_of(row, finding) == "otherwise_ill"]
        known = known + beside
    own = np.array([row.get("home") != "beside" for row in known], bool)
    probabilities = np.array([row[f"probability_{finding}"] for row in known])
    called = np.array([score_of(row, finding) for row in known]) >= threshold
    groups = np.array([group_of(row, finding) for row in known])
    patient_ids, figures = np.array(patients(known)), aucs_of(known, groups, probabilities)
    return figures | shares_called(called[own], groups[own], patient_ids[own])


def shares_called(called, groups, patient_ids, least=MIN_IMAGES):
    """How many are called of each group that has so many: by the names of `lungfusion.evidence.Place`.

    Args:
        called: (N,) bool.
        groups: (N,) names, as `group_of` gives them.
        patient_ids: (N,) names.
        least: images of a group.

    Returns:
        dict of {"value", "interval", "images"}.
    """
    of_figure = {"called_healthy": "healthy", "called_otherwise_ill": "otherwise_ill", "found": "ill"}
    return {
        figure: share(called[groups == group], patient_ids[groups == group])
        for figure, group in of_figure.items()
        if np.sum(groups == group) >= least
    }


def aucs_of(rows, groups, probabilities):
    """`auc_healthy` and `auc_otherwise_ill` of rows, with their intervals; neither where class and device go together.

    Args:
        rows: list of dicts, of one hospital.
        groups: (N,) of each row its group (see `group_of`).
        probabilities: (N,) float.
    """
    if any(row.get("confounded") == "yes" for row in rows):
        return {}
    patient_ids, ill, figures = np.array(patients(rows)), groups == "ill", {}
    for group in ("healthy", "otherwise_ill"):
        of_group = groups == group
        if min(ill.sum(), of_group.sum()) >= MIN_IMAGES:
            chosen = ill | of_group
            auc = auc_with_interval(patient_ids[chosen], ill[chosen].astype(int), probabilities[chosen])
            figures |= {f"auc_{group}": auc} if auc["interval"] else {}
    return figures


def auc_with_interval(patients, labels, probabilities):
    found = auc_of(labels, probabilities)["auc"]
    return {"value": found, "images": len(labels)} | {
        "interval": bootstrap(auc_of, list(patients), labels, probabilities)["auc"]
    }


def auc_of(labels, probabilities):
    return {"auc": roc_auc(labels, probabilities)} if len(np.unique(labels)) == 2 else None


def hospitals_table(figures):
    """Markdown: one row for each finding and hospital left out. figures: finding → hospital → `summarise_hospital`."""
    titles = [
        "finding",
        "hospital left out",
        "ROC AUC, ill against healthy",
        "ROC AUC, ill against otherwise ill",
        "called among its healthy",
        "called among its otherwise ill",
        "found",
    ]
    rows = []
    for finding, of_finding in figures.items():
        for hospital, found in of_finding.items():
            keys = ("auc_healthy", "auc_otherwise_ill", "called_healthy", "called_otherwise_ill", "found")
            cells = [f"{cell(found[key])}, n = {found[key]['images']}" if key in found else "" for key in keys]
            if any(cells):
                rows.append([finding, hospital, *cells])
    return markdown_table(titles, rows)
