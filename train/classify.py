"""Train the fused classifier: python -m train.classify --recipe train/recipes/findings.yaml"""

from functools import partial

import numpy as np
import torch
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification, LungFusionImageProcessor
from train.augment.augmentation import Augmentation
from train.calibrate.findings import calibrate_run
from train.data.arrays import lung_arrays, to_floats
from train.data.check import check_run
from train.data.labels import known_labels
from train.data.sampler import epoch_sampler
from train.data.splits import load_part, sample_labelled_rows
from train.engine.head import head_of, labelled_rows, learns_head_alone, logits_of, one_view, with_features
from train.engine.loop import fit, round_weights, save_model
from train.engine.losses import LOSSES
from train.engine.processes import loader_workers, one_after_another, run, start_accelerator
from train.engine.recipe import chosen, parse_arguments
from train.engine.run import prepare_output, write_counts
from train.engine.weights import freeze, load_classifier, load_pretrained_backbone, load_segmenter, load_weights
from train.evaluate import evaluate_run
from train.io import write_csv
from train.scoring.hospitals import MAX_IMAGES, score_parts, split_hospital
from train.scoring.metrics import roc_auc

FRAME = 1.15  # times the size of the branches' view: what is shown around the lungs


def main(arguments=None):
    recipe, output = parse_arguments(__doc__, arguments)
    accelerator = start_accelerator(recipe["mixed_precision"], log_with=recipe["log_with"], project_dir=output)
    prepare_output(accelerator, recipe, output)
    set_seed(recipe["seed"])
    segmenter = load_segmenter(recipe["segmenter"]).to(accelerator.device)
    earlier = load_classifier(recipe["init_from"]) if recipe["init_from"] else None
    with one_after_another():
        check_run(recipe)
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
    if accelerator.is_main_process:
        arrays = {split: {name: part for name, _, part, _ in of_split} for split, of_split in parts.items()}
        write_counts(arrays, output)
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
    augment = augmentation_for(model, **recipe["augmentation"])
    if learns_head_alone(recipe) and accelerator.num_processes == 1:
        model.to(accelerator.device)
        parts["train"] = with_features(model, parts["train"], recipe["views"], augment)
        parts["validation"], left_out = with_features(model, parts["validation"]), with_features(model, left_out)
    train, validation = labelled(parts["train"]), labelled(parts["validation"])
    shares = {name: source.get("share", 1) for name, source in recipe["sources"].items()}
    sampler = epoch_sampler(groups(parts["train"]), recipe["epoch_size"], recipe["max_draws"], shares)
    loading = {"batch_size": recipe["batch_size"], "num_workers": workers}
    train_loader = DataLoader(train, sampler=sampler, drop_last=len(sampler) > recipe["batch_size"], **loading)
    validation_loader = accelerator.prepare(DataLoader(validation, **loading))

    validate = partial(aucs, accelerator, validation_loader)
    loss_of = partial(augmented_loss, weighted(recipe, config.findings), augment)
    fit(accelerator, model, processor, train_loader, sampler, validate, recipe, output, loss_of)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        best = round_weights(load_classifier(output / "model"))
        save_model(best, processor, output / "model")
        if recipe["left_out"]:
            score_left_out(best.to(accelerator.device), parts["validation"], left_out, home | away, output)
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
    for branch, name in zip(model.branches, model.config.branches, strict=True):
        if name not in known:
            raise ValueError(f"The model to start from has the branches {', '.join(known)}, not {name}.")
        load_weights(branch.backbone, name, known[name].backbone.state_dict())
    if classifier_too:
        model.fusion.load_state_dict(earlier.fusion.state_dict())
        *hidden, last = zip(model.classifier, earlier.classifier, strict=True)
        for own, other in hidden:
            own.load_state_dict(other.state_dict())
        for row, name in enumerate(model.config.findings):
            if name in earlier.config.findings:
                for own, other in zip(*(layer.parameters() for layer in last), strict=True):
                    own[row] = other[list(earlier.config.findings).index(name)]


def load_parts(recipe, config, processor, segmenter, workers, sources, split):
    """One (name, data, arrays, labels) for each source, without the images of which nothing is known."""
    parts = []
    for name, source in sources.items():
        data = load_part(recipe, source, split)
        arrays = lung_arrays(data, processor, segmenter, f"{name}, {split}", workers)
        labels = known_labels(data, config.findings, source)
        rows = sample_labelled_rows(labels, recipe["validation_images"] if split == "validation" else None)
        parts.append((name, data.select(rows), arrays.select(rows), labels[rows]))
    return parts


def labelled(parts):
    parts = [(arrays, labels) for _, _, arrays, labels in parts]
    if not any(len(arrays) for arrays, _ in parts):
        raise ValueError("No radiograph is left to train on: check the recipe's sources.")
    return labelled_rows(parts)


def groups(parts):
    """(source, its rarest finding in that source, or None) for each image: what the sampler draws by."""
    found = []
    for name, _, _, labels in parts:
        counts = np.nansum(labels, axis=0)
        for row in labels:
            present = np.flatnonzero(row == 1)
            found.append((name, int(present[counts[present].argmin()]) if len(present) else None))
    return found


def augmentation_for(model, preset, **settings):
    """A recipe's augmentation; the preset `hospitals` makes pictures somewhat larger than what the branches see."""
    if preset == "hospitals":
        settings |= {"size": round(1.25 * model.config.branch_size), "region": partial(framed, model.concatenation)}
    return Augmentation(preset, **settings)


def framed(concatenation, alpha):
    """What the branches see and somewhat more around it, for their view to be moved in: (B, 2, 3)."""
    return concatenation.roi_affine(alpha) * alpha.new_tensor([FRAME, FRAME, 1.0])


def weighted(recipe, findings):
    """The recipe's loss, with its weights of those findings that are learned."""
    loss_of, weights = chosen(recipe, "loss", LOSSES), recipe["loss_weights"]
    if not weights:
        return loss_of
    return partial(loss_of, weights=torch.tensor([float(weights.get(name, 1)) for name in findings]))


def augmented_loss(loss_of, augment, model, batch):
    if "features" in batch:
        return loss_of(head_of(model), one_view(batch))
    batch = to_floats(batch)
    batch["pixel_values"], batch["alpha"] = augment(batch["pixel_values"], batch["alpha"])
    return loss_of(model, batch)


def score_left_out(model, validation, left_out, sources, output):
    """Write left_out.csv: what a model says of its hospitals' validation patients, and of the hospital left out."""
    generator, parts = np.random.default_rng(0), []
    images = sum(len(data) for _, data, _, _ in left_out)
    for home, of_kind in (("yes", validation), ("no", left_out)):
        for name, data, arrays, labels in of_kind:
            share = 1 if home == "yes" else min(1, MAX_IMAGES / images)
            rows = np.sort(generator.permutation(len(data))[: round(share * len(data))])
            confounded = "yes" if sources[name].get("confounded") else "no"
            facts = {"source": name, "hospital": sources[name].get("hospital", name)}
            facts |= {"home": home, "confounded": confounded, "age": sources[name].get("age", "")}
            parts.append((facts, data.select(rows), arrays.select(rows), labels[rows]))
    write_csv(output / "left_out.csv", score_parts(model, parts, model.config.findings))


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
