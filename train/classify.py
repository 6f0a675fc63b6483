"""Train the fused classifier: accelerate launch -m train.classify --recipe train/recipes/findings.yaml"""

from functools import partial

import numpy as np
import torch
from accelerate.utils import set_seed
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification, LungFusionImageProcessor
from train.augment.presets import augmentation
from train.calibrate.findings import calibrate_run
from train.data.cache import RadiographDataset, cache_arrays, draw_alpha
from train.data.check import check_run
from train.data.labels import known_labels
from train.data.sampler import epoch_sampler
from train.engine.checkpoints import load_classifier, load_segmenter
from train.engine.loop import fit, round_weights, save_model
from train.engine.pretrained import load_pretrained_backbone, load_weights
from train.engine.processes import loader_workers, one_after_another, start_accelerator
from train.engine.recipe import parse_arguments
from train.engine.run import concatenate_arrays, load_part, prepare_output, write_counts
from train.scoring.images import evaluate_run


def main(arguments=None):
    recipe, output = parse_arguments(__doc__, arguments)
    accelerator = start_accelerator(recipe["mixed_precision"], log_with="tensorboard", project_dir=output)
    prepare_output(accelerator, recipe, output)
    set_seed(recipe["seed"])
    with one_after_another():
        check_run(recipe)

    segmenter = load_segmenter(recipe["segmenter"]).to(accelerator.device)
    earlier = load_classifier(recipe["init_from"]) if recipe["init_from"] else None
    config = LungFusionConfig(segmenter=segmenter.config.to_dict(), **recipe["model"])
    side = config.image_size
    processor = LungFusionImageProcessor(size={"height": side, "width": side})
    with one_after_another():
        parts = {split: load_parts(recipe, split, config, processor, segmenter) for split in ("train", "validation")}
    if accelerator.is_main_process:
        arrays = {split: {name: part for name, part, _ in of_split} for split, of_split in parts.items()}
        write_counts(arrays, output)
    train = joined_dataset(parts["train"], side, augmentation(**recipe["augmentation"]))
    validation = joined_dataset(parts["validation"], side)
    sampler = epoch_sampler(groups(parts["train"]), recipe["epoch_size"])
    loading = {"batch_size": recipe["batch_size"], "num_workers": loader_workers(accelerator, recipe)}
    train_loader = DataLoader(train, sampler=sampler, drop_last=len(sampler) > recipe["batch_size"], **loading)
    validation_loader = accelerator.prepare(DataLoader(validation, **loading))

    model = LungFusionForImageClassification(config)
    model.segmenter.load_state_dict(segmenter.state_dict())
    model.segmenter.requires_grad_(False)
    if earlier:
        init_from_checkpoint(model, earlier, recipe["init_classifier"])
    elif recipe["pretrained"]:
        for branch, name in zip(model.branches, config.branches, strict=True):
            load_pretrained_backbone(branch.backbone, name, recipe["pretrained"])
    model.branches.requires_grad_(not recipe["frozen"])
    model.to(memory_format=torch.channels_last)

    validate = partial(aucs, accelerator, validation_loader)
    fit(accelerator, model, processor, train_loader, sampler, validate, recipe, output)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        save_model(round_weights(load_classifier(output / "model")), processor, output / "model")
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


def load_parts(recipe, split, config, processor, segmenter):
    """One (source, arrays with alpha, labels) for each source."""
    parts = []
    for name, source in recipe["sources"].items():
        data = load_part(recipe, source, split)
        labels = known_labels(data, config.findings, source)
        told = np.flatnonzero(~np.isnan(labels).all(axis=1))  # of the others there is nothing to learn
        arrays = cache_arrays(data.select(told), processor, recipe["workers"])
        parts.append((name, draw_alpha(arrays, segmenter, config.image_size), labels[told]))
    return parts


def joined_dataset(parts, side, transform=None):
    labels = np.concatenate([labels for _, _, labels in parts])
    return RadiographDataset(concatenate_arrays([arrays for _, arrays, _ in parts]), side, transform, labels)


def groups(parts):
    """(source, its rarest finding in that source, or None) for each image: what the sampler draws equally often."""
    found = []
    for source, _, labels in parts:
        counts = np.nansum(labels, axis=0)
        for row in labels:
            present = np.flatnonzero(row == 1)
            found.append((source, int(present[counts[present].argmin()]) if len(present) else None))
    return found


@torch.inference_mode()
def aucs(accelerator, loader, model):
    """ROC AUC of each finding on the validation images that know it; their mean comes first and chooses the epoch."""
    rows = []
    for batch in loader:
        with accelerator.autocast():
            logits = model(batch["pixel_values"], alpha=batch["alpha"]).logits.float()
        rows.append(accelerator.gather_for_metrics((logits, batch["labels"])))
    logits, labels = (torch.cat(column).cpu().numpy() for column in zip(*rows, strict=True))
    figures = {}
    for column, name in enumerate(model.config.findings):
        known = ~np.isnan(labels[:, column])
        if len(np.unique(labels[known, column])) == 2:
            figures[f"auc_{name}"] = float(roc_auc_score(labels[known, column], logits[known, column]))
    if not figures:
        raise ValueError("No finding has both present and absent validation images: check the recipe's sources.")
    return {"mean_auc": float(np.mean(list(figures.values())))} | figures


if __name__ == "__main__":
    main()
