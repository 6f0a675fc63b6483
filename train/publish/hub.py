"""What publishing a model, a data set and a Space have in common."""

import time

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import HFValidationError, validate_repo_id

REASONS = {  # HTTP status → why nothing was published
    401: "the Hub does not accept the token; log in again with `hf auth login`",
    403: "this token may not write there; use one with write permission, of the owner or a member of the organisation",
    404: "the Hub has no such repository or owner; check the name",
}
BUSY = (429, 503)  # HTTP status of a Hub that wants to be asked again later
WAITS = (1, 4, 16)  # seconds before it is asked again
KEPT = "What was sent is kept: run the same command again and it goes on from there"


class PushError(Exception):
    """Nothing was published; the message says why and what to do."""


def publish(files, repo_id, kind="model", private=False, revision=None, dry_run=False, variables=None):
    """Send files to the Hub in one commit, or list what would be sent.

    Large files that an earlier, interrupted call has sent are not sent again.

    Args:
        files: {name on the Hub: `Path`}.
        repo_id: OWNER/NAME; made if it is not there.
        kind: `model`, `dataset` or `space`.
        private: whether a new repository is for its owner alone to see.
        revision: branch, made if it is not there; `main` if None.
        dry_run: only list.
        variables: {name: value} of a Space.

    Raises:
        PushError: there is no token, the Hub refused, or can't be reached.
    """
    check_name(repo_id)
    check_token(dry_run)
    for name, path in files.items():
        print(f"{path.stat().st_size:>13,} bytes  {name}")
    if dry_run:
        print(f"This would be sent to {repo_id}. Nothing was sent.")
    else:
        print(f"Published: {send(files, repo_id, kind, private, revision, variables or {})}")


def check_token(dry_run=False):
    if not dry_run and get_token() is None:
        raise PushError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")


def check_name(repo_id):
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PushError(str(error)) from error
    if "/" not in repo_id:
        raise PushError(f"{repo_id!r} names no owner: write OWNER/NAME.")


def send(files, repo_id, kind, private, revision, variables):
    """Make the repository and the branch if they are not there, and commit; returns the URL of the commit."""
    api, sdk = HfApi(), "gradio" if kind == "space" else None
    message = f"Publish the {kind.replace('dataset', 'data set').replace('space', 'Space')}"

    def commit():
        api.create_repo(repo_id, repo_type=kind, private=private or None, space_sdk=sdk, exist_ok=True)
        if revision:
            api.create_branch(repo_id, repo_type=kind, branch=revision, exist_ok=True)
        for name, value in variables.items():
            api.add_space_variable(repo_id, name, value)
        operations = [CommitOperationAdd(name, path) for name, path in files.items()]
        return api.create_commit(repo_id, operations, repo_type=kind, commit_message=message, revision=revision)

    try:
        return patiently(commit).commit_url
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        raise PushError(f"Nothing was published as {repo_id}: {reason(error)}.") from error


def patiently(action):
    """What the action returns; while the Hub is busy, it is asked again.

    huggingface_hub itself does so for uploads, but not for making a repository and committing.
    """
    for seconds in WAITS:
        try:
            return action()
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY:
                raise
            time.sleep(seconds)
    return action()


def reason(error):
    """What an exception of huggingface_hub means, in words."""
    if isinstance(error, RuntimeError) and error.__cause__:  # raised over a failed upload
        error = error.__cause__
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return REASONS.get(status, f"the Hub answered with status {status}; try again later. {KEPT}")
    if isinstance(error, OfflineModeIsEnabled):
        return "huggingface_hub is in offline mode; unset HF_HUB_OFFLINE"
    if isinstance(error, HTTPError | OSError):
        return f"the Hub can't be reached ({error}); check the network. {KEPT}"
    return str(error).rstrip(".")
