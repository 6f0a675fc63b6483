"""Random views of the lungs for the lesion branch: moved, changed in grey, with made nodules in healthy ones."""

import torch

from lungfusion.models.concatenation import compose, sample
from train.augment.hospitals import coarse, film, gamma, local_contrast, noise, random_affine, slope, sometimes, window
from train.augment.nodules import mm_per_unit, with_made_lesions


def random_views(batch, region, size, made):
    """What the lesion branch learns from.

    Args:
        batch: as `train.data.lesions.LesionRadiographs` gives it, images as floats.
        region: function of alpha → (B, 2, 3), the lungs' box.
        size: side of the pictures in pixels.
        made: share of the pictures without a lesion that are given some; and half of all those get look-alikes. 0: all
            stay as they are.

    Returns:
        picture: (B, 1, size, size) float in [0, 1].
        view: (B, 2, 3) float32, from places in it to places in the radiograph.
        batch: with the labels and places of the lesions made.
    """
    image, alpha = batch["pixel_values"], batch["alpha"]
    box = region(alpha)
    move = random_affine(len(image), flip=0.5, rotation=12, scale=(0.8, 1.15), aspect=1.12, shift=0.07)
    view = compose(box, move.to(image.device))
    picture = sample(image, view, size)
    if made:
        picture, batch = made_lesions(picture, alpha, view, mm_per_unit(box), batch, made)
    for share, change in ((0.5, gamma), (0.3, slope), (0.3, local_contrast), (0.4, window), (0.3, coarse)):
        picture = sometimes(share, change, picture)
    picture = sometimes(0.1, film, picture)
    return sometimes(0.3, noise, picture), view, batch


def made_lesions(picture, alpha, view, mm, batch, made):
    """Some of the healthy pictures with made lesions, and the batch that says so."""
    healthy = batch["healthy"]
    if not healthy.any():
        return picture, batch
    chosen = torch.rand(int(healthy.sum()), device=picture.device) < made
    drawn, boxes, _ = with_made_lesions(picture[healthy], alpha[healthy], view[healthy], mm[healthy], chosen)
    picture, batch = picture.clone(), dict(batch)
    picture[healthy] = drawn
    boxes_of_all = torch.full((len(picture), *boxes.shape[1:]), torch.nan, device=picture.device)
    boxes_of_all[healthy] = boxes
    ill = healthy.clone()
    ill[healthy] = chosen
    kinds = [(boxes_of_all[:, :, 0] == kind).any(1) for kind in (0, 1)]
    present = torch.stack([*kinds, kinds[0] | kinds[1]], dim=1).float()
    batch["labels"] = torch.where(ill[:, None], present, batch["labels"])
    batch["weights"] = torch.where(ill[:, None], 1.0, batch["weights"])
    batch["place_weights"] = torch.where(ill, 1.0, batch["place_weights"])
    batch["boxes"] = torch.cat([batch["boxes"], boxes_of_all], dim=1)
    return picture, batch
