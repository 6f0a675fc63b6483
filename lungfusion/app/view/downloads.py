"""What a visitor takes home of an answer. The links hold the files: nothing is stored."""

import json
from pathlib import Path

from .pictures import cut_out_image, data_address, mask_image, picture_address
from .sheet import sheet_pdf


def download_links(words, analysis, correction, made_by, saliency=None):
    """A page to print, mask and lungs as large as the radiograph, and the numbers; pictures and page of none refused.

    The arguments are those of `sheet_pdf`.

    Returns:
        list of (file name, address, label).
    """
    stem = Path(analysis.radiograph.name).stem
    if correction.angle or correction.invert:
        stem += f"_turned_{correction.angle}" * bool(correction.angle) + "_inverted" * correction.invert
    numbers = json.dumps(record(analysis, correction, made_by), indent=2).encode()
    links = [(f"{stem}.json", data_address(numbers, "application/json"), words("download_numbers"))]
    if not analysis.refused:
        report = data_address(sheet_pdf(words, analysis, correction, made_by, saliency), "application/pdf")
        links = [
            (f"{stem}.pdf", report, words("download_report")),
            (f"{stem}_lungs.png", picture_address(mask_image(analysis)), words("download_mask")),
            (f"{stem}_cut_out.png", picture_address(cut_out_image(analysis)), words("download_cut_out")),
            *links,
        ]
    return links


def record(analysis, correction, made_by):
    """`Analysis.to_dict`, and what it takes to repeat it.

    Args:
        analysis: `Analysis`.
        correction: `Correction` that the radiograph had been given first: mask and areas are in that geometry.
        made_by: {"model", "version"}.
    """
    return analysis.to_dict() | {"applied_correction": correction.to_dict()} | made_by
