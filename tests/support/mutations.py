"""Files as a stranger may send them: whole ones of every kind that is read, and ways to spoil them."""

import random
import struct
import warnings
import zlib
from functools import cache
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from tests.reading.test_refused_files import WHOLE
from tests.support.dicom_files import compressed, dataset, dicom, file_bytes
from tests.support.image_files import encoded
from tests.support.tiny import draw_phantom

ODD_BYTES = (0, 1, 2, 127, 128, 129, 254, 255)
ODD_NUMBERS = (0, 1, 2, 3, 7, 63, 64, 255, 256, 4095, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
ODD_VALUES = (0, 1, 2, 3, 5, 8, 12, 15, 16, 17, 31, 32, 63, 64, 80, 81, 96, 97, 1000, 10_000, 65535, -1, -32768)
ODD_WORDS = ("", "0", "1", "-1", "1e308", "-1e308", "1e-308", "NaN", "inf", "1\\2\\3", "0\\0", "ABC", "DX", "1.5.2")
NUMBERS = {
    "US": ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
           "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    "WORD": ("PhotometricInterpretation", "Modality", "WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleSlope",
             "RescaleIntercept", "NumberOfFrames", "SpecificCharacterSet", "PatientName", "TransferSyntaxUID"),
}  # fmt: skip
PHOTOMETRICS = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
SYNTAXES = (*pydicom.uid.AllTransferSyntaxes, "1.2.3", "")


@cache
def whole_files():
    """name → bytes of files of every kind that is read."""
    pixels, _ = draw_phantom(seed=0, size=96)
    grey, deep = np.round(pixels * 255).astype(np.uint8), np.round(pixels * 65535).astype(np.uint16)
    colour = Image.fromarray(np.stack([grey, grey[::-1], grey.T], axis=-1))
    files = {
        "phantom png": encoded(grey, "PNG"),
        "phantom png 16 bit": encoded(deep, "PNG"),
        "phantom jpeg": encoded(grey, "JPEG"),
        "phantom jpeg progressive": encoded(colour, "JPEG", progressive=True),
        "phantom jpeg cmyk": encoded(colour.convert("CMYK"), "JPEG"),
        "phantom webp": encoded(colour, "WEBP"),
        "phantom jpeg xl": imagecodecs.jpegxl_encode(np.asarray(colour), effort=1),
        "phantom bmp 1 bit": encoded(Image.fromarray(grey > 100), "BMP"),
        "phantom dicom rle 16 bit": compressed(deep, RLELossless),
        "phantom dicom rle rgb": compressed(np.asarray(colour), RLELossless),
        "phantom dicom deflated": dicom(grey, DeflatedExplicitVRLittleEndian),
    }
    for compression in ("packbits", "tiff_deflate", "tiff_lzw", "jpeg", "group4"):
        image = Image.fromarray(grey > 100) if compression == "group4" else colour
        files[f"phantom tiff {compression}"] = encoded(image, "TIFF", compression=compression)
    ds = dataset(grey)
    ds.PixelData, ds.file_meta.TransferSyntaxUID = encapsulate([encoded(grey, "JPEG2000")]), pydicom.uid.JPEG2000
    ds["PixelData"].is_undefined_length = True
    return WHOLE | files | {"phantom dicom jpeg 2000": file_bytes(ds)}


def spoiled(seed, number):
    """The `number`-th spoiled file of a seed: its name and its bytes. The same at every call."""
    with warnings.catch_warnings(action="ignore"):  # pydicom's, over what it is made to write
        return spoil(random.Random(f"{seed} {number}"))


def spoil(chance):
    name = chance.choice(list(whole_files()))
    data = whole_files()[name]
    if data[128:132] == b"DICM" and chance.random() < 0.5:
        data = with_odd_elements(data, chance)
    elif data.startswith((b"II", b"MM")) and chance.random() < 0.5:
        data = with_odd_entries(data, chance)
    elif data.startswith(b"\x89PNG") and chance.random() < 0.5:
        data = with_odd_chunks(data, chance)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
        data = chance.choice(SPOILERS)(data, chance) or data
    return name, data


# Ways to spoil any bytes


def flip_bits(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 64))):
        data[place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(data)


def set_bytes(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        data[place(data, chance)] = chance.choice(ODD_BYTES)
    return bytes(data)


def set_number(data, chance):
    """An odd number of 2, 4 or 8 bytes, in either order, somewhere."""
    width, order = chance.choice((2, 4, 8)), chance.choice(("little", "big"))
    number = (chance.choice(ODD_NUMBERS) & (2 ** (8 * width) - 1)).to_bytes(width, order)
    start = place(data, chance)
    return data[:start] + number + data[start + width :]


def cut(data, chance):
    return data[: chance.randrange(len(data)) + 1]


def leave_out(data, chance):
    start = place(data, chance)
    return data[:start] + data[start + chance.choice((1, 2, 16, 200)) :]


def repeat(data, chance):
    start = place(data, chance)
    part = data[start : start + chance.choice((1, 4, 32, 500))]
    return data[:start] + part * chance.choice((2, 3, 50)) + data[start + len(part) :]


def insert(data, chance):
    start = place(data, chance)
    return data[:start] + chance.randbytes(chance.choice((1, 4, 32, 500))) + data[start:]


def splice(data, chance):
    """Its beginning, then another file's end."""
    other = chance.choice(list(whole_files().values()))
    return data[: place(data, chance)] + other[place(other, chance) :]


SPOILERS = (flip_bits, flip_bits, set_bytes, set_bytes, set_number, set_number, cut, leave_out, repeat, insert, splice)


def place(data, chance):
    """An index into bytes, more often near the beginning, where headers are."""
    return chance.randrange(min(len(data), chance.choice((32, 200, 1000, len(data))))) if data else 0


# Ways that keep a format's structure, so that what is odd gets deeper


def with_odd_elements(data, chance):
    """A DICOM file with some elements odd, saved anew as far as that goes."""
    ds = pydicom.dcmread(BytesIO(data))
    for _ in range(chance.choice((1, 1, 2, 4))):
        kind = chance.choice(list(NUMBERS))
        keyword = chance.choice(NUMBERS[kind])
        values = {"PhotometricInterpretation": PHOTOMETRICS, "TransferSyntaxUID": SYNTAXES}.get(keyword)
        value = chance.choice(values or (ODD_VALUES if kind == "US" else ODD_WORDS))
        target = ds.file_meta if keyword == "TransferSyntaxUID" else ds
        try:
            if chance.random() < 0.15 and keyword in target:
                del target[keyword]
            elif chance.random() < 0.15:
                target.add_new(keyword, chance.choice(("US", "SS", "UL", "OB", "LO", "DS", "FD", "UN")), value)
            else:
                setattr(target, keyword, value)
        except Exception:  # pydicom does not let itself be given it
            continue
    buffer = BytesIO()
    try:
        pydicom.dcmwrite(buffer, ds, enforce_file_format=False)
    except Exception:
        return data
    return buffer.getvalue() or data


def with_odd_entries(data, chance):
    """A TIFF with an odd type, count or value in some entries of its first directory."""
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        entry = start + 2 + 12 * chance.randrange(count)
        field, offset = chance.choice((("H", 2), ("I", 4), ("I", 8), ("H", 8)))
        number = chance.choice(ODD_NUMBERS) & (0xFFFF if field == "H" else 0xFFFFFFFF)
        struct.pack_into(order + field, data, entry + offset, number)
    return bytes(data)


def with_odd_chunks(data, chance):
    """A PNG of whose chunks one is spoiled inside and has a true checksum still."""
    chunks, offset = [], 8
    while offset < len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        chunks.append((data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]))
        offset += 12 + length
    number = chance.randrange(len(chunks))
    kind, content = chunks[number]
    if content:
        if kind == b"IDAT" and chance.random() < 0.5:
            content = zlib.compress(chance.choice(SPOILERS)(zlib.decompress(content), chance))
        else:
            content = chance.choice(SPOILERS)(content, chance)
    kind = chance.choice((kind, kind, kind, b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"PLTE", b"acTL", b"fcTL"))
    chunks[number] = (kind, content)
    parts = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    return data[:8] + b"".join(parts)
