"""Load the model of a checkpoint: all of its weights, or an error."""

import hashlib
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig
from transformers.utils import logging

from .models import LungFusionConfig, LungFusionForImageClassification, LungUNetConfig, LungUNetForSemanticSegmentation

BUNDLED = Path(str(files("lungfusion"))) / "checkpoints" / "default"  # the folder of the bundled checkpoint
MODELS = {
    LungFusionConfig.model_type: LungFusionForImageClassification,
    LungUNetConfig.model_type: LungUNetForSemanticSegmentation,
}
WEIGHTS = "model.safetensors"
SHA256_DIGITS = 64


def load_model(name_or_path=None, revision=None, dtype=torch.float32):
    """`LungFusionForImageClassification` or `LungUNetForSemanticSegmentation`, whichever is there, on the CPU.

    Args:
        name_or_path: id on the Hub, or a folder, a run's too; the bundled checkpoint if None (no network needed).
        revision: branch, tag or commit on the Hub.
        dtype: of the weights.

    Raises:
        OSError: nothing to load there, no safetensors, or they were damaged on the way.
        ValueError: it is no LungFusion checkpoint, or some of its weights are missing or of another shape.
    """
    source = checkpoint_of(name_or_path)
    config = load_config(source, revision)
    with no_progress_bar():
        model, loaded = MODELS[config.model_type].from_pretrained(
            source,
            revision=revision,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named below
            use_safetensors=True,  # never a pickle, which is code
        )
    if not Path(source).is_dir():
        check_weights(source, revision)
    missing = [key for key in loaded["missing_keys"] if "view_head." not in key]  # of before 0.3: it says nothing then
    if absent := sorted(missing) + sorted(str(key) for key in loaded["mismatched_keys"]):
        raise ValueError(
            f"{source} lacks {len(absent)} of the model's weights, {absent[0]} among them: save it again, whole."
        )
    return model


def load_config(name_or_path=None, revision=None):
    """The configuration of the same checkpoint, without its weights; raises what `load_model` does of it."""
    source = checkpoint_of(name_or_path)
    if Path(source).is_dir() and not (Path(source) / "config.json").exists():
        raise OSError(f"{source} has no config.json: give a folder written by save_pretrained, or an id on the Hub.")
    # trust_remote_code: if it is not given, transformers asks on the terminal whether to run theirs
    where = {"revision": revision, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(source, **where)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{source} has a config.json that is no configuration of a model. {error}") from error
    if config.model_type not in MODELS:
        raise ValueError(f"{source} holds a {config.model_type} model: give a checkpoint of LungFusion.")
    return config


def checkpoint_of(name_or_path=None):
    """The bundled checkpoint for None; the one within a run's folder, in `model`; else what was given. As str."""
    if name_or_path is None:
        return str(BUNDLED)
    folder = Path(name_or_path)
    within = (folder / "model" / "config.json").is_file() and not (folder / "config.json").exists()
    return str(folder / "model" if within else name_or_path)


def check_weights(repo_id, revision=None):
    """Compare cached weights with the SHA-256 that the Hub gave for them, which names their file in the cache.

    huggingface_hub compares sizes alone, and safetensors reads whatever numbers are there.

    Args:
        repo_id: OWNER/NAME.
        revision: branch, tag or commit, as just loaded; `main` if None.

    Raises:
        OSError: they differ. The file is deleted, so that it is fetched anew.
    """
    path = try_to_load_from_cache(repo_id, WEIGHTS, revision=revision)
    if not isinstance(path, str):
        return
    file = Path(path).resolve()
    if len(file.name) != SHA256_DIGITS:  # a cache without links (on Windows) does not keep it
        return
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != file.name:
        file.unlink()
        raise OSError(f"The weights of {repo_id} were damaged on the way or on this disk, and are deleted: try again.")


@contextmanager
def no_progress_bar():
    """Silence transformers' bar over the weights, which are read and written in a second."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
