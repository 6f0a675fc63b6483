"""A run's model card, made from what lies in its folder: no number in it is typed by hand.

It is one page: what the model is for, its limits, a row for each finding; tables lie in files beside it, which it
names. Training ends with it; `train.evaluate --run RUN` writes it anew when there are other tables in the folder, and
`train.bundle` that of the bundled checkpoint.
"""

import json
from pathlib import Path

import timm
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from lungfusion import __version__
from lungfusion.evidence import Evidence
from lungfusion.loading import checkpoint_of
from lungfusion.models import LungFusionConfig
from train.io import cell, read_rows, read_yaml, weights_digest, weights_in, write_json
from train.report.card_words import CITE, INTENDED_USE, LIMITS, OUTSIDE, REPLACED, TABLES, USE, WITHOUT
from train.report.figures import FIGURES, write_figures
from train.report.tables import cell_of, findings_table, measured_outside_table

PATHS = ("data_root", "segmenter", "teacher", "away")  # of a recipe, places on the machine that trained
RECIPE = "recipe.json"  # what others may know of it

PIPELINE_TAGS = {"classification": "image-classification", "segmentation": "image-segmentation"}


def redraw(run):
    """Draw the figures of a finished run, and write its card, from the files in its folder; nothing is scored."""
    metrics, history = (json.loads((run / f"{name}.json").read_text()) for name in ("metrics", "history"))
    write_figures(metrics, read_rows(run / "per_image.csv"), history, run)
    write_card(run)


def write_card(run):
    """Write README.md, the model card, and recipe.json, which it names, into the folder of a run or a checkpoint."""
    if (run / "recipe.yaml").exists():
        write_json(run / RECIPE, public(yaml.safe_load((run / "recipe.yaml").read_text())))
    ModelCard(card_text(run)).save(run / "README.md")


def public(recipe):
    """A recipe without paths, and the version that wrote it."""
    kept = {key: value for key, value in recipe.items() if key not in PATHS}
    if recipe.get("init_from") and Path(recipe["init_from"]).exists():
        kept["init_from"] = None
    return kept | {"pretrained": bool(recipe.get("pretrained")), "version": __version__}


def card_text(run):
    """The card of a folder that holds recipe.json, metrics.json, history.json and counts.json, and a checkpoint."""
    recipe, metrics, history, counts = (
        json.loads((run / name).read_text()) for name in (RECIPE, "metrics.json", "history.json", "counts.json")
    )
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
        "**For research and education, not a medical device.**",
        "",
        "## Intended use",
        "",
        INTENDED_USE,
        "",
        "## Limits",
        "",
        LIMITS,
        "",
        "## Figures",
        "",
        *figures_section(run, recipe, metrics),
        *outside_section(recipe),
        "## Use",
        "",
        USE.format(place="FOLDER_OR_ID", tag=tag, without=WITHOUT[tag]),
        "",
        "## Training",
        "",
        f"{which_epoch(history)} {weights_in(run) / 1e6:.1f} million weights. The whole recipe: [{RECIPE}]({RECIPE}).",
        "",
        *[f"Radiographs, {split}: {count_words(of_split)}." for split, of_split in counts.items()],
        "",
        *([REPLACED, ""] if recipe.get("segmenter_replaced") else []),
        *dict.fromkeys(data_lines(recipe)),
        *[f"- {note}" for note in notes_on_data(run)],
        "",
        "## Cite",
        "",
        CITE.format(version=recipe.get("released", recipe.get("version", __version__))),
    ]
    return "\n".join(lines) + "\n"


def figures_section(run, recipe, metrics):
    """Lines: lungs, a row for each finding told, and what lies in files beside the card."""
    lines = []
    for source, summary in metrics.items():
        if "lungs" in summary:
            dice, title = cell(summary["lungs"]["dice"]), recipe["sources"][source]["title"]
            lines += [f"Lungs, {title}: Dice {dice}, n = {summary['lungs']['images']}, on patients not trained on.", ""]
    if recipe["task"] == "classification":
        config = LungFusionConfig.from_pretrained(checkpoint_of(run))
        evidence = Evidence.from_pretrained(run)
        lines += [*findings_table(config, evidence, metrics), ""]
        if evidence.places:
            lines += [f"- {key}: {title}" for key, title in evidence.places.items()] + [""]
        for place, share in evidence.anything.items():
            lines += [f"Healthy people of {place} told of anything: {cell_of(share)}.", ""]
        unshown = [name for name in config.findings if name not in config.shown]
        lines += (
            [f"Learned, but not told, for they did not prove to work: {', '.join(unshown)}.", ""] if unshown else []
        )
    lines += ["In files beside this card, with n and 95 % intervals:", ""]
    lines += ["- [metrics.md](metrics.md): every figure on validation patients, a row for each source."]
    tables = {table.relative_to(run).as_posix(): words for table, words in own_tables(run).items()}
    lines += [f"- [{name}]({name}): {words}" for name, words in tables.items()]
    pictures = [f"[{title}]({name})" for name, title in FIGURES.items() if (run / name).exists()]
    return [*lines, *([f"- Pictures: {', '.join(pictures)}."] if pictures else []), ""]


def outside_section(recipe):
    """Lines: what others measured of the last version that they measured; none of a run that was not released."""
    measured = read_yaml(Path(__file__).with_name("measured_outside.yaml"))
    if "released" not in recipe or not measured:
        return []
    version = max(measured)
    whose = "this version" if version == recipe["released"] else "an earlier version, not of this one"
    return [
        f"## Version {version} measured from outside",
        "",
        OUTSIDE.format(whose=whose),
        "",
        *measured_outside_table(measured[version]),
        "",
    ]


def data_lines(recipe):
    """A line for each data set learned from."""
    for source in recipe["sources"].values():
        yield f"- {source['citation']} Licence: {source['licence']}."
    for source in recipe["sources"].values():
        if source.get("readers"):
            yield f"- Readers' labels: {source['readers']['citation']}"
    for source in recipe.get("unlabelled", {}).values():
        terms = f"{source['citation']} Licence: {source['licence']}."
        yield f"- Without masks, drawn by a teacher{at_most(source)}: {terms}"


def notes_on_data(run):
    """What `train.data.check` said of the data when training began: what was left out, and whose an image is."""
    return json.loads((run / "notes.json").read_text()) if (run / "notes.json").exists() else []


def at_most(source):
    return f", {source['images']} radiographs at most" if "images" in source else ""


def count_words(of_split):
    return ", ".join(f"{count} of {source}" for source, count in of_split.items())


def own_tables(run):
    """Path of each of the `TABLES` that are of the run's own weights, or of no one model's → its words.

    Says which are of other weights. A checkpoint's tables are those of the run it was made of.
    """
    tables, weights = {}, weights_digest(checkpoint_of(run)) if (run / "model").exists() else None
    for pattern, words in TABLES.items():
        for table in sorted(run.glob(pattern)):
            of = json.loads(table.with_suffix(".json").read_text()).get("weights", weights)
            if weights in (None, of):
                tables[table] = words
            else:
                print(f"{table} is of other weights than the run's model: the card leaves it out. Measure it again.")
    return tables


def which_epoch(history):
    """The sentence that says which epoch's weights these are."""
    if not history:
        return "No epoch: the weights are those it began with."
    if len(history) == 1 or chosen_by(history) is None:
        epochs = "One epoch" if len(history) == 1 else f"{len(history)} epochs"
        return f"{epochs}, whose last weights are kept: no validation image had a say in when to stop."
    best = max(history, key=lambda epoch: epoch[chosen_by(history)])  # of equals, the first is kept
    return f"{len(history)} epochs; kept: epoch {best['epoch']}, chosen by {chosen_by(history)} on validation patients."


def chosen_by(history):
    """The figure that chose the epoch: the first one after epoch and loss; None where the last one is kept anyhow."""
    return next((key for key in history[0] if key not in ("epoch", "loss", "seconds")), None)


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
            auc = {"metric_type": "roc_auc", "metric_name": f"ROC AUC, {name}", "metric_value": rounded(figures["auc"])}
            results.append(EvalResult(task_type="image-classification", **data, **auc))
        if "lungs" in summary:
            dice = {"metric_type": "dice", "metric_name": "Dice", "metric_value": rounded(summary["lungs"]["dice"])}
            results.append(EvalResult(task_type="image-segmentation", **data, **dice))
    stated = all(source["licence"] != "not stated" for source in recipe["sources"].values())
    return ModelCardData(
        language="en",
        license="apache-2.0" if stated else "other",
        license_name=None if stated else "terms-of-the-data-not-stated",
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


def rounded(figure):
    return round(figure["value"], 4)


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
    ids = list(dict.fromkeys(config.hf_hub_id for config in configs if config and config.hf_hub_id))
    return ids if ids and recipe["pretrained"] else None
