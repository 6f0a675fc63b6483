"""Reading DICOM, in time and memory that the file does not decide: pydicom for the header, imagecodecs for frames.

What a file may announce is bounded here: elements, items and fragments by the number of reads they take, values by
their length, compressed frames by what their own headers say. Any exception means that the file cannot be read.
"""

import json
import zlib
from dataclasses import replace
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import generate_frames, parse_basic_offsets, parse_fragments
from pydicom.pixels import apply_color_lut, convert_color_space, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from .codecs import decode_jpeg
from .dicom_facts import age_in_years, check_frontal_chest, letters_of, pixel_spacing, standing, view_position
from .display import Stored, shown_pixels
from .elements import numbers, words
from .errors import MAX_PIXELS, check_size, refusal
from .formats import is_dicom_json
from .grey_levels import array_pixels, bands
from .headers import codestream_size, is_jpeg_ls, jpeg_2000_frame

MAX_READS = 60_000  # that a file may take; a radiograph takes a few hundred, a frame of 8000 fragments half of them
MAX_LENGTH = 2**20  # bytes of one value besides the picture; the longest that matter are tables of 128 KiB
MAX_INFLATED = 2 * MAX_PIXELS + 2**24  # bytes of a deflated dataset: the largest picture and its header
MAX_SQUARE = 1.01  # of the longer side to the shorter: nothing is enlarged for less
MAX_META = 64  # elements before the dataset; about eight are usual
DEFLATED = str(DeflatedExplicitVRLittleEndian).encode()
PICTURES = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
PICTURE_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
LEAST_FLOAT = 1e-9  # of a picture: that of 2^24, read so, is 2e-38
STEPS = 2**16 - 1  # to which values of more than 16 bits are rounded
DICOMDIR = "1.2.840.10008.1.3.10"
_ITEM = b"\xfe\xff\x00\xe0"  # begins encapsulated pixel data (PS3.5 A.4)
_LONG = (b"OB", b"OW", b"OD", b"OF", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")


class FewReads(BytesIO):
    """Bytes that can be read from `MAX_READS` times, and never all at once: pydicom does that to inflate them."""

    left = MAX_READS

    def read(self, size=-1):
        self.left -= 1
        if self.left < 0 or size is None or size < 0:
            raise ValueError("The file takes too many reads, or is deflated where it does not say so.")
        return super().read(size)


def dicom_pixels(data: bytes) -> tuple[np.ndarray, dict]:
    """The bytes of a DICOM file, or of DICOM as JSON → (H, W) float32 in [0, 1], square pixels, the patient's right on
    the left and the head above as far as the header says which is which; and `Radiograph`'s other facts by name.
    """
    dataset = read_json(data) if is_dicom_json(data) else read_dataset(data)
    check_dataset(dataset)
    check_frontal_chest(dataset)
    cells, stored = pixel_cells(dataset)
    pixels, colour = array_pixels(cells) if cells.ndim == 3 else (shown_pixels(cells, stored, dataset), 0.0)
    pixels, spacing = squared(pixels, *pixel_spacing(dataset))
    facts = {"colour": colour, "view": view_position(dataset), "age": age_in_years(dataset), "spacing": spacing}
    lies = standing(dataset)
    return stand(pixels, *lies) if lies else pixels, facts | {"sides_known": lies is not None}


def squared(pixels, down, across, known) -> tuple[np.ndarray, float | None]:
    """Pixels `down` mm high and `across` wide as squares, (H, W), the longer way enlarged; and the mm of a side.

    known: whether these are mm; else they are in proportion alone.
    """
    side, ratio = min(down, across), down / across
    if abs(np.log(ratio)) > np.log(MAX_SQUARE):
        height, width = pixels.shape
        wanted = np.array([height * down, width * across]) / side
        side *= max(1.0, np.sqrt(wanted.prod() / MAX_PIXELS))
        height, width = (max(1, int(length / side + 0.5)) for length in (height * down, width * across))
        check_size(width, height)
        picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture).clip(0, 1)
    return pixels, side if known else None


def stand(pixels, transposed, mirrored, upside_down) -> np.ndarray:
    """(H, W) as stored → as people look at it: see `dicom_facts.standing`."""
    pixels = pixels.T if transposed else pixels
    return pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def read_dataset(data: bytes):
    """The bytes of a DICOM file → its dataset, nothing decoded, values longer than MAX_LENGTH left out."""
    data = data if data[:4] != b"DICM" else bytes(128) + data
    if DEFLATED in data and DEFLATED in data[: (start := end_of_meta(data))]:  # pydicom inflates without a limit
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflater.decompress(data[start:], MAX_INFLATED)
        if not inflater.eof:
            raise ValueError("The file inflates to too much, or is cut short.")
    dataset = pydicom.dcmread(FewReads(data), force=True)
    drop_long_values(dataset)
    return dataset


def read_json(data: bytes):
    """DICOM as JSON (PS3.18 annex F), of one object → its dataset."""
    if data.count(b"{") + data.count(b"[") + data.count(b",") > MAX_READS:
        raise ValueError("The file holds too many values.")
    content = json.loads(data)
    if isinstance(content, list):
        if len(content) > 1:
            raise refusal("several_pictures")
        (content,) = content
    content = {tag.upper(): element for tag, element in content.items()}
    if not any("InlineBinary" in content.get(tag, ()) for tag in map("{:08X}".format, PICTURE_TAGS)):
        raise refusal("dicom_json")
    content = {tag: element for tag, element in content.items() if "BulkDataURI" not in element}
    dataset = pydicom.Dataset.from_json(content)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    drop_long_values(dataset)
    return dataset


def end_of_meta(data: bytes) -> int:
    """Where the dataset begins: after the elements of group 0002 (PS3.10 7.1)."""
    start = 132 if data[128:132] == b"DICM" else 0
    for _ in range(MAX_META):
        if data[start : start + 2] != b"\x02\x00":
            return start
        long = data[start + 4 : start + 6] in _LONG
        length = data[start + 8 : start + 12] if long else data[start + 6 : start + 8]
        start += (12 if long else 8) + int.from_bytes(length, "little")
    raise ValueError("The file begins with too many elements.")


def drop_long_values(dataset):
    """Before anything is made of them: a short file can hold millions of numbers as text."""
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if element.VR == "SQ" and not element.is_raw:
            for item in element.value:
                drop_long_values(item)
        elif (
            tag not in (0x7FE00008, 0x7FE00009, 0x7FE00010)
            and isinstance(element.value, bytes | str | list)
            and len(element.value) > MAX_LENGTH
        ):
            del dataset[tag]


def check_dataset(dataset) -> None:
    """Raise RadiographError unless the dataset holds one picture of acceptable size. Decodes nothing."""
    classes = words(dataset.file_meta, "MediaStorageSOPClassUID") if hasattr(dataset, "file_meta") else []
    if DICOMDIR in classes or "DirectoryRecordSequence" in dataset:
        raise refusal("dicomdir")
    if not any(name in dataset for name in PICTURES):
        raise refusal("no_picture")
    check_size(dataset.Columns, dataset.Rows)
    if dataset.Rows * dataset.Columns * samples_of(dataset) > MAX_PIXELS:
        raise refusal("too_many_pixels", limit=MAX_PIXELS // 10**6)
    if (numbers(dataset, "NumberOfFrames") or [1])[0] > 1 and holds_frames(dataset):
        raise refusal("several_frames")
    if (numbers(dataset, "BitsAllocated") or [16])[0] > 16 and is_compressed(dataset):
        raise refusal("too_deep")


def holds_frames(dataset) -> bool:
    """Whether there are data of more than one frame, whatever their number is said to be."""
    if is_compressed(dataset):
        items = FewReads(dataset.PixelData)
        parse_basic_offsets(items)
        return parse_fragments(items)[0] > 1
    allocated = int((numbers(dataset, "BitsAllocated") or [16])[0])
    data = next(dataset[name].value for name in PICTURES if name in dataset)
    frame = dataset.Rows * dataset.Columns * samples_of(dataset) * max(1, allocated) / 8
    return len(data) >= 2 * int(frame)


def samples_of(dataset) -> int:
    samples = int((numbers(dataset, "SamplesPerPixel") or [1])[0])
    if samples not in (1, 3):
        raise ValueError(f"There are {samples} samples for each pixel.")
    return samples


def pixel_cells(dataset) -> tuple[np.ndarray, Stored]:
    """The picture as stored, and how to read it: (H, W) uint8 or uint16, or (H, W, 3) RGB."""
    shape, samples = (dataset.Rows, dataset.Columns), samples_of(dataset)
    photometric = letters_of("".join(words(dataset, "PhotometricInterpretation")[:1]))
    if "PixelData" not in dataset:
        return rounded_cells(*wide_values(dataset, shape), dataset, photometric)
    allocated = int((numbers(dataset, "BitsAllocated") or [8 * len(dataset.PixelData) // (shape[0] * shape[1])])[0])
    if allocated > 16 and samples == 1:
        values, bits = wide_values(dataset, shape)
        if values.dtype.kind == "f" or values.min() < 0 or values.max() >= 2**16:
            return rounded_cells(values, bits, dataset, photometric)
        cells = values.astype(np.uint16)
        return cells, how_stored(dataset, cells, photometric)
    frame = compressed_frame(dataset)
    if frame is not None:
        cells, photometric = decoded(frame, shape if samples == 1 else (*shape, 3), allocated, photometric)
    elif samples == 3:
        cells, photometric = native_colours(dataset), "RGB"
    else:
        cells = native_cells(dataset, shape, allocated)
    if samples == 3:
        return convert_color_space(cells, "YBR_FULL", "RGB") if photometric.startswith("YBRFULL") else cells, None
    if photometric == "PALETTECOLOR" and "RedPaletteColorLookupTableDescriptor" in dataset:
        return apply_color_lut(cells, dataset), None
    return cells, how_stored(dataset, cells, photometric)


def how_stored(dataset, cells, photometric) -> Stored:
    """Bits Stored, High Bit and the like, with what the standard expects where they are absent or impossible, and where
    High Bit would leave nothing but the lowest values: of a decoder that aligned them itself, or copied from elsewhere.
    """
    width = 8 * cells.dtype.itemsize
    bits = int((numbers(dataset, "BitsStored") or [width])[0])
    bits = bits if 1 < bits <= width else width
    high = int((numbers(dataset, "HighBit") or [bits - 1])[0])
    high = high if bits - 1 <= high < width and cells.max() >= 2**bits else bits - 1
    known = photometric.startswith("MONOCHROME")
    inverted = photometric.startswith("MONOCHROME1") if known else "INVERSE" in words(dataset, "PresentationLUTShape")
    return Stored(bits, high, (numbers(dataset, "PixelRepresentation") or [0])[0] == 1, inverted)


def wide_values(dataset, shape) -> tuple[np.ndarray, int]:
    """Floats, or integers of 32 and 64 bits, that are not compressed: (H, W), and how many bits of each count."""
    name = next(name for name in PICTURES if name in dataset)
    allocated = 64 if name.startswith("Double") else 32 if name.startswith("Float") else int(dataset.BitsAllocated)
    signed = (numbers(dataset, "PixelRepresentation") or [0])[0] == 1
    kind = "f" if name != "PixelData" else "i" if signed else "u"
    order = "<" if dataset.original_encoding[1] is not False else ">"
    values = np.frombuffer(dataset[name].value, f"{order}{kind}{allocated // 8}", shape[0] * shape[1]).reshape(shape)
    if kind != "f" and are_floats(floats := values.view(f"{order}f{allocated // 8}")):
        values, kind = floats, "f"
    if kind == "f" and not np.isfinite(values).all():
        raise refusal("not_finite")
    bits = int((numbers(dataset, "BitsStored") or [allocated])[0])
    if kind == "u" and bits < allocated:
        values = values & values.dtype.type(2**bits - 1)  # what lies above is overlay
    return values, bits


def are_floats(values) -> bool:
    """Whether values read as floats are those of a picture: integers of few digits would be too small to be any."""
    sizes = np.abs(values[values != 0])
    return sizes.size > 0 and bool(((sizes > LEAST_FLOAT) & (sizes < 1 / LEAST_FLOAT)).all())


def rounded_cells(values, bits, dataset, photometric) -> tuple[np.ndarray, Stored]:
    """Values (H, W) of any type in so many steps from their least to their greatest as 16 bits hold."""
    low, high = float(values.min()), float(values.max())
    step = (high - low) / STEPS or 1.0
    cells = np.empty(values.shape, np.uint16)
    for rows in bands(values):
        cells[rows] = np.round((values[rows].astype(np.float64) - low) / step)
    stored = how_stored(dataset, cells, photometric)
    return cells, replace(stored, bits=16, high_bit=15, signed=False, least=low, step=step)


def native_cells(dataset, shape, allocated) -> np.ndarray:
    """(H, W) uint8 or uint16 of pixel data that are not compressed."""
    data, count = dataset.PixelData, shape[0] * shape[1]
    little = dataset.original_encoding[1] is not False
    if allocated == 1:
        return np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little").reshape(shape)
    if allocated not in (8, 16):
        raise ValueError(f"{allocated} bits are allocated for each value.")
    if allocated == 8 and not little and dataset["PixelData"].VR == "OW":  # bytes were swapped in pairs
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
    cells = np.frombuffer(data, "u1" if allocated == 8 else "<u2" if little else ">u2", count)
    return cells.reshape(shape).astype(cells.dtype.newbyteorder("="), copy=False)


def native_colours(dataset) -> np.ndarray:
    """(H, W, 3) RGB of pixel data that are not compressed."""
    little = dataset.original_encoding[1] is not False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.PhotometricInterpretation = "_".join(words(dataset, "PhotometricInterpretation")[:1]) or "RGB"
    return pixel_array(dataset)


def is_compressed(dataset) -> bool:
    if "PixelData" not in dataset:
        return False
    return dataset["PixelData"].is_undefined_length or dataset.PixelData.startswith(_ITEM)


def compressed_frame(dataset) -> bytes | None:
    """The one frame of encapsulated pixel data; None where they are not."""
    if not is_compressed(dataset):
        return None
    return next(generate_frames(FewReads(dataset.PixelData), number_of_frames=1))


def decoded(frame, shape, allocated, photometric) -> tuple[np.ndarray, str]:
    """A compressed frame → (H, W) uint8 or uint16, or (H, W, 3), and the colours it now has."""
    if not (frame.startswith(b"\xff\xd8") or b"\xff\x4f\xff\x51" in frame[:2048]):
        return unpack(frame, shape, allocated), photometric
    if codestream_size(frame) != (shape[1], shape[0], *shape[2:], 1)[:3]:
        raise ValueError("The frame is not as large as the dataset says.")  # which decoders would believe
    if not frame.startswith(b"\xff\xd8"):
        start = jpeg_2000_frame(frame)[0]  # nothing is decoded but what was looked at
        cells = imagecodecs.jpeg2k_decode(frame[start:])  # turns back the colour transform of the codestream
        photometric = "RGB" if photometric in ("YBRICT", "YBRRCT") else photometric
    else:
        cells = decode_jpeg(frame)
        photometric = photometric if len(shape) == 2 or is_jpeg_ls(frame) else "RGB"
    width = cells.dtype.itemsize
    return cells.reshape(shape).view(f"u{width}").astype(f"u{max(width, allocated // 8)}", copy=False), photometric


def unpack(frame, shape, allocated) -> np.ndarray:
    """What an RLE frame holds (PS3.5 annex G): planes of bytes, the high ones first.

    A frame may announce 64 bytes for each of its own; Pillow stops where the picture is full.
    """
    samples, width = (*shape, 1)[2], allocated // 8
    pixels = shape[0] * shape[1]
    count, *offsets = np.frombuffer(frame[:64], "<u4").tolist()
    if count != samples * width:
        raise ValueError(f"The frame has {count} segments where {samples * width} belong.")
    ends = [*offsets[1:count], len(frame)]
    planes = np.empty((samples, pixels, width), np.uint8)
    for number, (start, end) in enumerate(zip(offsets, ends, strict=False)):
        plane = Image.frombytes("L", (pixels, 1), frame[start:end], "packbits", "L")
        planes[number // width, :, width - 1 - number % width] = np.asarray(plane)[0]
    return planes.view(f"<u{width}").reshape(samples, *shape[:2]).transpose(1, 2, 0).reshape(shape)
