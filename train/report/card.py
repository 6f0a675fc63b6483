"""A run's model card, made from what lies in its folder: no number in it is typed by hand.

Training ends with it; `train.evaluate --run RUN` writes it anew when there are other tables in the folder.
"""

import json
from pathlib import Path

import timm
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from lungfusion import __version__
from train.io import read_rows, weights_digest, weights_in
from train.report.card_words import CITE, INTENDED_USE, LIMITS, REPLACED, TABLES, USE, WITHOUT
from train.report.figures import FIGURES, write_figures
from train.report.tables import metrics_tables

NOT_SHOWN = ("description", "data_root", "pretrained", "segmenter", "init_from", "teacher")  # said elsewhere, or paths

PIPELINE_TAGS = {"classification": "image-classification", "segmentation": "image-segmentation"}


def redraw(run):
    """Draw the figures of a finished run, and write its card, from the files in its folder; nothing is scored."""
    metrics, history = (json.loads((run / f"{name}.json").read_text()) for name in ("metrics", "history"))
    write_figures(metrics, read_rows(run / "per_image.csv"), history, run)
    write_card(run)


def write_card(run):
    """Write README.md, the model card, into a run's folder."""
    ModelCard(card_text(run)).save(run / "README.md")


def card_text(run):
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    metrics, history, counts = (json.loads((run / f"{n}.json").read_text()) for n in ("metrics", "history", "counts"))
    tag = PIPELINE_TAGS[recipe["task"]]
    lines = [
        "---",
        card_data(recipe, metrics).to_yaml(),
        "---",
        "",
        f"# {recipe['name']}",
        "",
        recipe["description"].strip(),
        "",
        "For research and education, not a medical device.",
        "",
        "## Use",
        "",
        USE.format(place="FOLDER_OR_ID", tag=tag, without=WITHOUT[tag]),
        "",
        "## Intended use",
        "",
        INTENDED_USE,
        "",
        "## Figures",
        "",
        "On patients not trained on, one row for each source. 95 % intervals by bootstrap over patients.",
        "",
        *metrics_tables(metrics),
        *[f"![{title}]({name})" for name, title in FIGURES.items() if (run / name).exists()],
        "",
        *[line for table, (title, words) in own_tables(run).items() for line in section(title, words, table)],
        "## Training",
        "",
        f"{which_epoch(history)} {weights_in(run) / 1e6:.1f} million weights.",
        "",
        *[f"Radiographs, {split}: {count_words(of_split)}." for split, of_split in counts.items()],
        "",
        *([REPLACED, ""] if recipe.get("segmenter_replaced") else []),
        *[f"- {source['citation']} Licence: {source['licence']}." for source in recipe["sources"].values()],
        *[
            f"- Readers' labels of {name}: {source['readers']['citation']}"
            for name, source in recipe["sources"].items()
            if source.get("readers")
        ],
        *[
            f"- Without masks, drawn by a teacher{at_most(source)}: {source['citation']} Licence: {source['licence']}."
            for source in recipe.get("unlabelled", {}).values()
        ],
        "",
        "The whole recipe:",
        "",
        "```json",
        json.dumps(shortened(recipe)),
        "```",
        "",
        "## Limits",
        "",
        LIMITS,
        "",
        "## Cite",
        "",
        CITE.format(version=__version__),
    ]
    return "\n".join(lines) + "\n"


def at_most(source):
    return f", {source['images']} radiographs at most" if "images" in source else ""


def shortened(recipe):
    """A recipe without paths and without what sources.yaml says of its sources."""
    kept = {key: value for key, value in recipe.items() if key not in NOT_SHOWN}
    named = {
        key: [source["dataset"] for source in recipe[key].values()]
        for key in ("sources", "unlabelled")
        if key in recipe
    }
    return kept | named


def count_words(of_split):
    return ", ".join(f"{count} of {source}" for source, count in of_split.items())


def own_tables(run):
    """Path of each of the `TABLES` that are of the run's own weights, or of no one model's → its title and words.

    Says which are of other weights.
    """
    tables, weights = {}, weights_digest(run / "model")
    for pattern, text in TABLES.items():
        for table in sorted(run.glob(pattern)):
            if json.loads(table.with_suffix(".json").read_text()).get("weights", weights) == weights:
                title, words = text
                tables[table] = f"{title}: {table.stem.split('_', 1)[1]}" if "*" in pattern else title, words
            else:
                print(f"{table} is of other weights than the run's model: the card leaves it out. Measure it again.")
    return tables


def section(title, words, table):
    picture = table.with_suffix(".png")
    drawn = [f"![{title}]({picture.name})", ""] if picture.exists() else []
    return [f"## {title}", "", words, "", *drawn, *table.read_text().splitlines(), ""]


def which_epoch(history):
    """The sentence that says which epoch's weights these are."""
    if len(history) == 1:
        return "One epoch, whose last weights are kept: no validation image had a say in when to stop."
    best = max(history, key=lambda epoch: epoch[chosen_by(history)])
    return f"{len(history)} epochs; kept: epoch {best['epoch']}, chosen by {chosen_by(history)} on validation patients."


def chosen_by(history):
    """The figure that chose the epoch: the first one after epoch and loss."""
    return next(key for key in history[0] if key not in ("epoch", "loss"))


def card_data(recipe, metrics):
    """The card's front matter.

    Figures stand in its `model-index`. The Hub's newer form, files in `.eval_results/`, is for data sets that the Hub
    has registered as benchmarks; none of those used here is one.
    """
    results = []
    for source, summary in metrics.items():
        data = {
            "dataset_name": recipe["sources"][source]["title"],
            "dataset_type": recipe["sources"][source].get("hub_id") or recipe["sources"][source]["title"],
            "dataset_split": "validation patients",
        }
        for name, figures in summary["findings"].items():
            auc = {"metric_type": "roc_auc", "metric_name": f"ROC AUC, {name}", "metric_value": figures["auc"]["value"]}
            results.append(EvalResult(task_type="image-classification", **data, **auc))
        if "lungs" in summary:
            dice = {"metric_type": "dice", "metric_name": "Dice", "metric_value": summary["lungs"]["dice"]["value"]}
            results.append(EvalResult(task_type="image-segmentation", **data, **dice))
    return ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag=PIPELINE_TAGS[recipe["task"]],
        tags=["chest-x-ray", "radiology", "medical"],
        datasets=data_sets(recipe) or None,
        base_model=base_models(recipe),
        base_model_relation="finetune"
        if base_models(recipe)
        else None,  # of several, the Hub would take it for a merge
        metrics=list(dict.fromkeys(result.metric_type for result in results)),
        model_name=recipe["name"],
        eval_results=results,
    )


def data_sets(recipe):
    """Ids on the Hub of the data sets a recipe learns from, each once, as far as they are there."""
    sources = [*recipe["sources"].values(), *recipe.get("unlabelled", {}).values()]
    return list(dict.fromkeys(source["hub_id"] for source in sources if source.get("hub_id")))


def base_models(recipe):
    """Ids on the Hub of what training began with: a model there, else ImageNet weights; None if there were none."""
    if recipe.get("init_from") and not Path(recipe["init_from"]).exists():
        return [recipe["init_from"]]
    model = recipe["model"]
    names = model.get("branches") or [model.get("encoder", "plain").removeprefix("tu-")]
    configs = [timm.get_pretrained_cfg(name, allow_unregistered=True) for name in names if timm.is_model(name)]
    ids = [config.hf_hub_id for config in configs if config and config.hf_hub_id]
    return ids if ids and recipe["pretrained"] else None
