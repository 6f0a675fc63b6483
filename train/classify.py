"""Train the fused classifier: python -m train.classify --recipe train/recipes/findings.yaml"""

from functools import partial

import numpy as np
import torch
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, Subset

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification, LungFusionImageProcessor
from lungfusion.models.concatenation import CONCATENATION_MODULES
from train.augment.augmentation import Augmentation
from train.calibrate.findings import calibrate_run
from train.data.check import check_run
from train.data.crops import LabelledCrops, Part, cut_inputs, lung_crops
from train.data.labels import known_labels
from train.data.sampler import epoch_sampler, shares_sampler
from train.data.splits import load_part, sample_labelled_rows, sample_rows
from train.engine.head import LabelledFeatures, head_of, learns_head_alone, logits_of
from train.engine.loop import fit, round_weights, save_model
from train.engine.losses import LOSSES
from train.engine.processes import loader_workers, one_after_another, run, start_accelerator
from train.engine.recipe import parse_arguments, resolve_option
from train.engine.run import prepare_output, write_counts
from train.engine.weights import freeze, load_classifier, load_pretrained_backbone, load_segmenter, load_weights
from train.evaluate import evaluate_run
from train.io import write_csv
from train.scoring.classical import rank_with_classical
from train.scoring.hospitals import facts_of, left_out_parts, score_with_model, split_hospital
from train.scoring.metrics import roc_auc

TILTED = 100  # images of each source left out that are turned
CLASSICAL_IMAGES = 1500  # on whose features classical classifiers learn
MOST_LOG_ODDS = 3.0  # of a finding in a hospital: 95 in 100 have it, or 5


def main(arguments=None):
    recipe, output = parse_arguments(__doc__, arguments)
    accelerator = start_accelerator(recipe["mixed_precision"], log_with=recipe["log_with"], project_dir=output)
    prepare_output(accelerator, recipe, output)
    set_seed(recipe["seed"])
    segmenter = load_segmenter(recipe["segmenter"]).to(accelerator.device)
    earlier = load_classifier(recipe["init_from"]) if recipe["init_from"] else None
    with one_after_another():
        check_run(recipe, output)
    config = LungFusionConfig(segmenter=segmenter.config.to_dict(), **recipe["model"])
    side = config.image_size
    processor = LungFusionImageProcessor(size={"height": side, "width": side})
    with one_after_another():
        home, away = split_hospital(recipe)
        workers = loader_workers(accelerator, recipe)
        prepare = partial(load_parts, recipe, config, processor, segmenter, workers)
        parts = {split: prepare(home, split) for split in ("train", "validation")}
        away = {name: source | {"unused_labels": []} for name, source in away.items()}
        left_out = [part for split in ("train", "validation") for part in prepare(away, split)]
        some = {name: source | {"images": TILTED} for name, source in away.items()}
        tilted = {tilt: prepare(some, "train", tilt=tilt) for tilt in recipe["tilts"]}
    if accelerator.is_main_process:
        crops = {split: {part.source: part.crops for part in of_split} for split, of_split in parts.items()}
        write_counts(crops, output)
    model = LungFusionForImageClassification(config)
    model.segmenter.load_state_dict(segmenter.state_dict())
    model.segmenter.requires_grad_(False)
    if earlier:
        init_from_checkpoint(model, earlier, recipe["init_classifier"])
    elif recipe["pretrained"]:
        for branch, name in zip(model.branches, config.branches, strict=True):
            load_pretrained_backbone(branch.backbone, name, recipe["pretrained"])
    freeze(model.branches, recipe["frozen"])
    model.to(memory_format=torch.channels_last)
    sampler = sampler_of(parts["train"], config.findings, recipe)
    log_odds = log_odds_by_hospital(parts["train"], sampler, recipe["sources"]) if recipe["log_odds"] else None
    train, validation = LabelledCrops(parts["train"], log_odds), LabelledCrops(parts["validation"])
    if learns_head_alone(recipe) and accelerator.num_processes == 1:
        model.to(accelerator.device)
        train, validation = LabelledFeatures(model, train), LabelledFeatures(model, validation)
    loading = {"batch_size": recipe["batch_size"], "num_workers": workers}
    train_loader = DataLoader(train, sampler=sampler, drop_last=len(sampler) > recipe["batch_size"], **loading)
    validation_loader = accelerator.prepare(DataLoader(validation, **loading))

    validate = partial(aucs, accelerator, validation_loader)
    sides = recipe["sides"] or [config.branch_size] * recipe["epochs"]
    loss_of = partial(
        augmented_loss, loss_with_weights(recipe, config.findings), Augmentation(**recipe["augmentation"]), sides
    )
    fit(accelerator, model, processor, train_loader, sampler, validate, recipe, output, loss_of, recipe["keep"])
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        best = round_weights(load_classifier(output / "model")).to(memory_format=torch.channels_last)
        save_model(best, processor, output / "model")
        if recipe["left_out"]:
            drawn = None
            if recipe["classical"]:
                drawn = Subset(LabelledCrops(parts["train"]), list(dict.fromkeys(sampler))[:CLASSICAL_IMAGES])
            best = best.to(accelerator.device)
            score_left_out(best, parts["validation"], left_out, tilted, home | away, output, drawn)
        else:
            evaluate_run(recipe, output, calibrate_run(recipe, output))
    accelerator.end_training()


@torch.no_grad()
def init_from_checkpoint(model, earlier, classifier_too):
    """Begin with an earlier model's weights.

    Args:
        model, earlier: `LungFusionForImageClassification`; the earlier one has all branches of the other.
        classifier_too: fusion and classifier, not the branches alone; findings are matched by their names, those which
            the earlier model did not know begin at random.
    """
    known = dict(zip(earlier.config.branches, earlier.branches, strict=True))
    if missing := [name for name in model.config.branches if name not in known]:
        raise ValueError(f"The model to start from has the branches {', '.join(known)}, not {missing[0]}.")
    same = model.config.branches == earlier.config.branches
    others = earlier.branches if same else [known[name] for name in model.config.branches]
    for branch, name, other in zip(model.branches, model.config.branches, others, strict=True):
        load_weights(branch.backbone, name, other.backbone.state_dict())
    if classifier_too:
        model.fusion.load_state_dict(earlier.fusion.state_dict())
        *hidden, last = zip(model.classifier, earlier.classifier, strict=True)
        for own, other in hidden:
            own.load_state_dict(other.state_dict())
        for row, name in enumerate(model.config.findings):
            if name in earlier.config.findings:
                for own, other in zip(*(layer.parameters() for layer in last), strict=True):
                    own[row] = other[list(earlier.config.findings).index(name)]


def load_parts(recipe, config, processor, segmenter, workers, sources, split, tilt=0):
    """A `Part` for each source, without the images of which nothing is known.

    tilt: degrees by which they are turned.
    """
    parts, concatenation = [], CONCATENATION_MODULES[config.concatenation](config.branch_size)
    for name, source in sources.items():
        data = load_part(recipe, source, split)
        if "images" in source:
            data = data.select(sample_rows(len(data), source["images"] // (1 if split == "train" else 4)))
        words = f"{name}, {split}" + (f", tilted by {tilt}°" if tilt else "")
        crops = lung_crops(data, processor, segmenter, concatenation, words, workers, recipe["lungs"], tilt)
        labels = known_labels(data, config.findings, source)
        rows = sample_labelled_rows(labels, recipe["validation_images"] if split == "validation" else None)
        parts.append(Part(name, data.select(rows), crops.select(rows), labels[rows]))
    return parts


def log_odds_by_hospital(parts, sampler, sources):
    """Of each part, (findings,) float32: the log odds of each finding among what is drawn of that part's hospital.

    They are kept within `MOST_LOG_ODDS`: where all have a finding, or nobody has, what speaks against it still counts.
    Where nothing is known of a finding they are 0.
    """
    hospitals = [sources[part.source]["hospital"] for part in parts]
    weights = np.split(np.asarray(sampler.weights), np.cumsum([len(part.labels) for part in parts])[:-1])
    found = {}
    for hospital in set(hospitals):
        own = [number for number, name in enumerate(hospitals) if name == hospital]
        labels = np.concatenate([parts[number].labels for number in own])
        weight = np.concatenate([weights[number] for number in own])[:, None]
        present, absent = (np.sum(weight * (labels == value), axis=0) for value in (1, 0))
        log_odds = np.log(np.maximum(present, 1e-9)) - np.log(np.maximum(absent, 1e-9))
        log_odds = np.where(present + absent > 0, log_odds, 0)
        found[hospital] = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS).astype(np.float32)
    return [found[hospital] for hospital in hospitals]


def sampler_of(parts, findings, recipe):
    """The sampler that a recipe asks for: by `draws` where it has them, else by its sources' shares."""
    if not recipe["draws"]:
        shares = {name: source.get("share", 1) for name, source in recipe["sources"].items()}
        return epoch_sampler(sampling_groups(parts), recipe["epoch_size"], recipe["max_draws"], shares)
    named = [name for name in recipe["draws"] if name in findings]
    kinds = [kind_of(dict(zip(findings, row, strict=True)), named) for part in parts for row in part.labels]
    hospitals = [recipe["sources"][part.source]["hospital"] for part in parts for _ in part.labels]
    return shares_sampler(kinds, hospitals, sampling_groups(parts), recipe["epoch_size"], recipe["draws"])


def kind_of(labels, named):
    """The first of `named` that an image has; `healthy` where nothing is present and all of those absent, or `other`.

    labels: finding → 1, 0 or NaN.
    """
    present = [name for name in named if labels[name] == 1]
    nothing = all(labels[name] == 0 for name in named) and 1 not in labels.values()
    return present[0] if present else "healthy" if nothing else "other"


def sampling_groups(parts):
    """(source, its rarest finding in that source, or None) for each image: what the sampler draws by."""
    found = []
    for part in parts:
        counts = np.nansum(part.labels, axis=0)
        for row in part.labels:
            present = np.flatnonzero(row == 1)
            found.append((part.source, int(present[counts[present].argmin()]) if len(present) else None))
    return found


def augmented_loss(loss_of, augment, sides, model, batch, epoch):
    """The loss of a batch of crops, augmented, at the side of this epoch; or of `LabelledFeatures` as they are."""
    if "features" in batch:
        return loss_of(head_of(model), batch)
    return loss_of(model, cut_inputs(batch, sides[epoch], augment))


def loss_with_weights(recipe, findings):
    """The recipe's loss, with its weights of those findings that are learned, and those that compete."""
    loss_of, weights, settings = resolve_option(recipe, "loss", LOSSES), recipe["loss_weights"], {}
    if weights:
        settings["weights"] = torch.tensor([float(weights.get(name, 1)) for name in findings])
    if recipe["rivals"]:
        names = list(findings)
        settings["rivals"] = [
            (names.index(name), names.index(rival)) for name, rivals in recipe["rivals"].items() for rival in rivals
        ]
        settings["rivals_weight"] = recipe["rivals_weight"]
    return partial(loss_of, **settings)


def score_left_out(model, validation, left_out, tilted, sources, output, drawn=None):
    """Write left_out.csv: what a model says of its hospitals' validation patients, and of the hospitals left out.

    Args:
        validation, left_out: parts of the ones and of the others.
        tilted: degrees → parts of the hospitals left out, turned: tilted.csv, where there are any.
        sources: name → source.
        drawn: `Dataset` of crops and labels on which classical classifiers learn: left_out.NAME.csv; None for none.
    """
    findings, parts = model.config.findings, left_out_parts(validation, left_out, sources)
    rows = score_with_model(model, parts, findings)
    turned = [
        (facts_of(sources, part.source, "no") | {"tilt": tilt}, part)
        for tilt, of_tilt in tilted.items()
        for part in of_tilt
    ]
    if turned:
        write_csv(output / "tilted.csv", score_with_model(model, turned, findings))
    if drawn:
        crops = LabelledCrops([part for _, part in parts])
        said = rank_with_classical(*features_and_labels(model, drawn), features_and_labels(model, crops)[0], findings)
        for name, ranks in said.items():
            ranks = np.where(np.isnan(ranks), None, ranks)
            named = [dict(zip([f"logit_{finding}" for finding in findings], row, strict=True)) for row in ranks]
            write_csv(output / f"left_out.{name}.csv", [row | own for row, own in zip(rows, named, strict=True)])
    write_csv(output / "left_out.csv", rows)  # the last: it says that all is there


def features_and_labels(model, crops):
    """Fused features (N, D) and labels (N, findings) of `LabelledCrops`, float32 arrays."""
    return tuple(torch.stack(column).numpy() for column in zip(*LabelledFeatures(model, crops).items, strict=True))


@torch.inference_mode()
def aucs(accelerator, loader, model):
    """ROC AUC of each finding on the validation images that know it; their mean comes first and chooses the epoch."""
    rows = []
    for batch in loader:
        with accelerator.autocast():
            logits = logits_of(model, batch)
        rows.append(accelerator.gather_for_metrics((logits, batch["labels"])))
    logits, labels = (torch.cat(column).cpu().numpy() for column in zip(*rows, strict=True))
    figures = {}
    for column, name in enumerate(model.config.findings):
        known = ~np.isnan(labels[:, column])
        if len(np.unique(labels[known, column])) == 2:
            figures[f"auc_{name}"] = roc_auc(labels[known, column], logits[known, column])
    if not figures:
        raise ValueError("No finding has both present and absent validation images: check the recipe's sources.")
    return {"mean_auc": float(np.mean(list(figures.values())))} | figures


if __name__ == "__main__":
    run(main)
