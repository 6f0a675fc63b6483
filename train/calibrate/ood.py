"""Fit a segmenter's ood_score (`lungfusion.models.ood`) to its training radiographs, as
`train.calibrate.mask_quality` does.

A classifier keeps that of its segmenter, which as a rule has seen more hospitals.
"""

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from lungfusion.models.ood import MahalanobisDistance
from train.data.pictures import image_bytes
from train.data.splits import load_part
from train.engine.loop import round_weights

IMAGES = 500  # of each source at most


def fitted_ood_head(pipeline, recipe):
    """`MahalanobisDistance` fitted to training patients of every source, those without labels too, on the CPU."""
    sources = recipe["sources"] | recipe.get("unlabelled", {})
    parts = {name: load_part(recipe, source, "train") for name, source in sources.items()}
    features = np.concatenate([features_of(pipeline, data, name) for name, data in parts.items()])
    mean, precision_cholesky = mahalanobis(features)
    head = MahalanobisDistance(features.shape[1]).eval()
    head.mean.copy_(torch.from_numpy(mean))
    head.precision_cholesky.copy_(torch.from_numpy(precision_cholesky))
    return round_weights(head)


@torch.inference_mode()
def features_of(pipeline, data, name, batch_size=4):
    """The segmenter's deepest features, mean over places, of radiographs drawn at random: (N, channels)."""
    data = data.shuffle(seed=0).select(range(min(IMAGES, len(data))))
    features = []
    for start in tqdm(range(0, len(data), batch_size), desc=f"Out of distribution: {name}"):
        images = data[start : start + batch_size]["image"]
        pixel_values = pipeline.pixel_values([load_radiograph(image_bytes(image)) for image in images])
        features.append(pipeline.segmenter.encode(pixel_values)[-1].mean((2, 3)).cpu().double().numpy())
    return np.concatenate(features)


def mahalanobis(features):
    """(N, C) → mean (C,) and precision_cholesky (C, C): |(x − mean) @ precision_cholesky| is the Mahalanobis distance
    over √C.

    The covariance is shrunk (Ledoit and Wolf 2004), after each feature was scaled to a variance of 1.
    """
    mean, deviation = features.mean(0), features.std(0).clip(min=1e-6)
    precision = LedoitWolf().fit((features - mean) / deviation).precision_
    return mean, np.linalg.cholesky(precision) / deviation[:, None] / np.sqrt(len(mean))
