"""Publish on the Hub: python -m train.push DIR --repo-id OWNER/NAME, or: python -m train.push --space OWNER/NAME

DIR is a run's folder, or a checkpoint's own. Sent in one commit: the model, saved anew with the code by which it also
loads without this package; its image processor; the card, metrics.json and figures. Checkpoints, logs and what is
said of single images stay where they are.

With --space the app is sent instead, with the package, the bundled checkpoint and the drawings it shows. With both,
the model and then the app, which serves that model. Pictures of patients are never sent: of a run's pictures its
figures alone are.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import torch
from huggingface_hub import metadata_load, metadata_save

from lungfusion import LungFusionForImageClassification, LungFusionPipeline, hub_pipeline
from lungfusion.loading import no_progress_bar
from train.engine.arguments import command_line
from train.publish.hub import PushError, check_name, check_token, publish
from train.publish.space import space_files, write_space_card
from train.report.card import RECIPE, own_tables
from train.report.figures import FIGURES

PLACE = "FOLDER_OR_ID"  # stands in the card for where the model is


def main(arguments=None):
    parser = command_line(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="a run's folder, or one with config.json")
    parser.add_argument("--repo-id", metavar="OWNER/NAME", help="the model's; made if it is not there")
    parser.add_argument("--space", metavar="OWNER/NAME", help="the Space's; made if it is not there")
    parser.add_argument("--private", action="store_true", help="what is made: for the owner alone to see")
    parser.add_argument("--revision", metavar="BRANCH", help="made if it is not there; main if not given")
    parser.add_argument("--dry-run", action="store_true", help="list what would be sent, and send nothing")
    parser.add_argument("--license", metavar="ID", help="the model's, as the Hub names it; the card's if not given")
    arguments = parser.parse_args(arguments)
    if bool(arguments.folder) != bool(arguments.repo_id) or not (arguments.folder or arguments.space):
        parser.error("give DIR and --repo-id OWNER/NAME for a model, --space OWNER/NAME for the app, or all of them")
    options = {"private": arguments.private, "revision": arguments.revision, "dry_run": arguments.dry_run}
    try:
        if arguments.folder:
            push(arguments.folder, arguments.repo_id, license=arguments.license, **options)
        if arguments.space:
            push_space(arguments.space, arguments.repo_id, **options)
    except (PushError, FileNotFoundError) as error:
        sys.exit(str(error))


def push(source, repo_id, license=None, **options):
    """Publish a model, or list what would be published.

    Args:
        source: `Path` of a run's folder, or of a checkpoint's.
        repo_id: OWNER/NAME.
        license: the card's, as the Hub names it; as the card has it if None.
        options: as `train.publish.hub.publish` takes them.

    Raises:
        PushError: the folder holds no whole model with a card, or the Hub did not take it.
    """
    check_name(repo_id)
    check_token(options.get("dry_run"))  # before minutes go into loading
    with tempfile.TemporaryDirectory() as folder:
        publish(gather(source, repo_id, Path(folder), license), repo_id, **options)


def push_space(repo_id, model=None, private=False, **options):
    """Publish the app, which serves a model on the Hub, or the bundled one if that is None."""
    with tempfile.TemporaryDirectory() as folder:
        files, readme = space_files(), Path(folder) / "README.md"
        write_space_card(files["README.md"], readme, model)
        variables = {"LUNGFUSION_MODEL": model} if model else None
        publish(files | {"README.md": readme}, repo_id, "space", private, variables=variables, **options)
    if model and private:
        print(f"{model} is private: give the Space a secret HF_TOKEN that may read it, in the Space's settings.")


def gather(source, repo_id, folder, license=None):
    """Lay out in `folder`, as it will be on the Hub, what of `source` is published.

    Returns:
        {name on the Hub: `Path`}.

    Raises:
        PushError: there is no model, or part of it, or no card.
    """
    model = next((place for place in (source / "model", source) if (place / "config.json").is_file()), None)
    if model is None:
        raise PushError(f"{source} holds no model: give a run's folder, with model/ in it, or one with config.json.")
    if not (source / "README.md").is_file():
        raise PushError(f"{source} has no README.md, the model card: let the run finish, or write one.")
    try:
        pipeline = LungFusionPipeline.from_pretrained(model, device="cpu", dtype="auto")
    except (OSError, ValueError) as error:
        raise PushError(f"{model} can't be loaded: {error}") from error
    if isinstance(pipeline.model, LungFusionForImageClassification):
        add_hub_pipeline(pipeline.model.config, folder)
    with no_progress_bar():
        pipeline.model.save_pretrained(folder, state_dict=in_half_where_exact(pipeline.model.state_dict()))
    pipeline.processor.save_pretrained(folder)
    if pipeline.evidence.findings:
        pipeline.evidence.save_pretrained(folder)
    card = (source / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(card.replace(PLACE, repo_id), encoding="utf-8")
    if license:
        metadata_save(folder / "README.md", metadata_load(folder / "README.md") | {"license": license})
    tables = [source / name for name in ("metrics.json", "metrics.md", RECIPE) if (source / name).exists()]
    for path in (*tables, *own_tables(source), *figures(source)):
        shutil.copy(path, folder)
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def add_hub_pipeline(config, folder):
    """Tell transformers.pipeline of the task `hub_pipeline.TASK`, and lay its code beside the model."""
    code = Path(hub_pipeline.__file__)
    made_by = f"{code.stem}.{hub_pipeline.ChestRadiographPipeline.__name__}"
    config.custom_pipelines = {hub_pipeline.TASK: {"impl": made_by, "pt": ["AutoModelForImageClassification"]}}
    shutil.copy(code, folder)


def in_half_where_exact(weights):
    """Weights in float16 where that loses nothing (a run's are rounded to it): half the download, the same answers."""
    halves = {key: tensor.half() for key, tensor in weights.items() if tensor.dtype == torch.float32}
    return weights | {key: half for key, half in halves.items() if torch.equal(half.float(), weights[key])}


def figures(run):
    """Paths of a run's figures: those of every run, and those drawn from a table. Other pictures may be of patients."""
    return [path for path in sorted(run.glob("*.png")) if path.name in FIGURES or path.with_suffix(".md").is_file()]


if __name__ == "__main__":
    main()
