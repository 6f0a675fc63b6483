"""What lies over a chest and is no chest: tubes, wires, electrodes, plates, markers, writing.

Each takes and returns (B, 1, H, W) float in [0, 1], every image with lines and places of its own, on its device.
"""

import math

import torch

from train.augment.batch import axes, uniform

LINES = 3  # tubes and wires in an image, each there in half of the images
PLATES = 3  # likewise


def tubes(image):
    """Tubes, catheters and wires: smooth bright lines, most of them lengthwise, some ending in an electrode."""
    for _ in range(LINES):
        image = image + uniform(image, -0.6, 0.6).clamp(min=0) * line(image) * (1 - image)
    return image


def line(image):
    """One line in each image: (B, 1, H, W) float in [0, 1], 1 where it is densest."""
    x, y = axes(image)
    angle = uniform(image, -1, 1) ** 3 * math.pi / 2  # of its course from upright; small ones are likelier
    along, beside = y * angle.cos() - x * angle.sin(), x * angle.cos() + y * angle.sin()
    start, end = uniform(image, -1.6, 0), uniform(image, 0, 1.6)
    reach = torch.linspace(-1.5, 1.5, 4 * max(image.shape[-2:]), device=image.device)  # along it, beyond all corners
    course, steepness = uniform(image, -0.6, 0.6)[:, 0, 0], 0.0
    for waves, swing in ((0.5, 0.3), (1.0, 0.12), (2.0, 0.04)):  # half a wave along the image, one, two
        phase, size = (uniform(image, *ends)[:, 0, 0] for ends in ((0, 2 * math.pi), (-swing, swing)))
        course = course + size * torch.sin(math.pi * waves * reach + phase)
        steepness = steepness + size * math.pi * waves * torch.cos(math.pi * waves * reach + phase)
    place = ((along + 1.5) / 3 * (len(reach) - 1)).round().long().flatten(1)
    aside = beside - course.gather(1, place).view_as(beside)
    distance = aside.abs() * (1 + steepness**2).rsqrt().gather(1, place).view_as(beside)
    width, hollow = uniform(image, 0.006, 0.03), uniform(image, -0.8, 0.8).clamp(min=0)  # 2: a side of the image
    profile = torch.exp(-((distance / width) ** 2)) * (1 - hollow * torch.exp(-((distance / width * 2) ** 2)))
    profile = profile * ((along > start) & (along < end))
    electrode = uniform(image, -0.06, 0.06)  # its radius; below 0: none
    tip = ((along - end) ** 2 + aside**2).sqrt() < electrode
    return torch.maximum(profile, tip.float())


def plates(image):
    """Rectangles of one grey: a pacemaker, a name plate, a marker, a black bar along a side."""
    x, y = axes(image)
    for _ in range(PLATES):
        width, height = uniform(image, 0.03, 0.25), uniform(image, -0.15, 0.15)  # half of each; below 0: none
        inside = ((x - uniform(image, -1.1, 1.1)).abs() < width) & ((y - uniform(image, -1.1, 1.1)).abs() < height)
        grey = uniform(image, -0.5, 1.5).clamp(0, 1)  # as often black or white as between
        image = torch.where(inside, grey, image)
    return image


def writing(image):
    """A line of something like letters, white or black, anywhere."""
    x, y = axes(image)
    rows, columns = 5, 40  # a letter is about five dots high and four wide
    dots = torch.rand(len(image), rows, columns, device=image.device) < 0.55
    dots[:, :, 3::4] = False
    height, letters = uniform(image, 0.03, 0.09), torch.randint(1, columns // 4 + 1, (len(image), 1, 1, 1))
    row = (y - uniform(image, -1, 0.9)) / height * rows
    column = (x - uniform(image, -1, 0.8)) / height * rows
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < 4 * letters.to(image.device))
    number = torch.arange(len(image), device=image.device).view(-1, 1, 1, 1)
    drawn = inside & dots[number, row.long().clamp(0, rows - 1), column.long().clamp(0, columns - 1)]
    return torch.where(drawn, (uniform(image, 0, 1) < 0.8).float(), image)
