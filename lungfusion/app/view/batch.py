"""Many radiographs as a workbench: a table to look at in the reader's language, and files to take home."""

from io import BytesIO

from ...visualization import as_rgb, data_address, grey_image, mask_image, picture_address, reduced_to, with_contour
from .batch_files import batch_csv, json_lines, masks_zip, snippet
from .phrases import percentage
from .render import render

SMALL_SIDE = 96  # pixels of a thumbnail's longer side
MARKS = {"detected": "●", "unclear": "◐", "not_detected": "○", "not_assessed": "–"}  # level, for whom colours are alike
EMPTY = {"said": "", "mark": "", "level": "", "title": "", "sort": -1}


class Batch:
    """The table as it grows; of a radiograph nothing is kept but its thumbnail and its mask.

    Args:
        words: `Words`.
        findings: names of the model's findings.
        made_by: {"model", "version"}.
        uploads: names of the uploaded files.

    Attributes:
        records: one dict for each file: `file`, and either `Analysis.to_dict` or `error` and `reason`.
        counts: how many were `read`, `refused`, `unreadable`.
    """

    def __init__(self, words, findings, made_by, uploads=()):
        self.words, self.findings, self.made_by, self.uploads = words, findings, made_by, list(uploads)
        self.rows, self.records, self.masks = [], [], {}
        self.counts = {"read": 0, "refused": 0, "unreadable": 0}

    def add(self, name, analysis):
        """name: of the file, with its path in the archive if it was in one."""
        self.counts["refused" if analysis.refused else "read"] += 1
        self.records.append({"file": name} | analysis.to_dict())
        notes = [self.words.warning(warning) for warning in analysis.warnings]
        if not analysis.refused:
            self.masks[name] = png(mask_image(analysis))
        self.rows.append(
            {
                "name": name,
                "picture": thumbnail(analysis),
                "note": " ".join(notes),
                "kind": "refused" if analysis.refused else "read",
                "reacts": any(finding.detected for finding in analysis.findings),
                "cells": [*self.finding_cells(analysis), *self.lung_cells(analysis)],
            }
        )

    def add_unreadable(self, name, error):
        """error: the `RadiographError` that says why."""
        self.counts["unreadable"] += 1
        self.records.append({"file": name, "error": error.code, "reason": error.reason})
        said = self.words.error(error).removeprefix(f"{error.name}: ")
        cells = [EMPTY] * (len(self.findings) + 2)
        row = {"name": name, "picture": "", "note": said, "kind": "unreadable", "reacts": False, "cells": cells}
        self.rows.append(row)

    def finding_cells(self, analysis):
        return [self.finding_cell(analysis[name]) if analysis.findings else EMPTY for name in self.findings]

    def finding_cell(self, finding):
        """Of what is not detected no percentage, which would be read as a risk: the table's download has it."""
        level = self.words(f"level_{finding.level}")
        known = finding.probability is not None
        return {
            "said": percentage(self.words, finding.probability) if finding.detected else "",
            "mark": MARKS[finding.level],
            "level": finding.level,
            "title": f"{self.words.title(finding.name)}: {level}",
            "sort": finding.probability if known else -1,
        }

    def lung_cells(self, analysis):
        """How much of the picture the lungs cover, and how good their outline should be."""
        if analysis.refused:
            return [EMPTY] * 2
        shares = (analysis.lung_area, analysis.mask_quality)
        return [EMPTY | {"said": percentage(self.words, share), "sort": share} for share in shares]

    def html(self, finished=True):
        """The table and, once it is finished, its downloads, which hold their files: nothing is stored."""
        words = self.words
        return render(
            "batch.html",
            words=words,
            counts=words("batch_counts", **self.counts),
            titles=[*map(words.title, self.findings), words("column_lung_area"), words("column_outline")],
            rows=self.rows,
            files=self.files() if finished else [],
            snippet=snippet(self.uploads, self.made_by) if finished else "",
        )

    def files(self):
        """(file name, address, label) of each download."""
        table = batch_csv(self.records, self.findings, self.made_by).encode("utf-8-sig")
        lines = json_lines(self.records, self.made_by).encode()
        masks = data_address(masks_zip(self.masks), "application/zip")
        return [
            ("lungfusion.csv", data_address(table, "text/csv"), self.words("download_table")),
            ("lungfusion.jsonl", data_address(lines, "application/jsonl"), self.words("download_lines")),
            *([("lungfusion_masks.zip", masks, self.words("download_masks"))] if self.masks else []),
        ]


def thumbnail(analysis):
    """The radiograph, small, with a line around its lungs: an address."""
    height, width = analysis.radiograph.pixels.shape
    scale = min(1, SMALL_SIDE / max(height, width))
    shape = max(1, round(scale * height)), max(1, round(scale * width))
    small = reduced_to(analysis.radiograph.pixels, shape)
    if analysis.refused:
        return picture_address(grey_image(small), "JPEG")
    return picture_address(with_contour(as_rgb(small), analysis.alpha_at(shape)), "JPEG")


def png(picture):
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
