"""Checkpoints of version 0.2.0 and earlier, with whose weights a run may begin: brought into today's form."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import safe_open
from safetensors.torch import save_file

from lungfusion.loading import checkpoint_of
from lungfusion.models.configuration_lungfusion import OF_VERSION_0_2

RENAMED = {"novelty.": "ood_head.", "whitening": "precision_cholesky"}  # in the names of weights
GONE = "lesions."  # a branch that there was in 0.2.0 alone
OF_A_FINDING = {  # setting of `FindingConfig` → what config.json called it, a dict over findings
    "threshold": "thresholds",
    "rule_out_threshold": "rule_out_thresholds",
    "temperature": "temperatures",
    "bias": "biases",
    "population": "populations",
    "max_ood_score": "max_ood_scores",
    "min_side": "min_sides",
}


@contextmanager
def in_todays_form(name_or_path):
    """Meanwhile the place of a checkpoint that today's code loads: itself, or a copy of an earlier version's folder."""
    folder = Path(checkpoint_of(name_or_path))
    if not (folder / "config.json").is_file() or not is_of_earlier_version(folder):
        yield name_or_path
        return
    with TemporaryDirectory() as copy:
        convert(folder, Path(copy))
        yield copy


def is_of_earlier_version(folder):
    if any(name in json.loads((folder / "config.json").read_text()) for name in OF_VERSION_0_2):
        return True
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return False
    with safe_open(weights, "pt") as file:
        return any(old in key for key in file.keys() for old in RENAMED)  # noqa: SIM118


def convert(folder, output):
    """Write config.json, weights and processor of an earlier version's checkpoint into a folder, in today's form."""
    config = json.loads((folder / "config.json").read_text())
    (output / "config.json").write_text(json.dumps(converted(config), indent=2) + "\n")
    weights = {}
    with safe_open(folder / "model.safetensors", "pt") as file:
        for key in file.keys():  # noqa: SIM118
            name = key
            for old, new in RENAMED.items():
                name = name.replace(old, new)
            if not name.startswith(GONE):
                weights[name] = file.get_tensor(key)
    save_file(weights, output / "model.safetensors", metadata={"format": "pt"})
    for path in folder.glob("preprocessor_config.json"):
        shutil.copy(path, output)


def converted(config):
    """config.json of a classifier, or of a segmenter, whose own has not changed."""
    if "thresholds" not in config:
        return config
    names = [config["id2label"][str(number)] for number in range(len(config["id2label"]))]
    findings = {}
    for name in names:
        settings = {new: config[old][name] for new, old in OF_A_FINDING.items() if name in config.get(old, {})}
        told = {key: name in config.get(key, names) for key in ("shown", "explained")}
        findings[name] = settings | told
    gone = [*OF_A_FINDING.values(), "shown", "explained", "lesion_backbone", "lesion_findings", "lesion_size"]
    gone += ["coarse_size", "operating_points", "hospitals", "reference_scores", "sources"]
    return {key: value for key, value in config.items() if key not in gone} | {"findings": findings}
