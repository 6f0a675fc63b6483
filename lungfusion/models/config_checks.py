"""What a configuration's values are checked for."""

import math
import re

from timm import is_model

PLAIN_NAME = re.compile(r"[\w.-]+")  # not hf-hub:… or local-dir:…, for which timm would look elsewhere


def is_backbone(name):
    return bool(PLAIN_NAME.fullmatch(name)) and is_model(name)


def check_range(config, limits, *names):
    for name in names:
        if not within(getattr(config, name), limits):
            raise ValueError(f"{name} is {getattr(config, name)}: give a value from {limits[0]} to {limits[1]}.")


def within(value, limits):
    return limits[0] <= value <= limits[1]


def check_finite(config, *names):
    for name in names:
        if not math.isfinite(getattr(config, name)):
            raise ValueError(f"{name} is {getattr(config, name)}: give a finite value.")


def check_lesions(config, sides):
    check_range(config, sides, "lesion_size")
    if config.lesion_size % 16:
        raise ValueError(f"lesion_size is {config.lesion_size}: give a multiple of 16, the stride of its map.")
    if config.coarse_size is not None:
        check_range(config, sides, "coarse_size")
    if config.lesion_backbone is not None and not is_backbone(config.lesion_backbone):
        raise ValueError(f"lesion_backbone is {config.lesion_backbone!r}, which is no model of timm.")
    if bool(config.lesion_backbone) != bool(config.lesion_findings):
        raise ValueError("lesion_backbone and lesion_findings go together: give both or neither.")
