"""A classifier of your own on the fused features: python examples/features_to_sklearn.py FOLDER

FOLDER holds one folder of radiographs for each class. It needs `pip install scikit-learn`, and a patient's images must
not be in two parts: here each image stands for a patient.
"""

import sys
from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lungfusion import LungFusionPipeline


def main(folder, model=None):
    images = sorted(Path(folder).glob("*/*"))
    labels = [image.parent.name for image in images]
    features = LungFusionPipeline.from_pretrained(model).features(images)  # (N, D)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    accuracy = cross_val_score(classifier, features, labels, cv=3)
    print(f"{len(images)} images, {features.shape[1]} features: accuracy {accuracy.mean():.2f} ± {accuracy.std():.2f}")
    return accuracy


if __name__ == "__main__":
    if len(sys.argv) <= 1:
        sys.exit(__doc__)
    main(*sys.argv[1:])
