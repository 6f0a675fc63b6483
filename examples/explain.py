"""Where a score is sensitive, as a picture: python examples/explain.py IMAGE FINDING [PICTURE]"""

import sys

from lungfusion import LungFusionPipeline
from lungfusion.explanation import share_inside
from lungfusion.visualization import saliency_image


def main(image, finding, picture="explanation.png", model=None):
    pipe = LungFusionPipeline.from_pretrained(model)
    try:
        saliency = pipe.explain(image, finding)
    except ValueError as error:
        sys.exit(str(error))
    analysis = pipe(image)
    for warning in analysis.warnings:
        print(warning.sentence)
    if analysis.findings:
        print(f"{finding}: {analysis[finding].level.replace('_', ' ')}")
    inside = share_inside(saliency, analysis.alpha)
    print("The map is empty." if inside is None else f"{inside:.0%} of the map lies inside the lungs.")
    saliency_image(analysis, saliency).save(picture)
    print(f"Written: {picture}")


if __name__ == "__main__":
    if len(sys.argv) <= 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
