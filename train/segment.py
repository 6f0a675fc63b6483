"""Train a lung segmenter: python -m train.segment --recipe train/recipes/lungs.yaml"""

from functools import partial

import numpy as np
import torch
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from lungfusion.models import LungFusionImageProcessor, LungUNetConfig, LungUNetForSemanticSegmentation
from train.augment.augmentation import Augmentation
from train.augment.corruptions import CorruptedRadiographs
from train.calibrate.mask_quality import calibrate_quality
from train.data.cache import RadiographBytes, RadiographDataset, cache_arrays, concatenate_arrays
from train.data.check import check_run
from train.data.sampler import epoch_sampler
from train.data.splits import load_part, with_mask
from train.engine.loop import fit, round_weights, save_model
from train.engine.losses import LOSSES
from train.engine.processes import loader_workers, one_after_another, run, start_accelerator
from train.engine.pseudo_labels import pseudo_labelled
from train.engine.recipe import parse_arguments, resolve_option
from train.engine.run import prepare_output, write_counts
from train.engine.weights import load_pretrained_backbone, load_segmenter
from train.evaluate import evaluate_run
from train.scoring.metrics import mask_scores

VALIDATIONS = {"plain": lambda radiographs: radiographs, "corrupted": CorruptedRadiographs}


def main(arguments=None):
    recipe, output = parse_arguments(__doc__, arguments)
    accelerator = start_accelerator(recipe["mixed_precision"], log_with=recipe["log_with"], project_dir=output)
    prepare_output(accelerator, recipe, output)
    set_seed(recipe["seed"])
    with one_after_another():
        check_run(recipe, output)

    loss_of, validated = resolve_option(recipe, "loss", LOSSES), resolve_option(recipe, "validate_on", VALIDATIONS)
    config = LungUNetConfig(**recipe["model"])
    side = config.image_size
    processor = LungFusionImageProcessor(size={"height": side, "width": side})
    with one_after_another():
        parts = {split: load_arrays(recipe, split, processor) for split in ("train", "validation")}
        drawn = pseudo_labelled(recipe, processor, accelerator.device) if recipe["unlabelled"] else {}
    for name, arrays in drawn.items():
        if len(arrays):
            parts["train"][name] = concatenate_arrays([parts["train"].get(name, []), arrays])
    if accelerator.is_main_process:
        write_counts(parts, output)
    train = RadiographBytes(concatenate_arrays(parts["train"].values()), side)
    validation = validated(RadiographDataset(concatenate_arrays(parts["validation"].values()), side))
    groups = [(name, None) for name, part in parts["train"].items() for _ in range(len(part))]
    shares = {name: source.get("share", 1) for name, source in (recipe["unlabelled"] | recipe["sources"]).items()}
    sampler = epoch_sampler(groups, recipe["epoch_size"], shares=shares)
    loading = {"batch_size": recipe["batch_size"], "num_workers": loader_workers(accelerator, recipe)}
    train_loader = DataLoader(train, sampler=sampler, drop_last=len(sampler) > recipe["batch_size"], **loading)
    validation_loader = accelerator.prepare(DataLoader(validation, **loading))

    model = LungUNetForSemanticSegmentation(config)
    if recipe["init_from"]:
        init_from_checkpoint(model, recipe["init_from"])
    elif recipe["pretrained"] and config.encoder.startswith("tu-"):
        load_pretrained_backbone(model.unet.encoder.model, config.encoder.removeprefix("tu-"), recipe["pretrained"])
    model.to(memory_format=torch.channels_last)

    validate = partial(mean_scores, accelerator, validation_loader, recipe["validate_on"])
    loss_of = partial(augmented_loss, loss_of, Augmentation(**recipe["augmentation"]))
    fit(accelerator, model, processor, train_loader, sampler, validate, recipe, output, loss_of)
    if accelerator.is_main_process:
        save_model(round_weights(load_segmenter(output / "model")), processor, output / "model")
        calibrate_quality(recipe, output)
        evaluate_run(recipe, output)
    accelerator.end_training()


def load_arrays(recipe, split, processor):
    parts = {}
    for name, source in recipe["sources"].items():
        data = with_mask(load_part(recipe, source, split))
        parts[name] = cache_arrays(data, processor, recipe["workers"])
    return parts


def augmented_loss(loss_of, augment, model, batch, epoch=None):
    image, mask = augment(batch["pixel_values"].float() / 255, batch["labels"].float() / 255)
    return loss_of(model, {"pixel_values": image, "labels": mask})


def init_from_checkpoint(model, place):
    """Begin with the weights of a trained segmenter: `load_segmenter` says which; its image size may be another."""
    try:
        model.load_state_dict(load_segmenter(place).state_dict())
    except RuntimeError as error:
        raise ValueError(f"init_from: {place} is another network; give `model` its encoder and widths.") from error


@torch.inference_mode()
def mean_scores(accelerator, loader, validate_on, model):
    """Mean scores over the validation images, the Dice first: it chooses the epoch. Corrupted ones are named so."""
    rows = []
    for batch in loader:
        with accelerator.autocast():
            alpha = model(batch["pixel_values"]).logits.sigmoid()
        scores = mask_scores(alpha, batch["labels"])
        table = torch.from_numpy(np.stack(list(scores.values()), axis=1)).to(accelerator.device)
        rows.append(accelerator.gather_for_metrics(table).cpu())
    names = [f"{name}_corrupted" if validate_on == "corrupted" else name for name in scores]
    return dict(zip(names, torch.cat(rows).mean(0).tolist(), strict=True))


if __name__ == "__main__":
    run(main)
