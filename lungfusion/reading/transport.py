"""What a server or a mail wraps around a file: headers, the parts of a multipart answer, base64 text."""

import base64
import re

from .errors import refusal
from .formats import is_dicom, is_picture

_HEAD = 4096  # bytes in which headers end
_HEADERS = re.compile(rb"\s*((HTTP/[\d.]+ \d{3}[^\r\n]*\r?\n)?([A-Za-z-]+:[^\r\n]*\r?\n)+\r?\n)+")
_FIRST_PART = re.compile(rb"^(--[^\r\n]{1,70})(\r?\n)([A-Za-z-]+:[^\r\n]*\2)+\2", re.MULTILINE)
_MOST_PARTS = 64
_BEFORE_BASE64 = re.compile(rb"(\xef\xbb\xbf)?\s*(b?[\"'])?(data:[^,]{0,99},)?")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n"
_SIGN = 64  # characters that tell what base64 text holds


def unwrapped(data: bytes) -> bytes:
    """The file itself, of what came around it; the bytes as they are where nothing does.

    Raises:
        RadiographError: a multipart answer of several pictures.
    """
    if is_file(data):
        return data
    if match := _FIRST_PART.search(data[:_HEAD]):
        return picture_among_parts(data[match.start() :], *match.group(1, 2))
    if match := _HEADERS.match(data, 0, _HEAD):
        return from_base64(data[match.end() :])
    stripped = data.lstrip(b"\r\n") if data[:1] in (b"\r", b"\n") else data  # some servers send an empty line first
    return stripped if is_file(stripped) else from_base64(data)


def is_file(data: bytes) -> bool:
    """Whether these are the bytes of a file that may be read."""
    return is_dicom(data) or is_picture(data)


def picture_among_parts(data: bytes, boundary: bytes, newline: bytes) -> bytes:
    """The one picture of a multipart answer (RFC 2046), as DICOMweb gives it; its first part where none is a picture.

    data: from its first boundary on.
    """
    parts = []
    for part in data[len(boundary) :].split(newline + boundary, _MOST_PARTS):
        _, blank, content = part.partition(2 * newline)
        if blank:
            parts.append(from_base64(content))
    pictures = [part for part in parts if is_file(part)]
    if len(pictures) > 1:
        raise refusal("several_pictures")
    return (pictures or parts)[0]


def from_base64(data: bytes) -> bytes:
    """The picture that base64 text holds, also of URLs' alphabet, quoted or as a `data:` URI; else the bytes."""
    start = _BEFORE_BASE64.match(data).end()
    if data[start : start + _SIGN].translate(None, _BASE64):
        return data
    text = data[start:].rstrip(b" \t\r\n\"'")
    if len(text) < _SIGN or text.translate(None, _BASE64):
        return data
    decoded = base64.urlsafe_b64decode(text + b"==")
    return decoded if is_file(decoded) else data
