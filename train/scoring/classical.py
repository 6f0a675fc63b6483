"""Classical classifiers on fused features: python -m train.scoring.classical --train FILE --validation FILE --output
DIR

The comparison of the literature: features as `train.scoring.features` writes them, each scaled to [0, 1] by the
training
patients' smallest and largest value, into a support vector machine, a random forest, AdaBoost, k nearest neighbours
and a small neural network, one finding at a time. Nothing is tuned. Written to DIR: classical.json and classical.md.
"""

import numpy as np
from datasets import Dataset
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC
from tqdm.auto import tqdm

from train.engine.arguments import command_line
from train.report.tables import cell, markdown_table, write_table
from train.scoring.images import with_interval

CLASSIFIERS = {
    "support vector machine": lambda: SVC(random_state=0),
    "random forest": lambda: RandomForestClassifier(300, random_state=0),
    "AdaBoost": lambda: AdaBoostClassifier(random_state=0),
    "k nearest neighbours": lambda: KNeighborsClassifier(15),
    "neural network": lambda: MLPClassifier((64,), early_stopping=True, random_state=0),
}


def main():
    parser = command_line(__doc__, "output")
    parser.add_argument("--train", required=True, help="a Parquet file of train.scoring.features")
    parser.add_argument("--validation", required=True, help="another, of patients that the first does not hold")
    arguments = parser.parse_args()
    train, validation = (Dataset.from_parquet(path) for path in (arguments.train, arguments.validation))
    if shared := set(train["patient_id"]) & set(validation["patient_id"]):
        parser.error(f"{len(shared)} patients are in both files: split them by patient.")
    figures = compare_classifiers(train, validation)
    write_table(arguments.output, "classical", classical_table(figures), figures)


def compare_classifiers(train, validation):
    """Fit on one set of features, score on the other.

    Args:
        train, validation: `datasets.Dataset` with the columns of `train.scoring.features`.

    Returns:
        dict: finding → classifier → images, positive, auc and accuracy, each with its interval. Findings that are
        unknown in either set, or all alike, are left out.
    """
    figures = {}
    for column in [name for name in train.column_names if name.startswith("label_")]:
        x, y, _ = known(train, column)
        x_validation, y_validation, patient_ids = known(validation, column)
        if min(len(np.unique(y)), len(np.unique(y_validation))) < 2:
            continue
        of_finding = figures[column.removeprefix("label_")] = {}
        for name, make in tqdm(CLASSIFIERS.items(), desc=column.removeprefix("label_")):
            fitted = make_pipeline(MinMaxScaler(), make()).fit(x, y)
            scored = fitted.decision_function if hasattr(fitted, "decision_function") else fitted.predict_proba
            ranks = scored(x_validation)
            ranks = ranks[:, 1] if ranks.ndim == 2 else ranks
            of_finding[name] = {"images": len(y_validation), "positive": int(y_validation.sum())}
            of_finding[name] |= with_interval(scores, patient_ids, y_validation, ranks, fitted.predict(x_validation))
    return figures


def known(data, column):
    """features (N, D), labels (N,), patient ids of the radiographs whose label is known."""
    data = data.filter(lambda value: value is not None, input_columns=column)
    return np.array(data["features"], np.float32), np.array(data[column], int), list(data["patient_id"])


def scores(labels, ranks, predicted):
    if len(np.unique(labels)) < 2:
        return None
    return {"auc": float(roc_auc_score(labels, ranks)), "accuracy": float(accuracy_score(labels, predicted))}


def classical_table(figures):
    """Markdown: one row for each finding and classifier."""
    rows = [
        [finding, name, f"{row['images']} ({row['positive']})", cell(row["auc"]), cell(row["accuracy"])]
        for finding, of_finding in figures.items()
        for name, row in of_finding.items()
    ]
    titles = ["finding", "classifier on fused features", "images (with it)", "ROC AUC", "accuracy"]
    return markdown_table(titles, rows)


if __name__ == "__main__":
    main()
