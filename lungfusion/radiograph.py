"""Reading one radiograph from a path, bytes, a file object, a PIL image, an array or DICOM, whoever it comes from.

Everything becomes a grey picture in [0, 1] with bone white. How values become [0, 1]:

- 8-bit values are divided by 255. Deeper integers (a 16-bit PNG or TIFF, an integer array) are divided by the white of
  the smallest usual depth (8, 10, 12, 14 or 16 bits) that holds the largest value, so a 12-bit picture in a 16-bit file
  is not black. Of a 16-bit colour image Pillow keeps the upper 8 bits.
- Float arrays must already lie in [0, 1]. A float TIFF that does not is spread from its minimum to its maximum.
- Colour becomes ITU-R 601 luma, and transparency shows black behind it.
- DICOM is shown as a viewer would: modality table or rescale, then VOI table or first window, MONOCHROME1 inverted.
  Without a window, white is the largest value of Bits Stored; where more than 8 bits are stored and the data spans less
  than a quarter of them, black and white are the data's own minimum and maximum.
"""

import os
import struct
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_BYTES = 100_000_000
MAX_PIXELS = 100_000_000
MIN_SIDE = 64  # pixels

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
RADIOGRAPH_MODALITIES = ("CR", "DX", "DR", "RG", "SC", "OT")  # PS3.3 C.7.3.1.1.1, and DR and SC as some write

_DEPTHS = (8, 10, 12, 14, 16)
_LUMA = np.array([19595, 38470, 7471]) / 65536  # ITU-R 601 as Pillow rounds it: exact in float64, and sums to exactly 1
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # transfer syntax UID: pydicom inflates it without a limit
# JPEG markers (ISO 10918-1 B.1, ISO 14495-1 C.1) of the segments that give the size, and of those that may come before
_SIZE_MARKERS = {*range(0xC0, 0xD0), 0xDE, 0xF7} - {0xC4, 0xC8, 0xCC}
_OTHER_MARKERS = {0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xF8, 0xFE}

_TOO_MANY_PIXELS = f"the picture has more than {MAX_PIXELS // 10**6} megapixels; make it smaller first"
_UNDECODABLE = "the file cannot be decoded; it is damaged, cut short or of a rare kind, so export it again"
_REASONS = (  # what to tell the user, by the first class that fits the exception
    (FileNotFoundError, "there is no such file; check the path"),
    (NotADirectoryError, "there is no such file; check the path"),
    (PermissionError, "the file may not be read; check its permissions"),
    (UnidentifiedImageError, "this is not a picture; use a PNG, JPEG, WebP, TIFF, BMP or DICOM file"),
    (Image.DecompressionBombError, _TOO_MANY_PIXELS),
    (MemoryError, "the picture does not fit into memory; make it smaller first"),
    (Exception, _UNDECODABLE),
)


class RadiographError(ValueError):
    """The source is no radiograph that can be read; the message says why in plain words and what to do."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph as shown on a screen. Of a DICOM file nothing but the picture is kept.

    pixels: (H, W) float32, C-contiguous, in [0, 1]: 0 black, 1 white, bone white.
    name: the file's base name, or "file", "bytes", "image" or "array" where there is none.
    format: "PNG", "JPEG", "WEBP", "TIFF", "BMP" or "DICOM", or "image" or "array" for a picture made in memory.
    colour: the mean gap between the strongest and the weakest channel of the picture, in [0, 1]; 0 where all is grey.
    """

    pixels: np.ndarray
    name: str
    format: str
    colour: float = 0.0


def load_radiograph(source) -> Radiograph:
    """Read a radiograph.

    source: a path (str or os.PathLike), the bytes of a file (bytes, bytearray, memoryview), a binary file object (read
        from where it stands, not closed), a PIL image, a NumPy array, or a Radiograph, which is returned as it is.
        Arrays are (H, W), (H, W, 1), (1, H, W), (H, W, 3) RGB or (H, W, 4) RGBA; bool, non-negative integers of up to
        16 bits, or floats in [0, 1].

    Raises RadiographError, and only that, for anything but one still picture within MAX_BYTES, MAX_PIXELS and MIN_SIDE.
    """
    if isinstance(source, Radiograph):
        return source
    name = _name(source)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")  # they may quote the file
            pixels, colour, format = _decode(source)
        if not pixels.min() < pixels.max():
            raise RadiographError("the picture is a single shade of grey; check that the right file was exported")
    except RadiographError as error:
        raise RadiographError(f"{name}: {error}") from error
    except Exception as error:  # decoders raise nearly anything over a broken file
        reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
        raise RadiographError(f"{name}: {reason}") from error
    return Radiograph(np.ascontiguousarray(pixels), name, format, colour)


def _name(source) -> str:
    """What to call the source: never more of a path than its last part."""
    if isinstance(source, np.ndarray):
        return "array"
    if isinstance(source, Image.Image):
        return "image"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "bytes"
    path = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    return (isinstance(path, (str, os.PathLike)) and Path(os.fsdecode(path)).name) or "file"


def _decode(source) -> tuple[np.ndarray, float, str]:
    """Any source but a Radiograph → pixels (H, W) float32 in [0, 1], their colour, and the format."""
    if isinstance(source, np.ndarray):
        return *_array_pixels(source), "array"
    if isinstance(source, Image.Image):
        return *_image_pixels(source), _format(source)
    data = _read(source)
    if _is_dicom(data):
        return *_dicom_pixels(data), "DICOM"
    with Image.open(BytesIO(data), formats=IMAGE_FORMATS) as image:
        return *_image_pixels(image), _format(image)


def _format(image: Image.Image) -> str:
    """Pillow's name of the format; a telephone's MPO is a JPEG with a second picture behind it."""
    return "JPEG" if image.format == "MPO" else image.format or "image"


def _read(source) -> bytes:
    """Path, bytes or binary file object → its bytes, at least one and at most MAX_BYTES."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(os.fsdecode(source))
        if path.exists() and not path.is_file():
            raise RadiographError("this is not a file but a folder or a device; give the path of one picture")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    elif hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise RadiographError('the file object does not give bytes; open it in binary mode ("rb")')
    else:
        raise RadiographError("give a path, bytes, a binary file object, a PIL image or a NumPy array")
    if not data:
        raise RadiographError("the file is empty; export or upload it again")
    if len(data) > MAX_BYTES:
        raise RadiographError(f"the file is larger than {MAX_BYTES // 10**6} MB; export a smaller one")
    return data


def _check_size(width: int, height: int) -> None:
    """Raise RadiographError unless a picture of this size is taken. Called before anything is decoded."""
    if min(width, height) < MIN_SIDE:
        raise RadiographError(f"the picture is below {MIN_SIDE} pixels on a side; use the original, not a thumbnail")
    if width * height > MAX_PIXELS:
        raise RadiographError(_TOO_MANY_PIXELS)


# Arrays


def _array_pixels(array: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W), (H, W, 1), (1, H, W), (H, W, 3) or (H, W, 4) of any dtype → (H, W) float32 in [0, 1], and its colour."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise RadiographError("an array must be (H, W), (H, W, 1), (1, H, W), (H, W, 3) or (H, W, 4); reshape it")
    _check_size(array.shape[1], array.shape[0])
    white = np.float32(_white(array))
    if array.ndim == 2:
        return array.astype(np.float32) / white, 0.0
    sample = array[::4, ::4, :3].astype(np.float32)  # every 16th pixel says enough of the colour
    colour = float((sample.max(-1) - sample.min(-1)).mean() / white)
    grey = np.einsum("hwc,c->hw", array[..., :3], _LUMA).astype(np.float32) / white
    return grey * (array[..., 3].astype(np.float32) / white) if array.shape[2] == 4 else grey, colour


def _white(array: np.ndarray) -> int:
    """The value that stands for white in an array of this dtype and with this largest value."""
    if array.dtype == bool:
        return 1
    if array.dtype.kind not in "iuf":
        raise RadiographError("an array must hold bool, integer or float values; convert it to uint8")
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not 0 <= low <= high <= 1:  # also false where there is a NaN
            raise RadiographError("float values must be finite and lie in [0, 1]; divide them by 255, or pass uint8")
        return 1
    if low < 0 or high >= 2 ** _DEPTHS[-1]:
        raise RadiographError(f"integer values must lie in 0 to {2 ** _DEPTHS[-1] - 1}; shift or scale them first")
    return 2 ** next(bits for bits in _DEPTHS if high < 2**bits) - 1


# Image files, through Pillow


def _image_pixels(image: Image.Image) -> tuple[np.ndarray, float]:
    """PIL image of any mode → (H, W) float32 in [0, 1], turned as its EXIF orientation says, and its colour."""
    _check_size(*image.size)
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise RadiographError("the file holds several pictures; save the one radiograph as its own file")
    inverted = _is_inverted(image)
    image = ImageOps.exif_transpose(image)
    if not image.mode.startswith(("I", "F")):  # those are one channel, deeper than 8 bits
        if image.has_transparency_data:
            image = image.convert("RGBA")
        elif image.mode not in ("1", "L"):
            image = image.convert("RGB")
    array = np.asarray(image)
    pixels, colour = _array_pixels(_spread(array) if image.mode == "F" else array)
    return 1 - pixels if inverted else pixels, colour


def _is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white: Pillow inverts such a TIFF itself when it has 8 bits, but not when it has more."""
    deep_tiff = image.format == "TIFF" and image.mode.startswith(("I", "F"))
    return deep_tiff and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO


def _spread(values: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] as they are, others spread from minimum to maximum. NaN where the values are not finite."""
    low, high = values.min(), values.max()
    return values if 0 <= low <= high <= 1 else (values - low) / ((high - low) or 1)


# DICOM, through pydicom


def _is_dicom(data: bytes) -> bool:
    """A DICOM file, or one without its preamble: it then begins with a low element of group 0002 or 0008."""
    return data[128:132] == b"DICM" or (data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00")


def _dicom_pixels(data: bytes) -> tuple[np.ndarray, float]:
    """The bytes of a DICOM file → (H, W) float32 in [0, 1], and its colour."""
    import pydicom  # here, because it takes a while and few radiographs come as DICOM
    from pydicom.pixels import apply_color_lut, pixel_array

    if _DEFLATED in data:
        raise RadiographError("a deflated DICOM file is not read; save it with another transfer syntax")
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    dataset.file_meta.setdefault("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
    _check_dicom(dataset)
    # pylibjpeg's RLE decoder panics over a broken file, which no `except Exception` catches; pydicom has its own
    is_rle = dataset.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
    stored = pixel_array(dataset, decoding_plugin="pydicom" if is_rle else "")
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    return (_monochrome_pixels(stored, dataset), 0.0) if stored.ndim == 2 else _array_pixels(stored)


def _check_dicom(dataset) -> None:
    """Raise RadiographError unless the dataset holds one radiograph of acceptable size. Decodes nothing."""
    from pydicom.encaps import generate_frames
    from pydicom.uid import RLELossless

    if "PixelData" not in dataset:
        raise RadiographError("the DICOM file holds no picture; export the image itself")
    if (dataset.get("Modality") or "OT") not in RADIOGRAPH_MODALITIES:
        raise RadiographError("the DICOM file is not a radiograph (modality CR, DX or DR) but another kind of image")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise RadiographError("the DICOM file holds several frames; export the one radiograph as its own file")
    _check_size(dataset.Columns, dataset.Rows)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless:  # RLE gives no size of its own
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        if _codestream_size(frame) != (dataset.Columns, dataset.Rows):
            raise RadiographError(_UNDECODABLE)


def _codestream_size(frame: bytes) -> tuple[int, int]:
    """(width, height) that a JPEG, JPEG-LS or JPEG 2000 codestream announces, which is what decoders allocate."""
    if frame.startswith(b"\xff\x4f\xff\x51"):  # JPEG 2000, ISO 15444-1 A.5.1
        return struct.unpack_from(">II", frame, 8)
    offset = 2
    while frame[offset] == 0xFF and frame[offset + 1] in _OTHER_MARKERS:
        offset += 2 + int.from_bytes(frame[offset + 2 : offset + 4], "big")
    if not frame.startswith(b"\xff\xd8") or frame[offset] != 0xFF or frame[offset + 1] not in _SIZE_MARKERS:
        raise RadiographError(_UNDECODABLE)
    return struct.unpack_from(">HH", frame, offset + 5)[::-1]


def _monochrome_pixels(stored: np.ndarray, dataset) -> np.ndarray:
    """Stored values (H, W), any integer dtype → (H, W) float32 in [0, 1], as DICOM PS3.3 C.11 shows them."""
    from pydicom.pixels import apply_rescale, apply_windowing

    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    values = _without_padding(stored.astype(np.int64), dataset, inverted)
    lowest = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
    black, white = lowest, lowest + 2**dataset.BitsStored - 1
    if dataset.get("ModalityLUTSequence"):
        values, black, white = _look_up(values, dataset.ModalityLUTSequence[0])
    else:
        values = apply_rescale(values, dataset)
        black, white = apply_rescale(np.array([black, white]), dataset)
    if dataset.get("VOILUTSequence"):
        values, black, white = _look_up(values, dataset.VOILUTSequence[0])
        black, white = _used_range(values, black, white, dataset.BitsStored)
    elif _has_window(dataset):
        values = apply_windowing(values, dataset)  # → between black and white
    else:
        black, white = _used_range(values, min(black, white), max(black, white), dataset.BitsStored)
    if inverted:
        black, white = white, black
    return np.clip((values - black) / (white - black), 0, 1).astype(np.float32)


def _without_padding(values: np.ndarray, dataset, inverted: bool) -> np.ndarray:
    """Values (H, W), with those that mark the outside of the picture replaced by the darkest of the rest."""
    if dataset.get("PixelPaddingValue") is None:
        return values
    ends = dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue)
    padding = (values >= min(ends)) & (values <= max(ends))
    rest = values[~padding]
    darkest = np.max if inverted else np.min
    return np.where(padding, darkest(rest), values) if rest.size else values


def _look_up(values: np.ndarray, item) -> tuple[np.ndarray, int, int]:
    """Values through one table of a Modality or VOI LUT Sequence → values, and the table's black and white.

    Not left to pydicom 3.0, which reads wrong entries from an 8-bit VOI table of more than 256, and refuses a modality
    table of 10 to 15 bits.
    """
    entries, first, bits = item.LUTDescriptor
    table = item.LUTData
    if isinstance(table, bytes):
        table = np.frombuffer(table, "<u2" if len(table) >= 2 * (entries or 2**16) else "u1")
    table = np.atleast_1d(table).astype(np.int64)
    return table[np.clip(values - first, 0, len(table) - 1).astype(np.intp)], 0, 2**bits - 1


def _has_window(dataset) -> bool:
    """Whether the dataset gives a window; some devices write an empty one, or one of width 0."""
    widths = np.atleast_1d(dataset.get("WindowWidth"))
    return dataset.get("WindowCenter") is not None and widths[0] is not None and widths[0] >= 1


def _used_range(values: np.ndarray, black: float, white: float, bits_stored: int) -> tuple[float, float]:
    """(black, white), or the values' own range where that is less than a quarter (12 bits declared as 16)."""
    low, high = values.min(), values.max()
    return (low, high) if bits_stored > 8 and high - low < (white - black) / 4 else (black, white)
