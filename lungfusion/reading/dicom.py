"""Reading DICOM with pydicom, in time and memory that the file does not decide.

What a file may announce is bounded here: elements, items and fragments by the number of reads they take, values by
their length, compressed frames by what their own headers say. Any exception means that the file cannot be read.
"""

from io import BytesIO

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from .headers import check_jpeg, codestream_size

MAX_READS = 20_000  # that a header may take; a radiograph's takes a few hundred
MAX_LENGTH = 2**20  # bytes of one value besides the picture; the longest that matter are tables of 128 KiB
DEFLATED = str(DeflatedExplicitVRLittleEndian).encode()  # pydicom inflates it without a limit


class FewReads(BytesIO):
    """Bytes that can be read from `MAX_READS` times."""

    left = MAX_READS

    def read(self, size=-1):
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"The file takes more than {MAX_READS} reads.")
        return super().read(size)


def read_dataset(data):
    """The bytes of a DICOM file → its dataset, nothing decoded, values longer than MAX_LENGTH left out."""
    dataset = pydicom.dcmread(FewReads(data), force=True)
    dataset.file_meta.setdefault("TransferSyntaxUID", ImplicitVRLittleEndian)
    drop_long_values(dataset)
    return dataset


def drop_long_values(dataset):
    """Before anything is made of them: a short file can hold millions of numbers as text."""
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if element.VR == "SQ" and not element.is_raw:
            for item in element.value:
                drop_long_values(item)
        elif tag != 0x7FE00010 and isinstance(element.value, bytes | str | list) and len(element.value) > MAX_LENGTH:
            del dataset[tag]


def stored_values(dataset):
    """The picture of a dataset of one frame, as stored: (H, W) or (H, W, 3) integer array, the latter RGB."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        frame = next(generate_frames(FewReads(dataset.PixelData), number_of_frames=1))
        if syntax == RLELossless:
            unpack(dataset, frame)
        else:
            check_frame(dataset, frame)
            dataset.PixelData = encapsulate([frame])
    values = pixel_array(dataset)
    return apply_color_lut(values, dataset) if dataset.PhotometricInterpretation == "PALETTE COLOR" else values


def check_frame(dataset, frame):
    """Raise ValueError for a frame of another size than the dataset says, which decoders would believe."""
    if codestream_size(frame) != (dataset.Columns, dataset.Rows, dataset.SamplesPerPixel):
        raise ValueError("The frame is not as large as the dataset says.")
    if frame.startswith(b"\xff\xd8"):
        check_jpeg(frame)


def unpack(dataset, frame):
    """Replace the picture by what an RLE frame holds (PS3.5 annex G): planes of bytes, the high ones first.

    pydicom unpacks a frame as far as it goes, 64 bytes for each of its own; Pillow stops where the picture is full.
    """
    samples, width = dataset.SamplesPerPixel, dataset.BitsAllocated // 8
    pixels = dataset.Rows * dataset.Columns
    count, *offsets = np.frombuffer(frame[:64], "<u4").tolist()
    if count != samples * width:
        raise ValueError(f"The frame has {count} segments where {samples * width} belong.")
    ends = [*offsets[1:count], len(frame)]
    planes = np.empty((samples, pixels, width), np.uint8)
    for number, (start, end) in enumerate(zip(offsets, ends, strict=False)):
        plane = Image.frombytes("L", (pixels, 1), frame[start:end], "packbits", "L")
        planes[number // width, :, width - 1 - number % width] = np.asarray(plane)[0]
    dataset.PixelData = planes.tobytes()
    dataset["PixelData"].VR = "OW" if width > 1 else "OB"
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PlanarConfiguration = 1
