"""Train the lesion branch of a classifier: python -m train.lesions --recipe train/recipes/lesions.yaml

Nothing else of the classifier learns, or is computed. Written to the run's folder: model/, the classifier with that
branch; lesions.json and lesions.md, figures; README.md. A classifier takes the branch over by
`train.evaluate --run ITS_RUN --lesions RUN/model`.
"""

from functools import partial

import numpy as np
import torch
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from lungfusion.models import LungFusionImageProcessor
from lungfusion.models.concatenation import sample
from lungfusion.models.lesion_branch import pool_lesions
from train.augment.lesion_views import random_views
from train.data.arrays import to_floats
from train.data.lesion_parts import load_lesion_parts
from train.data.lesions import LesionRadiographs, groups
from train.data.sampler import epoch_sampler
from train.engine.checkpoints import load_classifier
from train.engine.lesion_branch import begin_branch, with_lesion_branch
from train.engine.lesion_loss import lesion_loss, with_either
from train.engine.loop import fit, round_weights, save_model
from train.engine.processes import loader_workers, one_after_another, start_accelerator
from train.engine.recipe import parse_arguments
from train.engine.run import prepare_output, write_counts
from train.report.lesions import score_lesion_run
from train.scoring.lesions import hard
from train.scoring.ranking import roc_auc


def main(arguments=None):
    recipe, output = parse_arguments(__doc__, arguments)
    accelerator = start_accelerator(recipe["mixed_precision"], log_with="tensorboard", project_dir=output)
    if accelerator.num_processes > 1:
        raise ValueError("The lesion branch is small: train it in one process, without torchrun.")
    prepare_output(accelerator, recipe, output)
    set_seed(recipe["seed"])
    earlier = load_classifier(recipe["init_from"])
    settings = recipe["model"]
    model = with_lesion_branch(earlier, settings)
    side = model.config.image_size
    processor = LungFusionImageProcessor(size={"height": side, "width": side})
    workers = loader_workers(accelerator, recipe)
    prepare = partial(load_lesion_parts, recipe, processor, earlier.segmenter.to(accelerator.device), workers)
    with one_after_another():
        validation = prepare("validation")
        train = prepare("train") if settings["lesion_backbone"] else {}
    if train:
        learn(accelerator, recipe, output, model, processor, train, validation)
        model = round_weights(load_classifier(output / "model"))
    save_model(model, processor, output / "model")
    score_lesion_run(recipe, output, validation, accelerator.device)
    accelerator.end_training()


def learn(accelerator, recipe, output, model, processor, train, validation):
    """Train the lesion branch; the model of the last epoch lies in `output/model` then."""
    earlier = load_classifier(recipe["branch_of"]) if recipe["branch_of"] else None
    begin_branch(model.lesions, model.config.lesion_backbone, recipe["pretrained"], earlier, recipe["frozen"])
    model.to(memory_format=torch.channels_last)
    parts = [(arrays, known) for _, arrays, known in train.values()]
    write_counts({"train": {name: arrays for name, (_, arrays, _) in train.items()}}, output)
    sampler = epoch_sampler(groups(parts), recipe["epoch_size"], recipe["max_draws"])
    loading = {"batch_size": recipe["batch_size"], "num_workers": loader_workers(accelerator, recipe)}
    loader = DataLoader(LesionRadiographs(parts), sampler=sampler, drop_last=True, **loading)
    read = [(arrays, known) for _, arrays, known in validation.values()]
    validate = partial(auc_of_either, accelerator, DataLoader(LesionRadiographs(read), **loading))
    made = recipe["augmentation"]["made_nodules"]
    loss_of = partial(loss_of_views, accelerator, model.concatenation.roi_affine, made)
    fit(accelerator, model, processor, loader, sampler, validate, recipe, output, loss_of, keep="last")


def loss_of_views(accelerator, region, made, model, batch):
    lesions = accelerator.unwrap_model(model).lesions
    picture, view, batch = random_views(to_floats(batch), region, lesions.size, made)
    with accelerator.autocast():
        lesion_map = lesions.look(picture)
    return lesion_loss(lesion_map, view, batch)


@torch.inference_mode()
def auc_of_either(accelerator, loader, model):
    """ROC AUC of nodule or mass on the validation images that radiologists read."""
    labels, said = [], []
    for batch in loader:
        labels.append(batch["labels"][:, 2].numpy())
        batch = to_floats({name: batch[name].to(accelerator.device) for name in ("pixel_values", "alpha")})
        view = model.concatenation.roi_affine(batch["alpha"])
        with accelerator.autocast():
            lesion_map = model.lesions.look(sample(batch["pixel_values"], view, model.lesions.size))
        said.append(pool_lesions(with_either(lesion_map.float()))[:, 2].cpu().numpy())
    labels, said = hard(np.concatenate(labels)), np.concatenate(said)
    known = ~np.isnan(labels)
    if len(set(labels[known])) < 2:
        raise ValueError("The validation images need some with a nodule or mass and some without: check the sources.")
    return {"auc_either": roc_auc(labels[known], said[known])}


if __name__ == "__main__":
    main()
