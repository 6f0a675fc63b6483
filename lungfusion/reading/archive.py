"""The radiographs in several files, folders and ZIP archives, each with a name of its own."""

import os
import struct
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

from .errors import MAX_BYTES, RadiographError, refusal
from .formats import HEAD, can_be_radiograph
from .radiograph import printable

MAX_FILES = 200  # radiographs
MAX_UNPACKED_BYTES = 1_000_000_000  # of all radiographs of an archive, unpacked
MAX_MEMBERS = 10_000  # of an archive; the viewers of patients' discs have some hundreds
MAX_DIRECTORY_BYTES = 4 * 2**20  # of an archive's list of names
MAX_TAIL = 2**16 + 200  # bytes in which an archive's end records lie
DISC = "DICOMDIR"  # the list on a patient's disc: what else lies there belongs to the viewer


def radiographs_in(paths, limit=MAX_FILES):
    """List them, unpacking nothing yet.

    Args:
        paths: of files, folders and ZIP archives. Of the last two, what can be a radiograph counts, at any depth; and
            of an archive what is in another archive, one level deep. Files named here always count.
        limit: how many there may be; None for any number.

    Returns:
        list of (name, function without arguments that returns the bytes or the path for `load_radiograph`). No name
        occurs twice: it is the file's own, or where several share that, with its folders and archive before it. The
        function raises `RadiographError` where a file of an archive can't be unpacked.

    Raises:
        RadiographError: more than `limit`, nothing at all, or an archive that is damaged or unpacks to more than
            `MAX_UNPACKED_BYTES`.
    """
    found = []
    for path in map(Path, paths):
        if os.path.isdir(path):  # false of a name that is too long, of which Path.is_dir raises
            some = files_below(path)
        elif zipfile.is_zipfile(path):
            some = members(path, printable(path.name))
        else:
            some = [((printable(path.name),), lambda path=path: path)]
        if not some:
            raise refusal("no_radiographs").named(printable(path.name))
        found += some
        if limit is not None and len(found) > limit:
            raise refusal("too_many_files", limit=limit).named(printable(path.name))
    return list(zip(unique_names([parts for parts, _ in found]), (read for _, read in found), strict=True))


def files_below(folder):
    """(parts of the name, function that returns the path) of the files below a folder that can be radiographs."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(name for name in files if not is_hidden(name)):
            path = Path(place, name)
            try:
                with path.open("rb") as file:
                    head = file.read(HEAD)
            except OSError:
                head = b""
            if can_be_radiograph(name, head):
                parts = tuple(map(printable, (folder.name, *path.relative_to(folder).parts)))
                found.append((parts, lambda path=path: path))
    return found


def members(source, name, nested=False):
    """(parts of the name, function that returns the bytes) of what can be radiographs in an archive.

    source: its path, or a `BytesIO` of its bytes. nested: whether it lies in another one.
    """
    try:
        check_directory(source)
        with zipfile.ZipFile(source) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir() and not is_hidden(info.filename)]
            if not infos:
                raise refusal("empty_archive")
            heads = [head_of(archive, info) for info in infos]
    except RadiographError as error:
        raise error.named(name) from error
    except Exception as error:  # zipfile raises nearly anything over a damaged archive
        raise refusal("damaged_archive").named(name) from error
    of_disc = any(Path(info.filename).name.upper() == DISC for info in infos)
    kept, found = [], []
    for info, head in zip(infos, heads, strict=True):
        archived = head is not None and head.startswith(b"PK\x03\x04")
        if archived or can_be_radiograph(info.filename, head, of_disc):
            kept.append((info, archived))
    if sum(info.file_size for info, _ in kept) > MAX_UNPACKED_BYTES:
        raise refusal("unpacks_too_large", limit=MAX_UNPACKED_BYTES // 10**6).named(name)
    for info, archived in kept:
        parts = (name, *map(printable, Path(info.filename.replace("\\", "/")).parts))
        if archived and not nested:
            found += [((*parts, *inner[1:]), read) for inner, read in members_of_member(source, info, parts[-1])]
        elif archived:
            found.append((parts, lambda parts=parts: raise_(refusal("nested_archive").named(parts[-1]))))
        else:
            found.append((parts, lambda info=info, parts=parts: unpacked(source, info, parts[-1])))
    return found


def members_of_member(source, info, name):
    """`members` of an archive in another; one that can't be opened is a file that says so."""
    try:
        return members(BytesIO(unpacked(source, info, name)), name, nested=True)
    except RadiographError as error:
        return [((name,), lambda error=error: raise_(error))]


def raise_(error):
    raise error


def check_directory(source):
    """Raise RadiographError for an archive whose list of files is too long, before anything is made of it."""
    with source.open("rb") if isinstance(source, Path) else BytesIO(source.getbuffer()) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_TAIL))
        tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0:
        raise zipfile.BadZipFile("There is no directory.")
    count, length = struct.unpack_from("<HI", tail, place + 10)
    wide = tail.rfind(b"PK\x06\x06", 0, place)
    if wide >= 0:  # ZIP64, whose numbers count where the others have no room
        wide_count, wide_length = struct.unpack_from("<QQ", tail, wide + 32)
        count = max(wide_count, count if count < 2**16 - 1 else 0)
        length = max(wide_length, length if length < 2**32 - 1 else 0)
    if count > MAX_MEMBERS or length > MAX_DIRECTORY_BYTES:
        raise refusal("too_many_files", limit=MAX_MEMBERS)


def head_of(archive, info):
    """The first bytes of a member; None where they can't be had."""
    try:
        with archive.open(info) as file:
            return file.read(HEAD)
    except Exception:  # what is wrong is said when it is unpacked
        return None


def is_hidden(name):
    """Whether it is one of the files that systems leave beside those that people see."""
    parts = Path(name).parts
    return any(part == "__MACOSX" or part.startswith(".") for part in parts if part not in ("..", "."))


def unpacked(source, info, name):
    """The bytes of one member: never more than it declares, and that is looked at first."""
    if info.file_size > MAX_BYTES:
        raise refusal("file_too_large", limit=MAX_BYTES // 10**6).named(name)
    if info.flag_bits & 1:
        raise refusal("encrypted").named(name)
    try:
        with zipfile.ZipFile(source) as archive:
            return archive.read(info)
    except Exception as error:  # zipfile, zlib, bz2 and lzma raise nearly anything over a damaged archive
        raise refusal("not_unpacked").named(name) from error


def unique_names(names):
    """For each file's parts (archive, folders, own name) the last, or all of them joined where that is not its own."""
    shared = Counter(parts[-1] for parts in names)
    return numbered([parts[-1] if shared[parts[-1]] == 1 else "/".join(parts) for parts in names])


def numbered(names):
    """The names, with a number where one occurred before, so that each is one file's; case does not count."""
    used, seen, answer = set(map(str.casefold, names)), set(), []
    for name in names:
        number, one = 1, name
        while one.casefold() in seen or (number > 1 and one.casefold() in used):
            number += 1
            one = f"{name}-{number}"
        seen.add(one.casefold())
        answer.append(one)
    return answer
