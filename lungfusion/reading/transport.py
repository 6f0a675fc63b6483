"""What a server or a mail wraps around a file: the parts of a multipart answer, base64 text."""

import base64
import re

from .errors import refusal
from .formats import is_dicom, is_picture

_HEAD = 4096  # bytes in which the headers of a part end
_SIGN = 64  # characters that tell what base64 text holds
_BASE64 = re.compile(rb"(data:[\w.+/-]*;base64,)?([A-Za-z0-9+/\r\n]{%d,}={0,2}\s*)\Z" % _SIGN)


def unwrapped(data: bytes) -> bytes:
    """The file itself, of what came around it; the bytes as they are where nothing does.

    Raises:
        RadiographError: a multipart answer of several files.
    """
    if data[:1] in (b"\r", b"\n") and data[128:132] != b"DICM":  # some servers send an empty line before a file
        data = data.lstrip(b"\r\n")
    if data.startswith(b"--"):
        data = only_part(data)
    elif (data[:1].isalnum() or data[:1] in b"+/") and (match := _BASE64.match(data)):
        decoded = base64.b64decode(match[2])
        data = decoded if is_dicom(decoded) or is_picture(decoded) else data
    return data


def only_part(data: bytes) -> bytes:
    """The one part of a multipart answer (RFC 2046), as DICOMweb gives it; the bytes as they are where it is none."""
    boundary, _, rest = data.partition(b"\r\n")
    headers, blank, _ = rest[:_HEAD].partition(b"\r\n\r\n")
    if not blank or b"content-" not in headers.lower():
        return data
    start = len(boundary) + 2 + len(headers) + 4
    end = data.find(b"\r\n" + boundary, start)
    after = data[end + 2 + len(boundary) :].strip() if end >= 0 else b"--"
    if not after.startswith(b"--"):
        raise refusal("several_pictures")
    return data[start : end if end >= 0 else None]
