"""Many radiographs in one table: to look at in the reader's language, and as CSV with names that never change."""

import csv
import io

from .phrases import by_level, percentage
from .pictures import data_address
from .render import render

SHAPE = ("height", "width", "lung_area", "right_lung_area", "left_lung_area", "mask_quality", "ood_score")
FIGURES = ("probability", "threshold", "level")  # of each finding
EMPTY = {"said": "", "level": "", "sort": -1}


class Batch:
    """The table as it grows; no radiograph is kept.

    Args:
        words: `Words`.
        findings: names of the model's findings.
        made_by: {"model", "version"}.
    """

    def __init__(self, words, findings, made_by):
        self.words, self.findings, self.made_by = words, findings, made_by
        self.rows, self.lines = [], []
        self.counts = {"read": 0, "refused": 0, "unreadable": 0}

    def add(self, name, analysis):
        """name: of the file, with its path in the archive if it was in one."""
        self.counts["refused" if analysis.refused else "read"] += 1
        told = analysis.to_dict()
        line = {key: told[key] for key in SHAPE} | {"warnings": " ".join(w.code for w in analysis.warnings)}
        for finding in analysis.findings:
            line |= {f"{finding.name}_{figure}": getattr(finding, figure) for figure in FIGURES}
        self.lines.append({"file": name} | line)
        reacts = [finding.name for finding in by_level(analysis.findings)["detected"]]
        self.rows.append(
            {
                "name": name,
                "note": " ".join(self.words.warning(warning) for warning in analysis.warnings),
                "bad": analysis.refused,
                "reacts": self.words.listed(reacts) if reacts else "",
                "cells": [self.cell(analysis[key]) for key in self.findings if analysis.findings] or self.no_cells(),
            }
        )

    def add_unreadable(self, name, error):
        """error: the sentence that says why."""
        self.counts["unreadable"] += 1
        self.lines.append({"file": name, "error": error})
        self.rows.append({"name": name, "note": error, "bad": True, "reacts": "", "cells": self.no_cells()})

    def no_cells(self):
        return [EMPTY] * len(self.findings)

    def cell(self, finding):
        if finding.probability is None:
            return {"said": self.words("level_not_assessed"), "level": finding.level, "sort": -1}
        return {
            "said": percentage(self.words, finding.probability),
            "level": finding.level,
            "sort": finding.probability,
        }

    def html(self):
        """The table, and a link that saves it. It holds the file: nothing is stored."""
        return render(
            "batch.html",
            words=self.words,
            counts=self.words("batch_counts", **self.counts),
            findings=[self.words.title(name) for name in self.findings],
            rows=self.rows,
            csv=data_address(self.csv().encode("utf-8-sig"), "text/csv"),
        )

    def csv(self):
        """A line for each file: figures from 0 to 1, levels, and warnings as codes."""
        columns = ["file", "error", "warnings", *SHAPE]
        columns += [f"{name}_{figure}" for name in self.findings for figure in FIGURES]
        file = io.StringIO()
        writer = csv.DictWriter(file, [*columns, *self.made_by], restval="")
        writer.writeheader()
        for line in self.lines:
            writer.writerow({key: harmless(value) for key, value in (line | self.made_by).items()})
        return file.getvalue()


def harmless(cell):
    """A spreadsheet takes text that begins so for a formula; a file's name may be a stranger's."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
