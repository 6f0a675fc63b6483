"""Reading one radiograph from a path, bytes, a file object, a PIL image, an array or DICOM, whoever it comes from.

Everything becomes a grey picture in [0, 1] with bone white. How values become [0, 1]:

- 8-bit values are divided by 255. Deeper integers (a 16-bit PNG or TIFF, in grey or in colour, an integer array) are
  divided by the white of the smallest usual depth (8, 10, 12, 14 or 16 bits) that holds the largest value, so a 12-bit
  picture in a 16-bit file is not black.
- Float arrays must already lie in [0, 1]. A TIFF of floats that do not, of signed or of wider integers, is spread from
  its minimum to its maximum.
- Colour becomes ITU-R 601 luma, and transparency shows black behind it.
- DICOM is shown as a viewer would: modality table or rescale, then VOI table or first window, MONOCHROME1 inverted; one
  that is unreadable or leaves hardly anything to see is passed over for the next. Without any, white is the largest
  value of Bits Stored; where more than 8 bits are stored and the data spans less than a quarter of them, black and
  white are the data's own minimum and maximum. It is mirrored and turned as its Patient Orientation says, and where its
  pixels are no squares the shorter side is enlarged.
- Integers that overflowed, so that smooth regions jump from white to black, begin at another grey where that makes the
  picture continuous.
- Minimum and maximum are those of the values that count: not of a burned-in white marker or a hot pixel, which lie
  farther from the middle 90 % of the pixels' values than that is wide. They are clipped.
"""

import errno
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from PIL import Image

from .errors import MAX_BYTES, MAX_PIXELS, MIN_SIDE, RadiographError, refusal
from .formats import is_dicom, is_dicom_json, refuse_other_kinds
from .grey_levels import array_pixels
from .images import file_pixels, format_of, image_pixels
from .transport import unwrapped

__all__ = ["MAX_BYTES", "MIN_SIDE", "Radiograph", "RadiographError", "load_radiograph", "printable"]


_LONGEST_PATH = 4096  # characters


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph as shown on a screen. Of a DICOM file nothing but the picture, its view and the age is kept.

    pixels: (H, W) float32, C-contiguous, in [0, 1]: 0 black, 1 white, bone white.
    name: the file's base name, or "file", "bytes", "image" or "array" where there is none.
    format: "PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "JPEGXL" or "DICOM", or "image" or
        "array" for a picture made in memory.
    colour: the mean gap between the channels of the picture in [0, 1], beyond a cast that the whole picture has; 0
        where all is grey, or of one hue.
    view: "PA", "AP" or another word for how the beam went, as a DICOM header says; None where nothing says so.
    age: of the patient when the picture was taken, in years and their parts; None where nothing says so.
    spacing: millimetres from one pixel to the next, on the detector or as calibrated; None where nothing says so.
    sides_known: whether a DICOM header says which side is the patient's right; it is on the picture's left then.
    """

    pixels: np.ndarray
    name: str
    format: str
    colour: float = 0.0
    view: str | None = None
    age: float | None = None
    spacing: float | None = None
    sides_known: bool = False


def load_radiograph(source, name=None) -> Radiograph:
    """Read a radiograph.

    source: a path (str or os.PathLike), the bytes of a file (bytes, bytearray, memoryview), a binary file object (read
        from where it stands, not closed), a PIL image, an array or tensor, a row of a data set with `bytes` or `path`
        or, in `image`, any of these; or a Radiograph, which is returned as it is. Bytes and files may also be base64
        text, a `data:` URI or the one picture of a multipart answer.
        Arrays are (H, W), or (H, W, C) or (C, H, W) of 1 grey, 3 RGB or 4 RGBA channels; bool, non-negative integers of
        up to 16 bits, or floats in [0, 1]; what is masked is black.
    name: what to call it, unless its path does; that of a file in an archive, say.

    Raises RadiographError, and only that, for anything but one still picture within `MAX_BYTES`, `MAX_PIXELS`,
    `MIN_SIDE` and `MAX_ASPECT` of `lungfusion.reading.errors`, and for a DICOM file whose header says that it is no
    frontal chest radiograph.
    """
    if isinstance(source, Mapping) and "image" in source:
        source = source["image"]
    if isinstance(source, Radiograph):
        return source
    if isinstance(source, Mapping) and ("bytes" in source or "path" in source):
        name, content = name or _name(source.get("path")), source.get("bytes")
        source = source.get("path") if content is None else content
    name = name or _name(source)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")  # they may quote the file
            pixels, format, facts = _decode(source)
        if not pixels.min() < pixels.max():
            raise refusal("single_shade")
    except RadiographError as error:
        raise error.named(name) from error
    except Exception as error:  # decoders raise nearly anything over a broken file
        if isinstance(error, Image.DecompressionBombError):
            raise refusal("too_many_pixels", limit=MAX_PIXELS // 10**6).named(name) from error
        raise refusal("out_of_memory" if isinstance(error, MemoryError) else "damaged").named(name) from error
    return Radiograph(np.ascontiguousarray(pixels), name, format, **facts)


def printable(name: str) -> str:
    """A name as any screen can show it: what no encoding holds, and control characters, become \ufffd."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


def _name(source) -> str:
    """What to call the source: never more of a path than its last part."""
    if isinstance(source, Image.Image):
        return "image"
    if _is_array(source):
        return "array"
    if isinstance(source, (bytes, bytearray, memoryview)) or _is_content(source):
        return "bytes"
    path = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    return printable(Path(os.fsdecode(path)).name if isinstance(path, (str, os.PathLike)) else "") or "file"


def _decode(source) -> tuple[np.ndarray, str, dict]:
    """Any source but a Radiograph → pixels (H, W) float32 in [0, 1], the format, and what else is known of it."""
    if isinstance(source, Image.Image):
        pixels, colour = image_pixels(source)
        return pixels, format_of(source), {"colour": colour}
    if _is_array(source):
        pixels, colour = array_pixels(_as_array(source))
        return pixels, "array", {"colour": colour}
    data = unwrapped(_read(source))
    if is_dicom(data) or is_dicom_json(data):
        from .dicom import dicom_pixels  # here, because pydicom takes a while and few radiographs come as DICOM

        pixels, facts = dicom_pixels(data)
        return pixels, "DICOM", facts
    refuse_other_kinds(data)
    pixels, colour, format = file_pixels(data)
    return pixels, format, {"colour": colour}


def _is_array(source) -> bool:
    """Whether it is an array, or a tensor of any library that NumPy understands."""
    return not isinstance(source, (str, bytes)) and hasattr(source, "__array__") and hasattr(source, "shape")


def _as_array(tensor) -> np.ndarray:
    if isinstance(tensor, np.ndarray):
        return tensor
    if hasattr(tensor, "detach"):  # of torch: NumPy takes none that lies on a GPU, and no bfloat16
        tensor = tensor.detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
    return np.asarray(tensor)


def _is_content(source) -> bool:
    """Whether a text is a file's content, and no path: a `data:` URI, or longer than any path."""
    return isinstance(source, str) and (source.startswith("data:") or len(source) > _LONGEST_PATH)


def _read(source) -> bytes:
    """Path, bytes or binary file object → its bytes, at least one and at most MAX_BYTES."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif _is_content(source):
        data = source.encode(errors="replace")
    elif isinstance(source, (str, os.PathLike)):
        data = _read_path(source)
    elif hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise refusal("text_file")
    else:
        raise refusal("wrong_source")
    if not data:
        raise refusal("empty_file")
    if len(data) > MAX_BYTES:
        raise refusal("file_too_large", limit=MAX_BYTES // 10**6)
    return data


def _read_path(source) -> bytes:
    source = os.fsdecode(source)
    if source.startswith(("http://", "https://", "s3://", "gs://")):
        raise refusal("an_address")
    try:
        path = Path(url2pathname(urlsplit(source).path) if source.startswith("file://") else source)
        if path.exists() and not path.is_file():
            raise refusal("a_folder")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except PermissionError as error:
        raise refusal("not_permitted") from error
    except OSError as error:
        codes = {errno.ENAMETOOLONG: "name_too_long", errno.ENOENT: "no_such_file", errno.ENOTDIR: "no_such_file"}
        raise refusal(codes.get(error.errno, "unreadable_file")) from error
