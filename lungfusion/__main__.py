"""Command line: python -m lungfusion IMAGE… [--model DIR_OR_ID] [--json] [--out DIR]"""

import argparse
import json
import sys
from pathlib import Path

from tqdm.auto import tqdm
from transformers.utils import logging

from .allocator import keep_freed_memory
from .analysis import REASONS
from .app.view import mask_image, overlay_image
from .pipeline import LungFusionPipeline, check_age
from .reading.radiograph import RadiographError

DISCLAIMER = "For research and education. Not a medical device."


def main(arguments=None):
    """Analyse files; returns the exit status: 0 if all were read, 1 if one was not."""
    arguments = parse(arguments)
    keep_freed_memory()
    logging.disable_progress_bar()
    try:
        pipeline = LungFusionPipeline.from_pretrained(arguments.model)
    except (OSError, ValueError) as error:
        print(f"The model could not be loaded. {error}", file=sys.stderr)
        return 1
    names = output_names(arguments.images)
    results, failures = [], 0
    for path in tqdm(arguments.images, desc="Analysing", unit="image", disable=len(arguments.images) == 1):
        try:
            analysis = pipeline(path, age=arguments.age)
        except RadiographError as error:
            failures += 1
            reason = str(error).removeprefix(f"{Path(path).name}: ")
            results.append({"path": path, "error": reason})
            tqdm.write(f"{path}: {reason}", file=sys.stderr)
            continue
        results.append({"path": path} | analysis.to_dict())
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            overlay_image(analysis).save(arguments.out / f"{names[path]}_overlay.png")
            mask_image(analysis).save(arguments.out / f"{names[path]}_mask.png")
        if not arguments.json:
            tqdm.write(table(path, analysis))
    if arguments.json:
        print(json.dumps(results, indent=2))
    elif failures < len(results):
        print("\n".join([*footnotes(pipeline), DISCLAIMER]))
    return 1 if failures else 0


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m lungfusion", description=f"Analyse chest X-rays. {DISCLAIMER}")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPEG, WebP, TIFF, BMP or DICOM file")
    parser.add_argument("--model", help="folder or id on the Hub; the bundled checkpoint if not given")
    parser.add_argument("--age", type=years, metavar="YEARS", help="of the person, where the file does not tell it")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write IMAGE_overlay.png and IMAGE_mask.png there")
    return parser.parse_args(arguments)


def years(text):
    try:
        return check_age(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def output_names(paths):
    """A name for each file's pictures: its own without the ending, numbered where several files share it."""
    names, used = {}, {}
    for path in dict.fromkeys(paths):
        stem = Path(path).stem
        used[stem] = used.get(stem, 0) + 1
        names[path] = stem if used[stem] == 1 else f"{stem}-{used[stem]}"
    return names


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
    """What each probability rests on, a line for each finding told; none for a model that only segments."""
    sources = getattr(pipeline.model.config, "sources", {})
    return [
        f"{name}: learned from, and calibrated on, {sources[name]}." for name in pipeline.findings if name in sources
    ]


if __name__ == "__main__":
    sys.exit(main())
