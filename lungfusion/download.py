"""Whether what was downloaded from the Hub is what lies there."""

import hashlib
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

WEIGHTS = "model.safetensors"
SHA256_DIGITS = 64


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
