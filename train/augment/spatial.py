"""Random changes of where things lie: the image and its mask move together."""

import math

import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvF

ELASTIC_NODES = 5  # random displacements along each side; between them they are interpolated


class Warp(v2.Transform):
    """Tilt, shear, magnification, aspect, shift and elastic deformation in one resampling; black comes in from outside.

    `v2.RandomAffine` keeps the aspect, and `v2.ElasticTransform` takes 90 ms for 256 px at the smoothness of a body;
    one smooth sampling grid for all of them takes 3 ms. Angles, shear and shift are mostly small (triangular).

    Args:
        rotation: largest tilt, degrees.
        shear: largest shear, degrees.
        scale: smallest and largest magnification.
        aspect: largest ratio by which one side is stretched against the other. Below magnification 1 this puts bars
            at two sides, as letterboxing does.
        shift: largest shift, as a fraction of the side.
        elastic: standard deviation of the elastic displacement, as a fraction of the side.
    """

    def __init__(self, rotation, shear, scale, aspect, shift, elastic):
        super().__init__()
        self.rotation, self.shear, self.scale = rotation, shear, scale
        self.aspect, self.shift, self.elastic = aspect, shift, elastic

    def make_params(self, flat_inputs):
        height, width = flat_inputs[0].shape[-2:]
        angle, shear = math.radians(mostly_small(self.rotation)), math.tan(math.radians(mostly_small(self.shear)))
        scale = math.exp(uniform(*map(math.log, self.scale)))
        stretch = math.exp(uniform(-0.5, 0.5) * math.log(self.aspect))
        turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        shrink = torch.tensor([[1 / (scale * stretch), shear], [0, stretch / scale]])
        shift = 2 * torch.tensor([[mostly_small(self.shift)], [mostly_small(self.shift)]])  # the grid spans -1 … 1
        affine = torch.cat([turn @ shrink, shift], dim=1)  # (2, 3), from the result to the source
        grid = F.affine_grid(affine[None], (1, 1, height, width), align_corners=False)  # (1, H, W, 2)
        nodes = 2 * self.elastic * torch.randn(1, 2, ELASTIC_NODES, ELASTIC_NODES)
        return {"grid": grid + F.interpolate(nodes, (height, width), mode="bicubic").permute(0, 2, 3, 1)}

    def transform(self, inpt, params):
        mode = "nearest" if isinstance(inpt, tv_tensors.Mask) else "bilinear"
        moved = F.grid_sample(inpt.as_subclass(torch.Tensor)[None], params["grid"], mode, align_corners=False)[0]
        return tv_tensors.wrap(moved, like=inpt)


class Collimate(v2.Transform):
    """The X-ray field is a quadrilateral inside the picture: outside all is black or, on scanned film, white.

    What the picture does not show is no lung in the mask either.

    Args:
        depth: largest margin outside the field, as a fraction of the side.
        white: probability of white instead of black.
    """

    def __init__(self, depth, white):
        super().__init__()
        self.depth, self.white = depth, white

    def make_params(self, flat_inputs):
        height, width = flat_inputs[0].shape[-2:]
        left, top, right, bottom = (uniform(-self.depth / 2, self.depth) for _ in range(4))
        corners = [(left, top), (1 - right, top), (1 - right, 1 - bottom), (left, 1 - bottom)]
        field = Image.new("L", (width, height))
        skewed = [((x + uniform(-0.02, 0.02)) * width, (y + uniform(-0.02, 0.02)) * height) for x, y in corners]
        ImageDraw.Draw(field).polygon(skewed, fill=255)
        return {"field": tvF.pil_to_tensor(field) > 0, "outside": float(uniform(0, 1) < self.white)}

    def transform(self, inpt, params):
        outside = 0.0 if isinstance(inpt, tv_tensors.Mask) else params["outside"]
        seen = torch.where(params["field"], inpt.as_subclass(torch.Tensor), outside)
        return tv_tensors.wrap(seen, like=inpt)


def uniform(low, high):
    return torch.empty(()).uniform_(low, high).item()


def mostly_small(limit):
    """A number in [-limit, limit], triangular: the most likely is 0."""
    return limit * (uniform(0, 1) - uniform(0, 1))
