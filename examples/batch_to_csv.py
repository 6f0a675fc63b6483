"""Analyse many radiographs, one row of a table for each: python examples/batch_to_csv.py TABLE.csv IMAGE [IMAGE …]"""

import csv
import sys

from lungfusion import LungFusionPipeline, RadiographError


def main(table, *images, model=None):
    pipe = LungFusionPipeline.from_pretrained(model)
    with open(table, "w", newline="", encoding="utf-8", errors="replace") as file:  # a name may be in no encoding
        columns = ["image", *pipe.findings, "lung_area", "mask_quality", "warnings", "error"]
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for image in images:
            writer.writerow({"image": image, **row(pipe, image)})
            file.flush()  # what is done stays, whatever happens next
    print(f"Written: {table}")


def row(pipe, image):
    """What is said of one radiograph; why, if it can't be read. The columns of findings stay empty if it is refused."""
    try:
        analysis = pipe(image)
    except RadiographError as error:
        return {"error": str(error)}
    return {
        **{f.name: round(f.probability, 4) for f in analysis.findings if f.level != "not_assessed"},
        "lung_area": round(analysis.lung_area, 4),
        "mask_quality": round(analysis.mask_quality, 4),
        "warnings": " ".join(warning.code for warning in analysis.warnings),
    }


if __name__ == "__main__":
    if len(sys.argv) <= 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
