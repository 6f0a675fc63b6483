"""A callable for engines that score archives: batches of files in, columns out, for Ray Data, Spark or datasets."""

from .pipeline import LungFusionPipeline
from .reading.radiograph import RadiographError
from .reading.sources import load

FIGURES = {
    "format": str,
    "height": int,
    "width": int,
    "right_lung_area": float,
    "left_lung_area": float,
    "mask_quality": float,
    "ood_score": float,
}


class Scorer:
    """Scores batches of radiographs; a file that can't be read is a row with its error, and never loses the batch.

        scorer = Scorer()
        scorer({"path": ["one.png", "two.dcm"]})["probability_tuberculosis"]

    It pickles as the name of its model, and loads it where it is first called: once in each worker.

    Args:
        name_or_path, revision, device, dtype: as `LungFusionPipeline.from_pretrained` takes them.
    """

    def __init__(self, name_or_path=None, revision=None, device=None, dtype=None):
        self.settings = (name_or_path, revision, device, dtype)
        self._pipeline = None

    def __getstate__(self):
        return self.__dict__ | {"_pipeline": None}

    @property
    def pipeline(self):
        if self._pipeline is None:
            self._pipeline = LungFusionPipeline.from_pretrained(*self.settings)
        return self._pipeline

    @property
    def columns(self):
        """name → type (str, int, float, or list of str) of the columns that are added, for engines that ask before."""
        kinds = {"probability": float, "level": str}
        of_findings = {f"{kind}_{name}": of for name in self.pipeline.findings for kind, of in kinds.items()}
        return FIGURES | {"warnings": list} | of_findings | {"error": str}

    def __call__(self, batch):
        """Score a batch.

        Args:
            batch: dict of columns (lists or arrays), or a pandas DataFrame, with `bytes`, or `path`, or `image` as
                datasets holds it undecoded: {"bytes", "path"}, or as `read_row` read it. `age`, if it is there, is in
                years, None where unknown.

        Returns:
            dict of lists, one element for each row: the columns given, without `bytes` and `image`; `format`, `height`,
            `width`, `right_lung_area`, `left_lung_area`, `mask_quality`, `ood_score`, `warnings` (their codes);
            `probability_…` and `level_…` of each finding the model tells of, None where the image was refused; and
            `error`, None unless the row could not be read. Then all of these are None, `warnings` an empty list.

        Raises:
            ValueError: the batch has none of those columns.
            OSError: the model can't be loaded.
        """
        given = {name: list(values) for name, values in batch.items()}
        sources = next((given[name] for name in ("bytes", "path", "image") if name in given), None)
        if sources is None:
            raise ValueError(f"The batch has the columns {', '.join(given)}: it needs one named bytes, path or image.")
        read = [read_row(*row) for row in zip(sources, given.get("age", [None] * len(sources)), strict=True)]
        analyses = iter(self.pipeline([one for one in read if not isinstance(one, ValueError)]))
        findings = self.pipeline.findings
        rows = [row(one if isinstance(one, ValueError) else next(analyses), findings) for one in read]
        kept = {name: values for name, values in given.items() if name not in ("bytes", "image")}
        return kept | {name: [one[name] for one in rows] for name in self.columns}


def read_row(source, age):
    """`Radiograph` of a row, or the ValueError that says why there is none; what it returned it takes as a source."""
    if isinstance(source, ValueError):
        return source
    try:
        if source is None or (isinstance(source, dict) and all(source.get(key) is None for key in ("bytes", "path"))):
            raise RadiographError("the row holds no image")
        return load(source, None if age is None or age != age else age)  # pandas' unknown is not itself
    except ValueError as error:
        return error


def row(answer, findings):
    """`Analysis`, or the ValueError that stands for it → what is written of it."""
    error = isinstance(answer, ValueError)
    content = {} if error else answer.to_dict()
    told = {} if error else {finding.name: finding for finding in answer.findings}
    columns = {name: content.get(name) for name in FIGURES}
    columns["warnings"] = [] if error else [warning.code for warning in answer.warnings]
    for name in findings:
        columns[f"probability_{name}"] = told[name].probability if name in told else None
        columns[f"level_{name}"] = told[name].level if name in told else None
    return columns | {"error": getattr(answer, "reason", str(answer)) if error else None}
