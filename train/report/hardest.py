"""The radiographs whose lungs are hardest to outline, drawn by several models side by side.

The sheet shows patients: it stays in a folder of its own, and is neither bundled nor pushed.
"""

import numpy as np
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from lungfusion.visualization import as_rgb, reduced, with_contour
from train.data.pictures import load_image
from train.data.splits import sample_rows
from train.io import markdown_table, write_table
from train.report.contact_sheets import DPI, show

BATCH = 8
IN_A_LINE = 10  # pictures, of whole radiographs
TILE = 1.9  # inches


def compare_hardest(pipelines, parts, output, count, images=None):
    """Write images/hardest.png, hardest.md and hardest.json.

    The hardest are those of the lowest mask quality by the first model, of each source as many.

    Args:
        pipelines: name → `LungFusionPipeline`, the first by which they are chosen.
        parts: source → `datasets.Dataset` with undecoded `image`.
        output: `Path` of the folder.
        count: how many radiographs, of all sources together.
        images: of each source are looked at at most, drawn at random; all if None.
    """
    chosen = []
    for name, data in parts.items():
        rows = sample_rows(len(data), images)
        qualities = mask_qualities(next(iter(pipelines.values())), data, rows, name)
        chosen += [(name, int(rows[place])) for place in np.argsort(qualities)[: round(count / len(parts))]]
    answers = []
    for name, row in tqdm(chosen, desc="Drawing the hardest"):
        radiograph = load_image(parts[name][row]["image"])
        answers.append({model: pipeline(radiograph) for model, pipeline in pipelines.items()})
    (output / "images").mkdir(parents=True, exist_ok=True)
    draw_hardest(chosen, answers).savefig(output / "images" / "hardest.png", dpi=DPI)
    figures = {name: summarise([a for (of, _), a in zip(chosen, answers, strict=True) if of == name]) for name in parts}
    write_table(output, "hardest", hardest_table(figures), figures)


def mask_qualities(pipeline, data, rows, name):
    """By rows of a data set: (N,) float in [0, 1]."""
    qualities = []
    for start in tqdm(range(0, len(rows), BATCH), desc=f"Looking for the hardest of {name}"):
        radiographs = [load_image(data[int(row)]["image"]) for row in rows[start : start + BATCH]]
        qualities += [analysis.mask_quality for analysis in pipeline(radiographs)]
    return np.array(qualities)


def draw_hardest(chosen, answers):
    """Each radiograph under the outline of each model, mask quality below."""
    models = list(answers[0])
    columns = max(1, IN_A_LINE // len(models))
    lines = -(-len(chosen) // columns)
    figure = Figure((TILE * columns * len(models), (TILE + 0.25) * lines), layout="constrained")
    grid = figure.subplots(lines, columns * len(models), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, ((source, _), of_models) in enumerate(zip(chosen, answers, strict=True)):
        for number, (model, analysis) in enumerate(of_models.items()):
            axes = grid[place // columns, place % columns * len(models) + number]
            axes.set_axis_on()
            picture = with_contour(as_rgb(reduced(analysis.radiograph.pixels)), reduced(analysis.alpha))
            where = f"{source}, " if number == 0 else ""
            show(axes, picture, xlabel=f"{where}{model} {analysis.mask_quality:.2f}")
    return figure


def summarise(answers):
    """Of one source: model → mean mask quality, mean area of the lungs, and how many have two lungs."""
    figures = {}
    for model in answers[0] if answers else ():
        of_model = [answer[model] for answer in answers]
        areas = np.array([[one.right_lung_area, one.left_lung_area] for one in of_model])
        figures[model] = {
            "images": len(of_model),
            "mask_quality": float(np.mean([one.mask_quality for one in of_model])),
            "lung_area": float(areas.sum(1).mean()),
            "two_lungs": int((areas > 0).all(1).sum()),
        }
    return figures


def hardest_table(figures):
    rows = []
    for source, models in figures.items():
        for model, of_model in models.items():
            numbers = [f"{of_model[key]:.3f}" for key in ("mask_quality", "lung_area")]
            rows.append([source, model, of_model["images"], *numbers, of_model["two_lungs"]])
    return markdown_table(["source", "model", "images", "mask quality", "area of the lungs", "with two lungs"], rows)
