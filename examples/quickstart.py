"""Analyse one radiograph and save what was seen: python examples/quickstart.py [IMAGE] [PICTURE]"""

import sys
from pathlib import Path

from PIL import Image

from lungfusion import LungFusionPipeline
from lungfusion.visualization import masked_image, overlay_image, radiograph_image

HERE = Path(__file__).parent


def main(image=HERE / "radiographs" / "phantom_clear.png", picture="lungs.png", model=None):
    analysis = LungFusionPipeline.from_pretrained(model)(image)
    for warning in analysis.warnings:
        print(warning.sentence)
    for finding in analysis.findings:
        print(f"{finding.name}: {finding.level.replace('_', ' ')}", end="")
        print("" if finding.probability is None else f", {finding.probability:.1%}, threshold {finding.threshold:.1%}")
    side_by_side(radiograph_image(analysis), overlay_image(analysis), masked_image(analysis)).save(picture)
    print(f"Written: {picture}")


def side_by_side(*images):
    sheet = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)))
    left = 0
    for image in images:
        sheet.paste(image.convert("RGB"), (left, 0))
        left += image.width
    return sheet


if __name__ == "__main__":
    main(*sys.argv[1:])
