"""Command line: python -m lungfusion IMAGE_OR_FOLDER… [--model DIR_OR_ID] [--mirror] [--json] [--out DIR]"""

import argparse
import errno
import json
import os
import stat
import sys
import tempfile
from functools import partial
from pathlib import Path, PurePath

from tqdm.auto import tqdm
from transformers.utils import logging

from .allocator import keep_freed_memory
from .analysis import REASONS, Correction
from .pipeline import LungFusionPipeline
from .reading.archive import numbered, radiographs_in, raise_
from .reading.errors import MAX_BYTES, RadiographError, refusal
from .reading.formats import PICTURE_SUFFIXES
from .reading.radiograph import load_radiograph, printable
from .reading.sources import check_age
from .visualization import mask_image, overlay_image

DISCLAIMER = "For research and education. Not a medical device."
COMPILE_FROM = 50  # files; with fewer, torch is done before OpenVINO would have been compiled
MAX_STEM = 150  # bytes of a written file's name; file systems allow 255


def main(arguments=None):
    """Analyse files; returns the exit status: 0 if all were read, 1 if one was not or nobody reads the answer, as of
    `| head`.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, it stays open
    try:
        status = analyse_files(parse(arguments))
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        if error.errno == errno.ENOSPC:
            print(f"The answer could not be written ({error.strerror}).", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left, lest Python tells of it, too
        return 1
    return status


def analyse_files(arguments):
    keep_freed_memory()
    logging.disable_progress_bar()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a name may hold what the terminal's encoding lacks
    if arguments.out and (problem := why_not_writable(arguments.out)):
        print(problem, file=sys.stderr)
        return 1
    try:
        files = listed(arguments.images)
        backend = "auto" if len(files) >= COMPILE_FROM else "torch"
        pipeline = LungFusionPipeline.from_pretrained(arguments.model, backend=backend)
    except (OSError, ValueError) as error:
        print(f"The model could not be loaded. {error}", file=sys.stderr)
        return 1
    stems = output_stems([path for path, _ in files])
    results, correct = [], correction_of(arguments)
    bar = tqdm(files, desc="Analysing", unit="image", disable=len(files) == 1)
    for (path, read), stem in zip(bar, stems, strict=True):
        try:
            radiograph = load_radiograph(read(), name=PurePath(path).name)
            analysis = pipeline(radiograph, age=arguments.age, correct=correct)
        except RadiographError as error:
            results.append({"path": path, "error": error.reason, "code": error.code})
            tqdm.write(f"{path}: {error.reason}", file=sys.stderr)
            continue
        results.append({"path": path} | analysis.to_dict())
        if arguments.out:
            try:
                results[-1] |= written(analysis, arguments.out, stem)
            except OSError as error:
                print(f"{arguments.out}: nothing more can be written ({error.strerror}).", file=sys.stderr)
                return 1
        if not arguments.json:
            tqdm.write(table(path, analysis))
    failures = sum("error" in result for result in results)
    if arguments.json:
        print(json.dumps(results, indent=2))
    elif failures < len(results):
        print("\n".join([*footnotes(pipeline), DISCLAIMER]))
    return 1 if failures else 0


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m lungfusion", description=f"Analyse chest X-rays. {DISCLAIMER}")
    formats = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, JPEG 2000 or DICOM file"
    kinds = f"{formats}, a folder or ZIP archive of them, or - for standard input"
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=kinds)
    parser.add_argument("--model", help="folder or id on the Hub; the bundled checkpoint if not given")
    parser.add_argument("--age", type=years, metavar="YEARS", help="of the person, where the file does not tell it")
    by_hand = parser.add_argument_group("to set a picture right by hand", "nothing is then corrected by itself")
    by_hand.add_argument("--turn", type=int, metavar="DEGREES", help="anticlockwise; 0 leaves it as it is")
    by_hand.add_argument("--mirror", action="store_true", help="exchange left and right, once it is turned")
    by_hand.add_argument("--invert", action="store_true", help="swap black and white")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write IMAGE_overlay.png and IMAGE_mask.png there")
    return parser.parse_args(arguments)


def correction_of(arguments):
    """`Correction` that was asked for; True, so that the pipeline finds it, where none was."""
    if arguments.turn is None and not (arguments.mirror or arguments.invert):
        return True
    return Correction(180 - (180 - (arguments.turn or 0)) % 360, arguments.invert, mirror=arguments.mirror)


def why_not_writable(folder):
    """A sentence that says why no file can be written into a folder, which is made if need be; None if one can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except FileExistsError:
        return f"{folder}: this is a file; give --out a folder."
    except OSError as error:
        return f"{folder}: no file can be written there ({error.strerror}); give --out another folder."


def listed(paths):
    """(path as told, function that returns its bytes or what to read) of each radiograph, in order."""
    files = []
    for path in dict.fromkeys(paths):
        told = printable(path)
        if is_stream(path):
            files.append((told, partial(read_stream, path)))
            continue
        try:
            found = radiographs_in([path], limit=None)
        except RadiographError as error:
            files.append((told, lambda error=error: raise_(error)))
            continue
        own = printable(Path(path).name)
        if os.path.isdir(path) or [name for name, _ in found] != [own]:
            files += [(f"{told.rstrip('/')}/{name.removeprefix(f'{own}/')}", read) for name, read in found]
        else:
            files.append((told, found[0][1]))
    return files


def is_stream(path):
    """Whether it is standard input, or a pipe, as `<(…)` gives one."""
    try:
        mode = 0 if path == "-" else os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return path == "-" or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def read_stream(path):
    """The bytes that come from it, one more at most than a file may have."""
    try:
        with os.fdopen(os.dup(sys.stdin.fileno()), "rb") if path == "-" else open(path, "rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, AttributeError) as error:  # there is no standard input
        raise refusal("unreadable_file") from error


def output_stems(paths):
    """A name for each file's pictures: its own without the ending of a picture, numbered where several share it."""
    stems = []
    for name in ("stdin" if path == "-" else PurePath(path).name for path in paths):
        suffix = PurePath(name).suffix  # of a UID, 1.2.840.10008, it would be a part of the number
        stem = name[: -len(suffix)] if suffix.lower() in PICTURE_SUFFIXES else name
        stems.append(stem.encode()[:MAX_STEM].decode(errors="ignore") or "image")
    return numbered(stems)


def written(analysis, folder, stem):
    """Save overlay and mask → their paths by what they are."""
    pictures = {"overlay": overlay_image(analysis), "mask": mask_image(analysis)}
    paths = {kind: os.path.join(folder, f"{stem}_{kind}.png") for kind in pictures}
    for kind, picture in pictures.items():
        picture.save(paths[kind])
    return paths


def years(text):
    try:
        return check_age(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def table(path, analysis):
    """A readable answer: warnings first, then a line for each finding."""
    right, left = f"right {analysis.right_lung_area:.0%}", f"left {analysis.left_lung_area:.0%}"
    lines = [path, f"  lungs cover {analysis.lung_area:.0%} of the image ({right}, {left})"]
    lines += [f"  outline: {analysis.mask_quality:.2f} overlap (Dice) with one drawn by hand is to be expected"]
    lines += [f"  ! {warning.sentence}" for warning in analysis.warnings]
    width = max((len(finding.name) for finding in analysis.findings), default=0)
    for finding in analysis.findings:
        verdict = finding.level.replace("_", " ")
        if finding.reason:
            lines.append(f"  {finding.name:<{width}}  {verdict}: {REASONS[finding.reason]}")
        else:
            figures = f"{finding.probability:6.1%}  (threshold {finding.threshold:.1%})"
            lines.append(f"  {finding.name:<{width}}  {figures}  {verdict}")
    return "\n".join(lines) + "\n"


def footnotes(pipeline):
    """What the probabilities rest on, a line for all findings of the same data; none for a model that only segments."""
    told = {}
    for name in pipeline.findings:
        told.setdefault("; ".join(pipeline.evidence[name].sources), []).append(name)
    return [f"{', '.join(names)}: learned from, and calibrated on, {of}." for of, names in told.items() if of]


if __name__ == "__main__":
    sys.exit(main())
