"""Publish a trained model on the Hub: python -m train.push DIR --repo-id OWNER/NAME [--private]

DIR is a run's folder, or a checkpoint's own. Sent in one commit: the model, saved anew with the code by which it also
loads without this package; its image processor; the card, metrics.json and figures. Checkpoints, logs and what is
said of single images stay where they are.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import HFValidationError, validate_repo_id

from lungfusion import LungFusionPipeline
from train.arguments import command_line

PLACE = "FOLDER_OR_ID"  # stands in the card for where the model is

REASONS = {  # HTTP status → why nothing was published
    401: "the Hub does not accept the token; log in again with `hf auth login`",
    403: "this token may not write there; use one with write permission, of the owner or a member of the organisation",
    404: "the Hub has no such repository or owner; check the name",
}


class PushError(Exception):
    """Nothing was published; the message says why and what to do."""


def main():
    parser = command_line(__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run's folder, or one with config.json")
    parser.add_argument("--repo-id", required=True, metavar="OWNER/NAME", help="made if it is not there")
    parser.add_argument("--private", action="store_true", help="if it is made: for the owner alone to see")
    parser.add_argument("--revision", metavar="BRANCH", help="made if it is not there; main if not given")
    parser.add_argument("--dry-run", action="store_true", help="list what would be sent, and send nothing")
    arguments = parser.parse_args()
    try:
        push(arguments.folder, arguments.repo_id, arguments.private, arguments.revision, arguments.dry_run)
    except PushError as error:
        sys.exit(str(error))


def push(source, repo_id, private=False, revision=None, dry_run=False):
    """Publish a model, or list what would be published.

    Args:
        source: `Path` of a run's folder, or of a checkpoint's.
        repo_id: OWNER/NAME.
        private: whether a new repository is for its owner alone to see.
        revision: branch, `main` if None.
        dry_run: only list.

    Raises:
        PushError: the folder holds no whole model with a card, or the Hub did not take it.
    """
    check_name(repo_id)
    if not dry_run and get_token() is None:
        raise PushError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")
    with tempfile.TemporaryDirectory() as folder:
        files = gather(source, repo_id, Path(folder))
        for name, path in files.items():
            print(f"{path.stat().st_size:>13,} bytes  {name}")
        if dry_run:
            print(f"This would be sent to {repo_id}. Nothing was sent.")
        else:
            print(f"Published: {send(files, repo_id, private, revision)}")


def check_name(repo_id):
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PushError(str(error)) from error
    if "/" not in repo_id:
        raise PushError(f"{repo_id!r} names no owner: write OWNER/NAME.")


def gather(source, repo_id, folder):
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
    pipeline.model.save_pretrained(folder)
    pipeline.processor.save_pretrained(folder)
    card = (source / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(card.replace(PLACE, repo_id), encoding="utf-8")
    for path in (*source.glob("metrics.json"), *source.glob("*.png")):
        shutil.copy(path, folder)
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def send(files, repo_id, private, revision):
    """Make the repository and the branch if they are not there, and commit.

    Returns:
        URL of the commit.

    Raises:
        PushError: the Hub refused, or can't be reached.
    """
    api = HfApi()
    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    try:
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        if revision:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.create_commit(repo_id, operations, commit_message="Publish the model", revision=revision)
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        raise PushError(f"Nothing was published as {repo_id}: {reason(error)}.") from error
    return commit.commit_url


def reason(error):
    """What an exception of huggingface_hub means, in words."""
    if isinstance(error, RuntimeError) and error.__cause__:  # raised over a failed upload
        error = error.__cause__
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return REASONS.get(status, f"the Hub answered with status {status}; try again later")
    if isinstance(error, OfflineModeIsEnabled):
        return "huggingface_hub is in offline mode; unset HF_HUB_OFFLINE"
    if isinstance(error, HTTPError | OSError):
        return f"the Hub can't be reached ({error}); check the network"
    return str(error).rstrip(".")


if __name__ == "__main__":
    main()
