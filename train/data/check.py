"""One check of data and recipe before the first epoch: a sentence for each fault, which names source, row and file."""

import sys
from pathlib import Path

import numpy as np
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from train.data.labels import holds_bare_numbers, known_labels, label_space, row_labels
from train.data.pictures import reading_errors
from train.data.splits import FOLDS, every_split, load_part, source_path, without_copies
from train.io import write_json

SPLITS = {"train": "training", "validation": "validation"}  # how sentences call them


def check_run(recipe, output):
    """Stop the program where a run can't end well; say what is left out of it, or counts as unknown.

    Args:
        output: `Path` of the run's folder; what is said is kept there, in notes.json, for its card.

    Raises:
        SystemExit: with one sentence for each fault.
    """
    faults, notes = faults_of(recipe)
    for note in notes:
        print(note, file=sys.stderr)
    write_json(output / "notes.json", notes)
    if faults:
        raise SystemExit("\n".join(faults))


def faults_of(recipe):
    """(faults, notes), sentences: faults end a run, notes say what it leaves out."""
    faults = list(recipe_faults(recipe))
    if faults:
        return faults, []  # the data can't be read without them
    notes, parts = [], {}
    for name, source in (recipe["sources"] | recipe.get("unlabelled", {})).items():
        if recipe["data_root"] and not source_path(recipe, source).is_dir():
            faults.append(f"{name}: there is no folder {source_path(recipe, source)}: see data_root and `dataset`.")
            continue
        try:
            splits = every_split(source_path(recipe, source), source)
            notes += [f"{name}: {note}" for note in (*unknown_notes(splits, source), *copies_notes(splits))]
            parts[name] = {}
            for split in SPLITS:
                data = load_part(recipe, source, split, drop_unreadable=False)
                errors = reading_errors(data, recipe["workers"])
                notes += [f"{name}: {note}" for note in unreadable_notes(data, errors, SPLITS[split])]
                parts[name][split] = data.select([row for row, error in enumerate(errors) if not error])
        except (ValueError, OSError) as error:
            faults.append(f"{name}: {one_line(error)}")
    if not faults:
        of_task = {"classification": label_faults, "segmentation": mask_faults}[recipe["task"]]
        faults = of_task(recipe, {name: parts[name] for name in recipe["sources"]})
    return faults, notes


def recipe_faults(recipe):
    if not recipe["sources"]:
        yield "sources is empty: name at least one data set to learn from."
    if recipe["validation_fold"] not in range(FOLDS):
        yield f"validation_fold is {recipe['validation_fold']}: there are {FOLDS}, 0 to {FOLDS - 1}."
    wanted = ["segmenter" if recipe["task"] == "classification" else "teacher", "init_from"]
    for key in wanted:
        place = recipe.get(key)
        if place is None and key == "segmenter":
            yield "segmenter is null: name a trained one, a folder or an id on the Hub."
        elif place is None and key == "teacher" and recipe.get("unlabelled"):
            yield "teacher is null: name a trained segmenter to draw the lungs of the unlabelled sources."
        elif place is not None and not (Path(place) / "config.json").is_file() and not may_be_on_the_hub(place):
            yield (
                f"{key} is {place}: no model lies there. Train it first, give another folder or id on the Hub "
                "(lungfusion/checkpoints/default comes with the package), or say null where one can go without."
            )
    weights = recipe["pretrained"]
    if weights not in (None, "hub") and not Path(weights).is_dir():
        yield f"pretrained is {weights}: give hub, null, or a folder of safetensors."


def may_be_on_the_hub(place):
    try:
        validate_repo_id(str(place))
    except HFValidationError:
        return False
    return not Path(place).exists()


def copies_notes(splits):
    """Images that stand there more than once, and those of `train` that other splits have too."""
    for split, data in splits.items():
        if left_out := len(data) - len(without_copies(splits, split)):
            yield f"{left_out} of {len(data)} images of {split} are copies of others and are left out."


def unknown_notes(splits, source):
    """Rows whose label is null, empty or −1, and labels that are numbers; they count as unknown. And unknown patients.

    Raises:
        ValueError: a row has no patient.
    """
    for split, data in splits.items():
        if "patient_id" not in data.column_names:
            yield f"{split} says nothing of patients: " + (
                "they are read from the files' names."
                if source.get("patients")
                else "each image counts as a patient of its own."
            )
        files = data["file_name"] if "file_name" in data.column_names else [""] * len(data)
        for column in {"patient_id", "file_name"} & set(data.column_names):
            if empty := [row for row, value in enumerate(data[column]) if value is None]:
                raise ValueError(f"row {empty[0]} of {split} ({files[empty[0]]}) has no {column}.")
        for column in {"label", "findings"} & set(data.column_names):
            if holds_bare_numbers(data.features[column]) and not label_space(source):
                yield (
                    f"the {column}s of {split} are numbers without names and say nothing: write the names, or a column "
                    "for each finding (1, 0)."
                )
                continue
            if unknown := [row for row, names in enumerate(row_labels(data, column)) if names is None]:
                yield (
                    f"{len(unknown)} of {len(data)} rows of {split} have no {column} and count as unknown, the first "
                    f"is row {unknown[0]} ({files[unknown[0]]})."
                )


def unreadable_notes(data, errors, words):
    bad = [(row, error) for row, error in enumerate(errors) if error]
    for row, error in bad[:1]:
        yield (
            f"{len(bad)} of {len(data)} {words} radiographs can't be read and are left out, the first is "
            f"{data[row]['file_name']} of patient {data[row]['patient_id']}: {error}"
        )


def label_faults(recipe, parts):
    """Findings that can't be learned, or not be calibrated."""
    findings, known = recipe["model"]["findings"], {}
    try:
        for split in SPLITS:
            tables = [known_labels(parts[name][split], findings, recipe["sources"][name]) for name in parts]
            known[split] = np.concatenate(tables)
    except ValueError as error:
        return [str(error)]
    faults = []
    for number, finding in enumerate(findings):
        for split, words in SPLITS.items():
            column = known[split][:, number]
            if not len(column) or np.isnan(column).all():
                faults.append(
                    f"{finding}: no source says anything of it in the {words} patients. Its name must be one that a "
                    "label has, or a source must declare what its labels mean (see train/recipes/sources.yaml)."
                )
                break
            if missing := {0.0: "without", 1.0: "with"}.keys() - set(column):
                without = "without" if 0.0 in missing else "with"
                faults.append(
                    f"{finding}: there are no {words} patients {without} it. Add a source, "
                    + (
                        "or declare its `findings` or `labels`."
                        if split == "train"
                        else "or take another validation_fold."
                    )
                )
                break
    return faults


def mask_faults(recipe, parts):
    faults = []
    for name, of_source in parts.items():
        for split, data in of_source.items():
            masks = data["mask"] if "mask" in data.column_names else []
            if all(mask is None for mask in masks):
                faults.append(f"{name}: no {SPLITS[split]} radiograph has a mask to learn from.")
    return faults


def one_line(error):
    return " ".join(str(error).split())
