"""The radiographs in several files, some of which may be ZIP archives."""

import zipfile
from pathlib import Path

from .radiograph import MAX_BYTES, RadiographError

MAX_FILES = 200
MAX_UNPACKED_BYTES = 1_000_000_000  # of all files of an archive, unpacked


def radiographs_in(paths):
    """List them, unpacking nothing yet.

    Args:
        paths: of files; those that are ZIP archives stand for what is in them, folders and all.

    Returns:
        list of (name, function without arguments that returns the bytes or the path for `load_radiograph`). The
        function raises `RadiographError` where a file of an archive can't be unpacked.

    Raises:
        RadiographError: more than `MAX_FILES`, or an archive that is damaged or unpacks to more than
            `MAX_UNPACKED_BYTES`.
    """
    found = []
    for path in map(Path, paths):
        found += members(path) if zipfile.is_zipfile(path) else [(path.name, lambda path=path: path)]
        if len(found) > MAX_FILES:
            raise RadiographError(f"{path.name}: more than {MAX_FILES} files; send them in several parts")
    return found


def members(path):
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir() and not is_hidden(info.filename)]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise RadiographError(f"{path.name}: the archive is damaged; pack it again") from error
    if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise RadiographError(f"{path.name}: it unpacks to more than {MAX_UNPACKED_BYTES // 10**6} MB; split it")
    return [(Path(info.filename).name, lambda info=info: unpacked(path, info)) for info in infos]


def is_hidden(name):
    """Whether it is one of the files that systems leave beside those that people see."""
    return any(part == "__MACOSX" or part.startswith(".") for part in Path(name).parts if part != "..")


def unpacked(path, info):
    """The bytes of one member: never more than it declares, and that is looked at first."""
    name = Path(info.filename).name
    if info.file_size > MAX_BYTES:
        raise RadiographError(f"{name}: the file has more than {MAX_BYTES // 10**6} MB; make it smaller first")
    if info.flag_bits & 1:
        raise RadiographError(f"{name}: it is encrypted; pack it without a password")
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(info)
    except Exception as error:  # zipfile, zlib, bz2 and lzma raise nearly anything over a damaged archive
        raise RadiographError(f"{name}: it can't be unpacked; the archive is damaged or of a rare kind") from error
