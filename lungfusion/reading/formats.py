"""Which kind of file the bytes are, whatever its name says; and what to tell of those that are not read."""

import re
from pathlib import PurePath

from .errors import refusal

PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000")
PICTURE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".avif", ".jp2"),
    *(".j2k", ".jpx", ".jls", ".ljpeg", ".dcm", ".dicom", ".dic", ".ima", ".heic", ".heif", ".jxl", ".mpo"),
}

_READ = {  # name, as Pillow gives it → how its files begin
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "BMP": rb"BM.{4}\0\0\0\0",
    "GIF": rb"GIF8[79]a",
    "AVIF": rb"....ftypavi[fs]",
    "JPEGXL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
}
_NOT_READ = (  # code of `errors.REASONS`, how such files begin, and a word for the sentence
    ("heic", rb"....ftyp(hei|hev|mif1|msf1)", ""),
    ("jpeg_xr", rb"II\xbc", ""),
    ("git_lfs", rb"(\xef\xbb\xbf)?version https://(git-lfs|hawser)\.github\.com/spec/", ""),
    ("apple_double", rb"\0\x05\x16[\0\x07]\0", ""),
    ("svg", rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", ""),
    (
        "web_page",
        rb"(?i)(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?"
        rb"<(!doctype html|html|head|body|title|script|meta|div|p|h1|center)\b",
        "",
    ),
    ("xml", rb"(\xef\xbb\xbf)?\s*<[?!A-Za-z]", ""),
    ("json", rb"(\xef\xbb\xbf)?\s*[\[{]\s*[\[{\"\]}]", ""),
    ("photoshop", rb"8BPS", ""),
    ("pdf", rb".{0,1000}?%PDF-", ""),
    ("document", rb"\xd0\xcf\x11\xe0|\{\\rtf|%!PS", ""),
    ("zip", rb"PK(\x03\x04|\x05\x06|\x07\x08)", ""),
    ("archive", rb"\x1f\x8b|Rar!|7z\xbc\xaf\x27\x1c|BZh|\xfd7zXZ|.{257}ustar", ""),
    ("nifti", rb"(\x5c\x01\0\0|\0\0\x01\x5c).{340}(n\+1|ni1)|(\x1c\x02\0\0|\0\0\x02\x1c)n[+i]2", ""),
    ("volume", rb"NRRD", "NRRD"),
    ("volume", rb"ObjectType *=", "MetaImage"),
    ("volume", rb"\x89HDF", "HDF5"),
    ("volume", rb"\x93NUMPY", "NumPy"),
    ("volume", rb"MATLAB", "MATLAB"),
    ("text", rb"(\xef\xbb\xbf)?[\t\r\n\x20-\x7e\x80-\xff]+\Z|\xff\xfe.\0|\xfe\xff\0", ""),
    ("video", rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]", ""),
)
HEAD = 1300  # bytes of a file that tell its kind


def is_dicom(data: bytes) -> bool:
    """A DICOM file, or one without its preamble: it then begins with a low element of group 0002 or 0008."""
    if data[128:132] == b"DICM" or data[:4] == b"DICM":
        return True
    if data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00":
        return True
    return data[:2] in (b"\x00\x02", b"\x00\x08") and data[2:3] == b"\x00" and data[4:6].isalpha()  # big endian


def is_dicom_json(data: bytes) -> bool:
    """DICOM as JSON (PS3.18 annex F): an object, or a list of them, whose first name is a tag."""
    return re.match(rb"(\xef\xbb\xbf)?\s*\[?\s*\{\s*\"[0-9A-Fa-f]{8}\"\s*:\s*\{", data[:HEAD]) is not None


def kind_of(head: bytes) -> str | None:
    """The format that Pillow reads, or the code of one that is not read, or None. head: HEAD bytes or more."""
    head = head[:HEAD]
    for name, beginning in _READ.items():
        if re.match(beginning, head, re.DOTALL):
            return name
    return next((code for code, beginning, _ in _NOT_READ if re.match(beginning, head, re.DOTALL)), None)


def is_picture(head: bytes) -> bool:
    """Whether these begin a picture that may be read, DICOM apart."""
    return kind_of(head) in _READ


def refuse_other_kinds(data: bytes) -> None:
    """Raise RadiographError, which names the kind, unless these are the bytes of a picture that may be read."""
    head = data[:HEAD]
    if is_picture(head):
        return
    for code, beginning, word in _NOT_READ:
        if re.match(beginning, head, re.DOTALL):
            raise refusal(code, **({"kind": word} if word else {}))
    raise refusal("not_a_picture")


def can_be_radiograph(name: str, head: bytes | None, of_disc: bool = False) -> bool:
    """Whether a file of a folder or an archive is worth opening, by its first HEAD bytes, or its name where it fails.

    head: None where it can't be read. of_disc: on a patient's disc, where pictures that are no DICOM are the viewer's.
    """
    suffix = PurePath(name).suffix.lower()
    if PurePath(name).name.upper() == "DICOMDIR":
        return False
    if head is None:
        return suffix in PICTURE_SUFFIXES or not suffix
    if is_dicom(head):
        return True
    if of_disc:
        return suffix in (".dcm", ".dicom")
    return kind_of(head) in {*_READ, "heic", "bigtiff"} or suffix in PICTURE_SUFFIXES
