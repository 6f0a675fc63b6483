"""Trained weights that a run begins with or builds on: whole, or an error that says what to give."""

from pathlib import Path

from lungfusion.loading import load_model
from lungfusion.models import LungFusionForImageClassification
from train.engine.earlier_versions import in_todays_form


def load_segmenter(name_or_path):
    """A trained `LungUNetForSemanticSegmentation`, float32 on the CPU, in evaluation mode.

    Args:
        name_or_path: folder or id on the Hub: a segmenter, or a classifier, which lends its own; the bundled
            checkpoint's if None.

    Raises:
        ValueError: there is none, or some of its weights are missing or of another shape.
    """
    model = load_trained(name_or_path, "a trained segmenter, or a LungFusion classifier, whose own is taken")
    segmenter = getattr(model, "segmenter", model)
    segmenter.config._name_or_path = ""  # where it lay does not matter to those who get the whole
    return segmenter


def load_classifier(name_or_path):
    """A trained `LungFusionForImageClassification`, as `load_segmenter` loads a segmenter."""
    wanted = "a trained LungFusion classifier"
    model = load_trained(name_or_path, wanted)
    if not isinstance(model, LungFusionForImageClassification):
        raise ValueError(f"{name_or_path} holds a segmenter alone. Give {wanted}: its folder, or its id on the Hub.")
    return model


def load_trained(name_or_path, wanted):
    try:
        with in_todays_form(name_or_path) as place:
            return load_model(place).eval()
    except (OSError, ValueError) as error:
        there = Path(name_or_path or ".").is_dir()
        said = error if there else f"There is no folder {name_or_path}, and the Hub gave no model of that name."
        raise ValueError(f"{said} Give {wanted}: its folder, or its id on the Hub.") from error
