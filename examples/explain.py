"""Where a score is sensitive, as a picture: python examples/explain.py IMAGE FINDING [PICTURE]"""

import sys

import numpy as np

from lungfusion import LungFusionPipeline
from lungfusion.explanation import share_inside
from lungfusion.visualization import saliency_image


def main(image, finding, picture="explanation.png", model=None):
    pipe = LungFusionPipeline.from_pretrained(model)
    analysis, saliency = pipe.analyse_and_explain(image)
    if finding not in saliency:
        sys.exit(f"The model names {', '.join(saliency) or 'no findings'}, not {finding!r}.")
    saliency = np.clip(
        pipe.processor.to_original_sizes([saliency[finding]], [analysis.radiograph.pixels.shape])[0].numpy(), 0, 1
    )
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
