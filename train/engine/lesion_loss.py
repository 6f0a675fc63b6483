"""What the lesion branch learns by: whether there is a nodule or a mass, and where."""

import torch
from torch.nn import functional as F

from lungfusion.models.lesion_branch import pool_lesions

FADED = 0.1  # a place's target below this counts as none


def lesion_loss(lesion_map, view, batch):
    """The image's loss, and that of the places in it where they are known; () float tensor.

    Args:
        lesion_map: (B, 2, h, w) float logits of nodule and mass.
        view: (B, 2, 3) float32, from places in the map to places in the radiograph.
        batch: `labels`, `weights` (B, 3), `boxes` (B, M, 5), `place_weights` (B,) as `train.data.lesions` has them.
    """
    maps = with_either(lesion_map.float())  # (B, 3, h, w)
    labels, weights = batch["labels"].nan_to_num(0), batch["weights"]
    of_images = F.binary_cross_entropy_with_logits(pool_lesions(maps), labels, reduction="none")
    image_loss = (of_images * weights).sum() / weights.sum().clamp(min=1)
    target = place_targets(batch["boxes"], view, maps.shape[-1])
    weights = batch["place_weights"][:, None, None, None]
    of_places = (maps.sigmoid() - target) ** 2 * F.binary_cross_entropy_with_logits(maps, target, reduction="none")
    return image_loss + (of_places * weights).sum() / (target * weights).sum().clamp(min=1)


def with_either(lesion_map):
    """(B, 2, h, w) logits of nodule and mass → (B, 3, h, w), the third of either."""
    return torch.cat([lesion_map, torch.logsumexp(lesion_map, dim=1, keepdim=True)], dim=1)


def place_targets(boxes, view, side):
    """Boxes as what a map should say.

    As in Zhou et al. 2019 ("Objects as points"): 1 in the middle of a box, half at the ellipse it holds, 0 far away;
    the loss is that of Li et al. 2020 ("Generalized focal loss"), for such soft targets.

    Args:
        boxes: (B, M, 5) float: which lesion, centre x, y, half width, half height in the radiograph; NaN for none.
        view: (B, 2, 3), from places in the map to places in the radiograph.
        side: of the map, places.

    Returns:
        (B, 3, side, side) float in [0, 1]: of nodule, mass and either.
    """
    grid = F.affine_grid(view, [len(view), 1, side, side], align_corners=False)  # (B, h, w, 2)
    kind, centre, half = boxes[..., 0], boxes[..., 1:3], boxes[..., 3:5]
    cell = torch.linalg.vector_norm(view[:, :, :2], dim=1) / side  # (B, 2): half a place, in the radiograph
    away = (grid[:, None] - centre[:, :, None, None]) ** 2 / (half**2 + cell[:, None] ** 2)[:, :, None, None]
    target = 0.5 ** away.sum(-1)  # (B, M, h, w)
    target = target / target.amax((2, 3), keepdim=True).clamp(min=0.5)  # the nearest place has all of it
    target = torch.where(target.nan_to_num(0) > FADED, target, 0)
    of_kind = [(target * (kind == number)[..., None, None]).amax(1) for number in (0, 1)]
    return torch.stack([*of_kind, torch.maximum(*of_kind)], dim=1)
