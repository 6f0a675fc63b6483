"""One augmentation for segmenter and classifier: whole batches, image and mask together, on their device.

    augment = Augmentation("hospitals", flip=0.5, film=0.6, fourier=0.6)
    images, masks = augment(images, masks)        # (B, 1, S, S) float32 in [0, 1]
    images, _ = augment(images)                   # without masks

A recipe's `augmentation: {preset: …, …}` is `Augmentation(**recipe["augmentation"])`. A preset is two lists of (share,
function): those of `geometry`, which change image and mask together, then those of `exposure` and `devices`, which
change the image alone; each is applied to a random share of the batch. Random numbers are torch's own:
`torch.manual_seed` makes them repeat. As a rule a batch holds images of several hospitals: `hospitals` mixes their
spectra.
"""

from functools import partial

import torch

from train.augment import exposure
from train.augment.devices import plates, tubes, writing
from train.augment.geometry import collimate, mirrored, warp
from train.augment.white_lungs import white_lungs


class Augmentation:
    """What a preset says, for batches.

    Args:
        preset: `none`, `plain`, `strong`, `mixed` or `hospitals`.
        settings: arguments of that preset's function below.

    Raises:
        ValueError: there is no such preset.
        TypeError: it has no such setting.
    """

    def __init__(self, preset="plain", **settings):
        if preset not in PRESETS:
            raise ValueError(f"augmentation.preset is {preset!r}: choose one of {', '.join(PRESETS)}.")
        self.together, self.alone = PRESETS[preset](**settings)

    @torch.no_grad()
    def __call__(self, images, masks=None):
        """images, masks: (B, 1, S, S) float in [0, 1], masks soft or None → both anew."""
        with torch.autocast(images.device.type, enabled=False):  # half precision cannot place 384 pixels
            return change(images, masks, self.together, self.alone)


def change(images, masks, together, alone):
    """Apply the functions of two lists of (share, function), each to a random share of the batch."""
    images, masks = images.clone(), None if masks is None else masks.clone()
    for share, function in together:
        rows = random_rows(images, share)
        if len(rows):
            replace(images, masks, rows, function)
    for share, function in alone:
        rows = random_rows(images, share)
        if len(rows):
            images.index_copy_(0, rows, function(images.index_select(0, rows)).clamp(0, 1))
    return images, masks


def random_rows(images, share):
    return (torch.rand(len(images), device=images.device) < share).nonzero()[:, 0]


def replace(images, masks, rows, function):
    """Change some rows of both, in place."""
    chosen = images.index_select(0, rows), None if masks is None else masks.index_select(0, rows)
    for whole, changed in zip((images, masks), function(*chosen), strict=True):
        if whole is not None:
            whole.index_copy_(0, rows, changed)


def none():
    return [], []


def plain(flip=0.0, rotation=30, shift=0.1, scale=(0.8, 1.2), shear=5, brightness=0.3, contrast=0.3, noise=0.05):
    """What one radiograph may show as well as another: position, tilt, exposure, noise.

    Args:
        flip: share mirrored. 0 where a finding is of one side: a mirror image destroys laterality.
        rotation: largest tilt, degrees.
        shift: largest shift, as a fraction of the side.
        scale: smallest and largest magnification.
        shear: largest shear, degrees.
        brightness, contrast: largest relative change.
        noise: standard deviation of the Gaussian noise, added to half of the images.
    """
    limits = {"rotation": rotation, "shift": shift, "scale": scale, "shear": shear}
    return [(flip, mirrored), (1.0, partial(warp, **limits))], [
        (1.0, partial(exposure.jitter, brightness=brightness, contrast=contrast)),
        (0.5, partial(exposure.noise, least=noise, most=noise)),
    ]


def strong(flip=0.0, white=0.0, devices=0.0):
    """What sets one hospital's radiographs apart from another's, in one training set.

    The idea is that of stacked transformations (Zhang et al. 2020, IEEE TMI 39(7)): strong, cheap changes of place,
    sharpness and grey levels carry a segmenter to scanners it never saw. The last step is the image processor's own
    contrast stretch, through which every real image goes.

    Args:
        flip: share mirrored. 0 where a finding is of one side: a mirror image destroys laterality.
        white: share whose lungs are painted white, in part or as a whole (`white_lungs`).
        devices: share with tubes, wires and electrodes.
    """
    limits = {"rotation": 35, "scale": (0.7, 1.4), "aspect": 1.4, "shear": 10, "shift": 0.15}
    return [
        (white, lambda images, masks: (white_lungs(images, masks), masks)),
        (flip, mirrored),
        (0.9, partial(warp, elastic=0.012, **limits)),
        (0.2, collimate),
    ], [
        (devices, tubes),
        (0.4, exposure.gamma),
        (0.2, exposure.slope),
        (0.15, exposure.uneven),
        (0.3, exposure.local_contrast),
        (0.4, exposure.window),
        (0.1, exposure.flat),
        (0.2, partial(exposure.coarse, least=1.5, most=5)),
        (0.1, exposure.sharpened),
        (0.15, exposure.film),
        (0.05, exposure.grid),
        (0.3, exposure.noise),
        (0.15, exposure.inverted),
        (0.3, plates),
        (0.2, writing),
        (0.1, exposure.equalised),
        (0.2, exposure.jpeg),
        (1.0, exposure.stretched),
    ]


def mixed(flip=0.0):
    """`plain` or `strong`, each for half of the images: for what strong changes would hide."""
    return [(1.0, partial(one_of, presets=[plain(flip), strong(flip)]))], []


def one_of(images, masks, presets):
    """Each image and its mask by one of several presets."""
    chosen = torch.randint(len(presets), (len(images),), device=images.device)
    for number, (together, alone) in enumerate(presets):
        replace(images, masks, (chosen == number).nonzero()[:, 0], partial(change, together=together, alone=alone))
    return images, masks


def hospitals(flip=0.5, film=0.35, fourier=0.3, moves=True):
    """Position, exposure, film and amplitude spectrum, for a classifier of what lies in the lungs.

    Args:
        flip: share mirrored; 0 where a finding is of one side.
        film: share of the pictures that are made to look like scanned or photographed film.
        fourier: share whose amplitude spectrum is mixed with that of another picture of the batch.
        moves: whether image and mask are moved together; if not, the image alone is changed, in its grey values.
    """
    limits = {"rotation": 15, "scale": (0.83, 1.18), "aspect": 1.2, "shift": 0.08}
    return [(1.0, partial(warp, **limits)), (flip, mirrored)] if moves else [], [
        (0.5, exposure.gamma),
        (0.3, exposure.slope),
        (0.4, exposure.local_contrast),
        (0.5, exposure.window),
        (0.25, exposure.coarse),
        (0.2, exposure.jpeg),
        (film, exposure.film),
        (film / 3, exposure.grid),
        (fourier, exposure.mixed_amplitude),
        (0.3, exposure.noise),
    ]


PRESETS = {function.__name__: function for function in (none, plain, strong, mixed, hospitals)}
