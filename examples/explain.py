"""Where a score is sensitive, as a picture: python examples/explain.py IMAGE FINDING [PICTURE]"""

import sys

from lungfusion import LungFusionPipeline
from lungfusion.app.view import saliency_image
from lungfusion.explanation import share_inside


def main(image, finding, picture="explanation.png", model=None):
    pipe = LungFusionPipeline.from_pretrained(model)
    analysis, saliency = pipe(image), pipe.explain(image, finding)
    for warning in analysis.warnings:
        print(warning.sentence)
    if analysis.findings:
        print(f"{finding}: {analysis[finding].probability:.1%}")
    inside = share_inside(saliency, analysis.alpha)
    print("The map is empty." if inside is None else f"{inside:.0%} of the map lies inside the lungs.")
    saliency_image(analysis, saliency).save(picture)
    print(f"Written: {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
