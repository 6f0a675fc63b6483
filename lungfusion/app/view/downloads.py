"""What a visitor takes home of an answer, made when it is asked for. The link holds the file: nothing is stored."""

import json
from pathlib import Path

from ...visualization import cut_out_image, data_address, mask_image, picture_address
from .render import render

FILES = {  # what there is, and how its name ends
    "report": ".pdf",
    "mask": "_lungs.png",
    "cut_out": "_cut_out.png",
    "numbers": ".json",
}


def offered(words, analysis):
    """(kind, label) of each file there is of an answer: a page to print, mask and lungs as large as the radiograph, and
    the numbers; only these where the image was refused.
    """
    return [(kind, words(f"download_{kind}")) for kind in FILES if kind == "numbers" or not analysis.refused]


def file_html(kind, number, *of_answer):
    """A link that holds the file.

    Args:
        kind: one of `FILES`.
        number: of the request, for the page to know it by.
        of_answer: arguments of `file_of`; none where it can't be made any more.
    """
    name, address = file_of(kind, *of_answer) if of_answer else ("", "")
    return render("file.html", number=number, file_name=name, address=address)


def file_of(kind, words, analysis, correction, made_by, saliency, anything=None):
    """(name, address) of a file.

    Args:
        kind: one of `FILES`.
        words, analysis, correction, made_by, saliency, anything: those of `report_pdf`.
    """
    if kind == "report":
        from .report import report_pdf  # here, because it takes a while and the page begins without it

        report = report_pdf(words, analysis, correction, made_by, saliency, anything)
        address = data_address(report, "application/pdf")
    elif kind == "numbers":
        numbers = json.dumps(record(analysis, correction, made_by), indent=2).encode()
        address = data_address(numbers, "application/json")
    else:
        address = picture_address((mask_image if kind == "mask" else cut_out_image)(analysis))
    done = f"_turned_{correction.angle}" * bool(correction.angle)
    done += "_inverted" * correction.invert + "_mirrored" * correction.mirror
    return Path(analysis.radiograph.name).stem + done + FILES[kind], address


def record(analysis, correction, made_by):
    """`Analysis.to_dict`, and what it takes to repeat it.

    Args:
        analysis: `Analysis`.
        correction: `Correction` that the radiograph had been given first: mask and areas are in that geometry.
        made_by: {"model", "version"}.
    """
    return analysis.to_dict() | {"applied_correction": correction.to_dict()} | made_by
