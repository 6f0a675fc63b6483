"""What `train.compare` says of each variant: figures pooled over its runs, and their difference to the first one's."""

from collections import Counter
from functools import partial

import numpy as np

from train.data.sources import find_source
from train.io import cell, markdown_table
from train.scoring.hospitals import MIN_IMAGES
from train.scoring.images import patients
from train.scoring.metrics import roc_auc, with_interval
from train.scoring.robustness import CLEAN, CORRUPTED, summarise_robustness

# Columns, beside one for each hospital that is left out
HOME, READERS, AWAY = "home", "home, by radiologists", "all left out"
DICE = ("dice", "dice_corrupted", "pixel_accuracy", "dice_difference", "dice_corrupted_difference")


def summarise_lungs(rows, rows_of_first):
    """A variant of a segmenter; figures are pooled over the runs, patients drawn once for all of them.

    Args:
        rows: of robustness.csv, of all of the variant's runs, one for each fold and seed.
        rows_of_first: those of the first variant's.
    """
    robustness = summarise_robustness(rows)
    return {
        "images": robustness[CLEAN]["images"],
        "dice": robustness[CLEAN]["dice"],
        "dice_corrupted": robustness[CORRUPTED]["dice"],
        "pixel_accuracy": robustness[CLEAN]["pixel_accuracy"],
        **difference(rows, rows_of_first),
    }


def difference(rows, rows_of_first):
    """Mean difference of the Dice, clean and corrupted, to the first variant's on the same image: 0 if it is that."""
    corrupted = np.array([row["corruption"] != CLEAN for row in rows])
    changes = np.array([row["dice"] - first["dice"] for row, first in zip(rows, rows_of_first, strict=True)])
    patient_ids = np.array(patients(rows))
    figures = {}
    for name, chosen in (("dice_difference", ~corrupted), ("dice_corrupted_difference", corrupted)):
        score = partial(mean_change, name)
        figures |= with_interval(score, patient_ids[chosen].tolist(), changes[chosen])
    return figures


def mean_change(name, changes):
    return {name: float(changes.mean())}


def summarise_findings(rows, rows_of_first):
    """A variant of a classifier: for each source the ROC AUC of its findings and their mean, the runs' mean each.

    Args:
        rows: of all of the variant's runs, one for each fold and seed: `run` (its number), source, hospital, patient_id
            and of each finding `probability_…` (None where it was not assessed) and, where known, `label_…`.
        rows_of_first: those of the first variant's.
    """
    sources = {}
    for source in dict.fromkeys(row["source"] for row in rows):
        pairs = [pair for pair in zip(rows, rows_of_first, strict=True) if pair[0]["source"] == source]
        labels = {key: np.array([known_of_both(key, pair) for pair in pairs], float) for key in labels_of(pairs)}
        run = np.array([row["run"] for row, _ in pairs])
        names = [key.removeprefix("label_") for key in labels if all(has_both(labels[key], run == n) for n in set(run))]
        if names:
            truth = np.stack([labels[f"label_{name}"] for name in names], axis=1)  # (N, F)
            said = [[[row.get(f"probability_{name}") for row in pair] for name in names] for pair in pairs]
            said = np.array(said, float)  # (N, F, 2); NaN where the label counts as unknown
            whose = patients([row for row, _ in pairs])
            figures = with_interval(partial(mean_auc, names), whose, truth, run, said)
            images = {(patient, row.get("file_name")) for patient, (row, _) in zip(whose, pairs, strict=True)}
            sources[source] = {"images": len(images), "findings": names, **figures}
    return {"sources": sources}


def left_out_rows(rows, run, group, findings=None, rivals=None):
    """A run's left_out.csv as `summarise_findings` takes it, whose sources are the columns of the table.

    A finding is ranked within one data set at home, and within one hospital left out: between them the device may tell.
    So each of these has a name of its own, and the column is their mean. Class and device go together where a source is
    confounded; those rows do not count there, nor what fewer than `MIN_IMAGES` have, or have not.

    Which of two rivals it is, is asked of the ill of all hospitals that one run left out: it knows none of their
    devices. What ranks them is the difference of the two logits. Those of an age in which only one of the two was seen
    are not asked: children would be told from adults.

    Args:
        rows: as `train.io.read_rows` reads them.
        run: number of its fold and seed.
        group: the hospitals it left out.
        findings: names of those that count, all if None; radiologists' are the others, too.
        rivals: finding → names, of the recipe.
    """
    sorted_rows, counts = [], Counter()
    pairs = sorted({tuple(sorted((finding, rival))) for finding, of in (rivals or {}).items() for rival in of})
    ages = {(name, row["age"]) for row in rows if row["home"] == "no" for name in present(row)}
    for row in rows:
        figures = {}  # column → what is asked there of this row, name → (label, what ranks it)
        known = {key.removeprefix("label_"): row[key] for key in row if key.startswith("label_")}
        said = {name: row.get(f"logit_{name}") for name in known}
        if row["confounded"] == "no":
            columns = {row["hospital"]: "", AWAY: f"{row['hospital']}, "}
            if row["home"] == "yes":
                columns = {HOME: f"{group}: {row['source']}, "}
                columns |= {READERS: f"{group}: "} if find_source(row["source"]).get("readers") else {}
            for column, within in columns.items():
                counted = known if findings is None or column == READERS else known.keys() & findings
                figures[column] = {f"{within}{name}": (known[name], said[name]) for name in counted}
        for one, other in pairs if row["home"] == "no" else ():
            both = {(one, row["age"]), (other, row["age"])} <= ages
            if both and {known.get(one), known.get(other)} == {0.0, 1.0}:
                asked = known[one], None if said[one] is None else said[one] - said[other]
                figures[f"{one} or {other}, {group}"] = {f"{one} or {other}": asked}
                figures.setdefault(AWAY, {})[f"{one} or {other}, {group}"] = asked
        for column, asked in figures.items():
            counts.update((column, name, label) for name, (label, _) in asked.items())
            kept = {"run": run, "source": column}
            kept |= {key: row[key] for key in ("hospital", "patient_id", "file_name")}
            kept |= {f"label_{name}": label for name, (label, _) in asked.items()}
            sorted_rows.append(kept | {f"probability_{name}": rank for name, (_, rank) in asked.items()})
    return [
        {k: v for k, v in row.items() if not k.startswith("label_") or enough(counts, row["source"], k)}
        for row in sorted_rows
    ]


def tilted_rows(rows, run, group, findings=None, rivals=None):
    """A run's tilted.csv likewise; the columns are degrees, and each is what `left_out_rows` has of all left out."""
    sorted_rows = []
    for tilt in dict.fromkeys(row["tilt"] for row in rows):
        of_tilt = left_out_rows([row for row in rows if row["tilt"] == tilt], run, group, findings, rivals)
        sorted_rows += [row | {"source": f"{tilt:.0f}°"} for row in of_tilt if row["source"] == AWAY]
    return sorted_rows


def present(row):
    """Findings that a row's image has."""
    return [key.removeprefix("label_") for key in row if key.startswith("label_") and row[key] == 1]


def enough(counts, column, label):
    name = label.removeprefix("label_")
    return min(counts[column, name, 0.0], counts[column, name, 1.0]) >= MIN_IMAGES


def known_of_both(key, pair):
    """An image's label; NaN where it is unknown, or one of the two models did not assess the finding."""
    assessed = all(row.get(key.replace("label_", "probability_")) is not None for row in pair)
    return pair[0].get(key, np.nan) if assessed else np.nan


def labels_of(pairs):
    return dict.fromkeys(key for row, _ in pairs for key in row if key.startswith("label_"))


def has_both(labels, chosen):
    """Whether there are images with the finding and images without it."""
    return {0, 1} <= set(labels[chosen])


def mean_auc(names, labels, run, said):
    """The ROC AUC of each finding, their mean, and its difference to the first variant's; each the mean over the runs.

    Args:
        names: of the F findings.
        labels: (N, F) in {0, 1, NaN}.
        run: (N,), the number of the run.
        said: (N, F, 2), probabilities of this variant and of the first.

    Returns:
        dict of numbers; None where a finding has no image with it, or none without.
    """
    aucs = []
    for number in np.unique(run):
        for column in range(len(names)):
            chosen = (run == number) & ~np.isnan(labels[:, column])
            if not has_both(labels[:, column], chosen):
                return None
            aucs.append([roc_auc(labels[chosen, column], s) for s in said[chosen, column].T])
    of_findings = np.reshape(aucs, (-1, len(names), 2)).mean(0)  # (F, 2)
    auc, of_first = of_findings.mean(0).tolist()
    return {"auc": auc, "auc_difference": auc - of_first} | {
        f"auc_{name}": float(value) for name, value in zip(names, of_findings[:, 0], strict=True)
    }


def variants_table(task, table, single=None):
    """Markdown: one row for each variant.

    Args:
        task: `segmentation` or `classification`.
        table: variant → figures.
        single: name of the variant with one network that does best, to which the others are compared too.
    """
    return lungs_table(table) if task == "segmentation" else findings_table(table, single)


def lungs_table(table):
    """Markdown: one row for each variant."""
    titles = ["variant", "runs", "images", "Dice", "Dice, corrupted images", "pixel accuracy"]
    titles += ["Dice against the first", "corrupted, against the first", "million weights"]
    rows = [
        [variant, row["runs"], row["images"], *[cell(row[name]) for name in DICE], f"{row['parameters'] / 1e6:.2f}"]
        for variant, row in table.items()
    ]
    return markdown_table(titles, rows)


def findings_table(table, single=None):
    """For each source the mean ROC AUC of the findings it labels; a second table of turned images, where there are."""
    first = next(iter(table.values()))
    titles, columns = ["variant", "runs"], []
    for source, figures in first["sources"].items():
        titles += [f"{source}: ROC AUC, {counted(figures['findings'])}, n = {figures['images']}", "against the first"]
        columns += [(source, "auc"), (source, "auc_difference")]
        if "single_difference" in figures:
            titles.append(f"against {single}, the best single network")
            columns.append((source, "single_difference"))
    costs = [title for key, title, _ in COSTS if key in first]
    rows = []
    for variant, row in table.items():
        cells = [cell_or_nothing(row["sources"].get(source), key) for source, key in columns]
        told = [form.format(row[key]) for key, _, form in COSTS if key in first]
        rows.append([variant, row["runs"], *cells, f"{row['parameters'] / 1e6:.2f}", *told])
    lines = markdown_table([*titles, "million weights", *costs], rows)
    if "tilted" not in first:
        return lines
    titles, rows = ["variant"], []
    for tilt, figures in first["tilted"].items():
        titles += [
            f"tilted by {tilt}: ROC AUC, {counted(figures['findings'])}, n = {figures['images']}",
            "against the first",
        ]
    for variant, row in table.items():
        of_tilts = [row.get("tilted", {}).get(tilt) for tilt in first["tilted"]]
        rows.append(
            [variant, *[cell_or_nothing(figures, key) for figures in of_tilts for key in ("auc", "auc_difference")]]
        )
    return [*lines, "", *markdown_table(titles, rows)]


COSTS = (
    ("lungs_milliseconds", "ms, lungs", "{:.0f}"),
    ("milliseconds", "ms, the rest", "{:.0f}"),
    ("share_of_peak", "share of the core's peak", "{:.2f}"),
)


def cell_or_nothing(figures, key):
    return cell(figures[key]) if figures and key in figures else ""


def what_helps_table(answers):
    """Markdown: one row for each question, of what a step of the method adds.

    answers: question → what `summarise` returns of the variant with the step, compared to that without.
    """
    first = next(iter(answers.values()))
    columns = [("sources", AWAY), ("sources", HOME), *[("tilted", tilt) for tilt in list(first.get("tilted", ()))[-1:]]]
    columns = [(part, source) for part, source in columns if source in first[part]]
    titles = ["step"]
    for part, source in columns:
        where = f"{AWAY}, tilted by {source}" if part == "tilted" else source
        titles.append(f"{where}: gain in ROC AUC, n = {first[part][source]['images']}")
    rows = [
        [question, *[cell_or_nothing(figures.get(part, {}).get(source), "auc_difference") for part, source in columns]]
        for question, figures in answers.items()
    ]
    return markdown_table(titles, rows)


def counted(findings):
    return findings[0] if len(findings) == 1 else f"mean of {len(findings)}"


def compare_with_before(rows, before, findings):
    """A model beside the one that its training began with, on the same images.

    Args:
        rows, before: as `score_with_pipeline` returns them, of the one and of the other.
        findings: names that the new one learned.

    Returns:
        finding → images, positive; auc, None where all images are alike; and where the earlier model knows the finding
        before (its AUC) and difference, of the images that both assess, each with its 95 % interval over patients.
    """
    figures = {}
    for name in findings:
        key, label = f"probability_{name}", f"label_{name}"
        known = any(row.get(key) is not None for row in before)
        pairs = [
            (row, earlier)
            for row, earlier in zip(rows, before, strict=True)
            if label in row and row[key] is not None and not (known and earlier.get(key) is None)
        ]
        labels = np.array([row[label] for row, _ in pairs], int)
        figures[name] = {"images": len(pairs), "positive": int(labels.sum()), "auc": None}
        if len(np.unique(labels)) == 2:
            models = ["auc", "before"] if known else ["auc"]
            said = np.array([[row[key] for row in pair[: len(models)]] for pair in pairs])
            who = patients([row for row, _ in pairs])
            figures[name] |= with_interval(partial(aucs_and_difference, models), who, labels, said)
    return figures


def aucs_and_difference(models, labels, said):
    """said: (N, models) probabilities; the difference is the first one's AUC less the second's."""
    if len(np.unique(labels)) < 2:
        return None
    aucs = {model: roc_auc(labels, column) for model, column in zip(models, said.T, strict=True)}
    return aucs | ({"difference": aucs["auc"] - aucs["before"]} if "before" in aucs else {})


def before_table(figures):
    """Markdown: one row for each finding."""
    titles = ["finding", "images (with it)", "ROC AUC", "of the model it began with", "difference"]
    rows = []
    for name, row in figures.items():
        cells = [cell(row[key]) if row.get(key) else "" for key in ("auc", "before", "difference")]
        if row["auc"] is None:
            cells[0] = "all alike: not measured"
        elif not cells[1]:
            cells[1] = "not known to it"
        rows.append([name, f"{row['images']} ({row['positive']})", *cells])
    return markdown_table(titles, rows)
