"""Classical classifiers on fused features, the comparison of the literature.

Features, each scaled to [0, 1] by the training patients' smallest and largest value, go into a support vector machine,
a random forest, AdaBoost, k nearest neighbours and a small neural network, one finding at a time. Nothing is tuned.
"""

import numpy as np
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC
from tqdm.auto import tqdm

from train.io import cell, markdown_table
from train.scoring.metrics import roc_auc, share, with_interval

CLASSIFIERS = {
    "support vector machine": lambda: SVC(random_state=0),
    "random forest": lambda: RandomForestClassifier(300, random_state=0),
    "AdaBoost": lambda: AdaBoostClassifier(random_state=0),
    "k nearest neighbours": lambda: KNeighborsClassifier(15),
    "neural network": lambda: MLPClassifier((64,), early_stopping=True, random_state=0),
}


def compare_classifiers(train, validation):
    """Fit on one set of features, score on the other.

    Args:
        train, validation: `datasets.Dataset` with the columns of `train.scoring.features`.

    Returns:
        dict: finding → classifier → images, positive, auc and accuracy, each with its interval. Findings that are
        unknown in either set, or all alike, are left out.

    Raises:
        ValueError: a patient is in both.
    """
    if shared := set(patients(train)) & set(patients(validation)):
        raise ValueError(f"{len(shared)} patients would be both fitted and scored on: split them by patient.")
    figures = {}
    for column in [name for name in train.column_names if name.startswith("label_")]:
        x, y, _ = known(train, column)
        x_validation, y_validation, patient_ids = known(validation, column)
        if min(len(np.unique(y)), len(np.unique(y_validation))) < 2:
            continue
        of_finding = figures[column.removeprefix("label_")] = {}
        for name, make in tqdm(CLASSIFIERS.items(), desc=column.removeprefix("label_")):
            fitted = fitted_to(make, x, y)
            of_finding[name] = {"images": len(y_validation), "positive": int(y_validation.sum())}
            of_finding[name] |= with_interval(auc, patient_ids, y_validation, ranks(fitted, x_validation))
            of_finding[name]["accuracy"] = share(fitted.predict(x_validation) == y_validation, patient_ids)
    return figures


def rank_with_classical(features, labels, asked, findings):
    """Fit each of `CLASSIFIERS` to each finding, and rank others.

    Args:
        features, labels: (N, D) and (N, findings) float32 arrays, NaN where a label is unknown.
        asked: (M, D), of the others.
        findings: names of the columns.

    Returns:
        dict: classifier → (M, findings), NaN where a finding is unknown, or all alike.
    """
    said = {}
    for name, make in tqdm(CLASSIFIERS.items(), desc="Classical classifiers"):
        said[name] = np.full((len(asked), len(findings)), np.nan)
        for column, of_finding in enumerate(labels.T):
            chosen = ~np.isnan(of_finding)
            if len(np.unique(of_finding[chosen])) == 2:
                said[name][:, column] = ranks(fitted_to(make, features[chosen], of_finding[chosen]), asked)
    return said


def fitted_to(make, x, y):
    """One of `CLASSIFIERS`, fitted to features (N, D) and labels (N,)."""
    return make_pipeline(MinMaxScaler(), make()).fit(x, y)


def ranks(fitted, x):
    """How much features (N, D) look like the finding, on the classifier's own scale: (N,)."""
    scored = (fitted.decision_function if hasattr(fitted, "decision_function") else fitted.predict_proba)(x)
    return scored[:, 1] if scored.ndim == 2 else scored


def known(data, column):
    """features (N, D), labels (N,), patient ids of the radiographs whose label is known."""
    data = data.filter(lambda value: value is not None, input_columns=column)
    return np.array(data["features"], np.float32), np.array(data[column], int), patients(data)


def patients(data):
    """One name for each radiograph's patient, for whom hospitals have names of their own."""
    return [f"{hospital} {patient}" for hospital, patient in zip(data["hospital"], data["patient_id"], strict=True)]


def auc(labels, ranks):
    return {"auc": roc_auc(labels, ranks)} if len(np.unique(labels)) == 2 else None


def classical_table(figures):
    """Markdown: one row for each finding and classifier."""
    rows = [
        [finding, name, f"{row['images']} ({row['positive']})", cell(row["auc"]), cell(row["accuracy"])]
        for finding, of_finding in figures.items()
        for name, row in of_finding.items()
    ]
    titles = ["finding", "classifier on fused features", "images (with it)", "ROC AUC", "accuracy"]
    return markdown_table(titles, rows)
