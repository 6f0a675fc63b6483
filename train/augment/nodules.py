"""Made nodules: lesions of known size and place in healthy lungs, and look-alikes that are none.

A body in the lungs takes the place of lung and weakens the rays that pass it: by Beer and Lambert's law the logarithm
of what reaches the detector falls by μ times its thickness, whatever lies before or behind it. A radiograph's grey
value is taken as proportional to that logarithm, so a body is added to the picture; ribs, vessels and heart stay seen
through it. Scattered rays, of which more reach the detector behind heart and diaphragm, wash it out there.

Millimetres are estimated: the lungs of an adult, seen from the front, are taken as 280 mm wide, and pixels as square.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from lungfusion.models.concatenation import sample
from train.augment.hospitals import mean_around

LUNGS_WIDTH = 280.0  # mm, from outer wall to outer wall
ATTENUATION = 0.02  # per mm of water at about 65 keV, which 120 kV come down to in a patient
LUNG_DENSITY = 0.25  # of water
LUNG_SCATTER, HEART_SCATTER = 0.4, 0.8  # share of scattered rays with a grid, behind lung and behind the mediastinum
MEDIASTINUM = 0.7  # by so much the logarithm at the detector differs between lung and mediastinum, scatter included
SIZES = 5.0, 40.0  # mm, diameter
MASS = 30.0  # mm, from which a nodule is called a mass (Hansell et al. 2008, Fleischner Society)
GAINS = 1.0, 2.2  # digital radiographs are processed so that small things stand out more than large ones, by so much
MIN_CONTRAST = 0.015  # of the grey range: nobody could see a lesion of less
BODIES = 3  # lesions in a picture at most; as many look-alikes


@dataclass
class Bodies:
    """M bodies in each of B pictures: (B, M) float tensors.

    x, y: centre in the picture, from −1 to 1. diameter: mm. aspect: length to width. angle: of the length, radians.
    irregular: how far the outline departs from an ellipse, 0 … 0.3; phase: where. soft: exponent of the profile, 0.5
    for a sphere, more for one that fades to its border. density: of water. depth: thickness to diameter. kind: 0
    nodule, 1 mass, −1 a look-alike; `present`: 1 where there is one at all.
    """

    x: torch.Tensor
    y: torch.Tensor
    diameter: torch.Tensor
    aspect: torch.Tensor
    angle: torch.Tensor
    irregular: torch.Tensor
    phase: torch.Tensor
    soft: torch.Tensor
    density: torch.Tensor
    depth: torch.Tensor
    kind: torch.Tensor
    present: torch.Tensor

    def joined(self, other):
        """Both, side by side."""
        return Bodies(*(torch.cat(pair, dim=1) for pair in zip(vars(self).values(), vars(other).values(), strict=True)))


def add_bodies(picture, lungs, bodies, view, mm, gain=1.0):
    """Draw bodies into pictures of the lungs' region.

    Args:
        picture: (B, 1, S, S) float in [0, 1], bone white.
        lungs: (B, 1, S, S) float in [0, 1], the lung mask in the same view.
        bodies: `Bodies`.
        view: (B, 2, 3), from places in the picture to places in the radiograph.
        mm: (B,) millimetres to one unit of the radiograph, whose sides are 2 units long.
        gain: (B, 1, 1, 1) or one for all: how much the radiograph's processing raises small things.

    Returns:
        picture: (B, 1, S, S) float in [0, 1].
        boxes: (B, M, 5): kind, centre x, y, half width and half height in the radiograph, as `train.data.lesions` has
            them; NaN for what is no lesion, or one that cannot be seen (`MIN_CONTRAST`).
        contrast: (B, M): by how much of the grey range each body's centre is lighter than it was.
    """
    inside, outside = mean_within(picture, lungs), mean_within(picture, 1 - lungs)
    span = (outside - inside).clamp(min=0.15)
    denser = ((mean_around(picture, 7) - inside) / span).clamp(0, 1)  # 0 as lung, 1 as mediastinum
    scatter = LUNG_SCATTER + (HEART_SCATTER - LUNG_SCATTER) * denser  # (B, 1, S, S)
    thickness, offset = body_shapes(bodies, view, mm, picture.shape[-1])  # (B, M, S, S), mm
    path = attenuating_path(thickness, bodies.density[..., None, None])
    lighter = shadow((path * bodies.present[..., None, None]).sum(1, keepdim=True), scatter) * gain * span / MEDIASTINUM
    centres = torch.stack([bodies.x, bodies.y], dim=-1)[:, :, None]  # (B, M, 1, 2)
    contrast = F.grid_sample(lighter, centres, align_corners=False)[:, 0, :, 0]
    place, radius = offset, bodies.diameter * bodies.aspect.sqrt() / 2 / mm[:, None]
    boxes = torch.stack([bodies.kind, place[..., 0], place[..., 1], radius, radius], dim=-1)
    lesion = (bodies.kind >= 0) & (bodies.present > 0) & (contrast >= MIN_CONTRAST)
    boxes = torch.where(lesion[..., None], boxes, torch.nan)
    return (picture + lighter).clamp(0, 1), boxes, contrast * bodies.present


def shadow(path, scatter):
    """By how much the logarithm at the detector falls: −ln((1 − s) e^(−path) + s), s being the share of scattered rays,
    of which the body takes none away.
    """
    return -torch.log((1 - scatter) * torch.exp(-path) + scatter)


def attenuating_path(thickness, density):
    """μ times thickness (mm) of a body of so much of water's density, instead of the lung whose place it takes."""
    return ATTENUATION * (density - LUNG_DENSITY).clamp(min=0) * thickness


def body_shapes(bodies, view, mm, side):
    """Thickness of each body at each pixel, (B, M, side, side) mm; and its centre in the radiograph, (B, M, 2)."""
    grid = F.affine_grid(view, [len(view), 1, side, side], align_corners=False)  # (B, S, S, 2)
    here = torch.stack([bodies.x, bodies.y, torch.ones_like(bodies.x)], dim=-1)  # (B, M, 3)
    centre = here @ view.transpose(1, 2)  # (B, M, 2)
    away = (grid[:, None] - centre[:, :, None, None]) * mm[:, None, None, None, None]  # (B, M, S, S, 2), mm
    cos, sin = (f(bodies.angle)[..., None, None] for f in (torch.cos, torch.sin))
    stretch = bodies.aspect.sqrt()[..., None, None]
    radius = bodies.diameter[..., None, None] / 2
    along = (cos * away[..., 0] + sin * away[..., 1]) / (radius * stretch)
    across = (cos * away[..., 1] - sin * away[..., 0]) / (radius / stretch)
    turn, phase = torch.atan2(across, along), bodies.phase[..., None, None]
    outline = sum(torch.cos(k * turn + k * k * phase) / k for k in (2, 3, 5, 7))
    outline = 1 + bodies.irregular[..., None, None] * outline
    inside = (1 - (along**2 + across**2) / outline.clamp(min=0.3) ** 2).clamp(min=0)
    return 2 * radius * bodies.depth[..., None, None] * inside ** bodies.soft[..., None, None], centre


def mean_within(picture, mask):
    """(B, 1, 1, 1): mean grey value where the mask is."""
    return (picture * mask).sum((1, 2, 3), keepdim=True) / mask.sum((1, 2, 3), keepdim=True).clamp(min=1)


def mm_per_unit(roi_affine):
    """(B, 2, 3), the lungs' box with `lung_box`'s margin of 6 % on either side → (B,) mm to a unit of the image."""
    width = 2 * torch.linalg.vector_norm(roi_affine[:, :, 0], dim=1) / 1.12  # units, two to the radiograph's side
    return LUNGS_WIDTH / width


def random_lesions(lungs, sizes=SIZES):
    """One to `BODIES` nodules or masses in each picture: one in five where the mask ends, behind heart or diaphragm."""
    count, device = len(lungs), lungs.device
    shape = (count, BODIES)

    def between(low, high):
        return torch.empty(shape, device=device).uniform_(low, high)

    diameter = between(math.log(sizes[0]), math.log(sizes[1])).exp()
    x, y = random_places(lungs, reach=4, share=0.2)
    ground_glass = torch.rand(shape, device=device) < 0.15
    density = torch.where(ground_glass, between(0.45, 0.7), between(0.85, 1.1))
    density = torch.where(torch.rand(shape, device=device) < 0.1, between(1.2, 1.6), density)  # chalk in it
    present = torch.arange(BODIES, device=device) < torch.randint(1, BODIES + 1, (count, 1), device=device)
    return Bodies(
        x,
        y,
        diameter,
        aspect=between(-0.3, 0.3).exp(),
        angle=between(0, math.pi),
        irregular=between(0, 1) ** 2 * 0.3,
        phase=between(0, 2 * math.pi),
        soft=torch.where(ground_glass, between(1, 2), between(0.5, 1)),
        density=density,
        depth=between(0.7, 1.2),
        kind=(diameter > MASS).float(),
        present=present.float(),
    )


def random_look_alikes(lungs):
    """What is often taken for a nodule: vessels end-on or along, nipples, ends of ribs; 0 to 3 in each picture."""
    count, device = len(lungs), lungs.device
    shape = (count, BODIES)

    def between(low, high):
        return torch.empty(shape, device=device).uniform_(low, high)

    x, y = random_places(lungs)
    which = torch.randint(0, 4, (count, 1), device=device).expand(shape)  # one sort in a picture: nipples come in pairs
    end_on, along, nipple = which == 0, which == 1, which == 2

    def of(vessel, lengthwise, nipples, ribs):
        return torch.where(end_on, vessel, torch.where(along, lengthwise, torch.where(nipple, nipples, ribs)))

    side = torch.tensor([-1.0, 1.0, 0.0], device=device).expand(shape)
    nipple_x = side * between(0.5, 0.62)[:, :1] + between(-0.03, 0.03)
    nipple_y = between(0.3, 0.65)[:, :1] + between(-0.04, 0.04)
    number = torch.randint(0, BODIES + 1, (count, 1), device=device)
    number = torch.where(nipple[:, :1], 2 * (number > 0), number)
    present = (torch.arange(BODIES, device=device) < number).float()
    return Bodies(
        x=of(0.5 * x, x, nipple_x, x.sign() * between(0.25, 0.55)),
        y=of(0.5 * y, y, nipple_y, between(-0.8, 0.5)),
        diameter=of(between(2, 4.5), between(5, 8), between(8, 12), between(9, 14)),
        aspect=of(between(1, 1.2), between(5, 10), between(0.9, 1.2), between(2, 4)),
        angle=between(0, math.pi),
        irregular=of(between(0, 0.05), between(0, 0.1), between(0, 0.05), between(0.1, 0.3)),
        phase=between(0, 2 * math.pi),
        soft=of(between(0.5, 0.7), between(0.5, 0.8), between(0.2, 0.4), between(0.5, 1)),
        density=of(between(1, 1.1), between(0.8, 1.1), between(1, 1.1), between(1, 1.5)),
        depth=of(between(1.5, 4), between(0.3, 0.8), between(0.4, 0.7), between(0.4, 0.9)),
        kind=torch.full(shape, -1.0, device=device),
        present=present,
    )


def random_places(lungs, reach=0, share=0.0, cells=56):
    """Centres (x, y), (B, `BODIES`) each from −1 to 1: in the lungs, a share of them up to `reach` cells between them
    or below.
    """
    likely = F.adaptive_avg_pool2d(lungs, cells)
    if reach:
        near = F.max_pool2d(likely, 2 * reach + 1, stride=1, padding=reach) - likely
        left, right = likely.cummax(3).values, likely.flip(3).cummax(3).values.flip(3)
        near = near * torch.maximum(torch.minimum(left, right), likely.cummax(2).values)  # between them or below
        per_lung = likely.sum((2, 3), keepdim=True) / near.sum((2, 3), keepdim=True).clamp(min=1)
        likely = (1 - share) * likely + share * per_lung * near
    cell = torch.multinomial(likely.flatten(1) + 1e-6, BODIES)
    jitter = torch.rand(2, *cell.shape, device=lungs.device)
    x, y = ((place + jitter[axis]) * 2 / cells - 1 for axis, place in enumerate((cell % cells, cell // cells)))
    return x, y


def with_made_lesions(picture, alpha, view, mm, chosen):
    """Look-alikes into half of the pictures, lesions into those `chosen`.

    Args:
        picture: (B, 1, S, S) float in [0, 1], healthy lungs.
        alpha: (B, 1, s, s) float in [0, 1], the mask of the whole radiograph.
        view, mm: as for `add_bodies`.
        chosen: (B,) bool.

    Returns:
        picture, boxes, contrast: as `add_bodies` gives them.
    """
    lungs = sample(alpha, view, picture.shape[-1])
    lesions, others = random_lesions(lungs), random_look_alikes(lungs)
    lesions.present = lesions.present * chosen[:, None]
    others.present = others.present * (torch.rand(len(picture), 1, device=picture.device) < 0.5)
    gain = torch.empty(len(picture), 1, 1, 1, device=picture.device).uniform_(*GAINS)
    return add_bodies(picture, lungs, lesions.joined(others), view, mm, gain)
