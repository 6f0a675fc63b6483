"""Fit what a segmenter says of the view (`lungfusion.models.view_head`): one frontal chest, or what else it is; and on
which side the heart lies.

Frontal radiographs of every source, as they are and as people send them (photographed, cropped, mirrored, re-exposed,
hidden in parts), stand against other radiographs, real and drawn, against pictures that are none, and against
themselves: turned, twice in one picture, a part alone. All are altered in the same ways, so that no alteration tells
what a picture is. Each source is left out once, and so is each fourth of the patients and drawings of other pictures:
views.json and views.md say what those left out are taken for, sides.json and sides.md how many are called mirrored.

    python -m train.calibrate.views --model runs/lungs/model --others data/other-radiographs \\
        --frontal data/shenzhen-tuberculosis data/nih-findings --output runs/views
"""

import zlib
from io import BytesIO
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from datasets import load_dataset
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F
from tqdm.auto import tqdm

from lungfusion import LungFusionPipeline, load_radiograph
from lungfusion.checks.framing import find_frame
from lungfusion.checks.geometry import correct_pixels
from lungfusion.checks.input_checks import Limits
from lungfusion.models.view_head import (
    HEART_SIDE,
    VIEW_CELLS,
    VIEWS,
    ViewHead,
    heart_logit,
    view_inputs,
)
from train.augment.ood_images import DRAWN, PERSONS, SIDE, not_one_frontal_chest, ood_images
from train.augment.phantom.radiograph import SIGNS, draw_phantom
from train.augment.phantom.views import pair
from train.augment.photographs import photograph
from train.data.pictures import image_bytes
from train.data.splits import load_source, undecoded
from train.engine.arguments import command_line
from train.engine.loop import round_weights, save_model
from train.io import cell, markdown_table, weights_digest, write_table
from train.scoring.metrics import proportion

IMAGES = 100  # frontal radiographs of each source at most
COPIES = {"lateral": 14, "another_radiograph": 3, "no_radiograph": 5, "several_pictures": 2, "frontal": 2}  # altered
VIEW_STRENGTH = 0.03  # of the regression: the inverse of its penalty
HEART_IMAGES = 1500  # frontal radiographs of each source at most, of which the heart's side is learned
HEART_EPOCHS, HEART_BATCH, HEART_RATE = 10, 64, 4e-3
LEAST_LOGIT = -3  # below it a chest is itself mirrored, as some films are that were photographed from behind
FOLDS = 4  # of what does not come from a source of frontal radiographs
DRAWINGS = {  # kinds of `train.augment.ood_images` that are no other radiographs
    **dict.fromkeys(("photographs", "photographs without colour", "noise", "gradient", "text_page"), "no_radiograph"),
    "phantoms from the side": "lateral",
    **dict.fromkeys(("phantoms from both sides", "phantoms beside a caption"), "several_pictures"),
    **dict.fromkeys(("two phantoms side by side", "two phantoms, one above the other"), "several_pictures"),
}


def as_sent(pixels, generator):
    """(H, W) in [0, 1] → the same as somebody may send it: some of `ALTERATIONS` after the other."""
    for alteration, probability in ALTERATIONS.items():
        if generator.random() < probability:
            pixels = alteration(pixels, generator)
    return np.clip(pixels, 0, 1).astype(np.float32)


def mirrored(pixels, generator):
    return pixels[:, ::-1]


def cropped(pixels, generator):
    """Up to 10 % cut off at each side."""
    return window(pixels, *generator.uniform(0, 0.1, 2), *(1 - generator.uniform(0, 0.1, 2)))


def margined(pixels, generator):
    """A margin of one grey, up to 15 % of a side."""
    margins = (generator.uniform(0, 0.15, (2, 2)) * np.array(pixels.shape)[:, None]).astype(int)
    return np.pad(pixels, margins, constant_values=generator.choice([0, 0, 1, 0.2]))


def tilted(pixels, generator):
    picture = Image.fromarray(np.asarray(pixels, np.float32))
    return np.asarray(picture.rotate(generator.uniform(-12, 12), Image.Resampling.BILINEAR))


def squeezed(pixels, generator):
    picture, (height, width) = Image.fromarray(np.asarray(pixels, np.float32)), pixels.shape
    return np.asarray(picture.resize((round(width * generator.uniform(0.75, 1.25)), height)))


def re_exposed(pixels, generator):
    """Another tone curve and window."""
    low, high = generator.uniform(-0.1, 0.15), generator.uniform(0.85, 1.2)
    return np.clip((np.clip(pixels, 0, 1) ** np.exp(generator.uniform(-0.6, 0.6)) - low) / (high - low), 0, 1)


def blurred(pixels, generator):
    return gaussian_filter(pixels, generator.uniform(0.002, 0.012) * max(pixels.shape))


def hidden(pixels, generator):
    """A rectangle of one grey over a part."""
    top, left = generator.uniform(0, 0.8, 2)
    height, width = generator.uniform(0.08, 0.35, 2)
    pixels = np.array(pixels)
    rows, columns = pixels.shape
    pixels[int(top * rows) : int((top + height) * rows), int(left * columns) : int((left + width) * columns)] = (
        generator.choice([0, 0, 1, 0.5])
    )
    return pixels


def photographed(pixels, generator):
    picture, _ = photograph(np.clip(pixels, 0, 1), generator)
    return picture.mean(2, dtype=np.float32) / 255


def compressed(pixels, generator):
    file = BytesIO()
    Image.fromarray(np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8)).save(
        file, "JPEG", quality=int(generator.integers(10, 60))
    )
    return np.asarray(Image.open(file), np.float32) / 255


ALTERATIONS = {
    mirrored: 0.3,
    cropped: 0.3,
    tilted: 0.25,
    squeezed: 0.25,
    re_exposed: 0.5,
    hidden: 0.15,
    blurred: 0.15,
    margined: 0.15,
    photographed: 0.12,
    compressed: 0.15,
}


def window(pixels, top, left, bottom, right):
    """A part of a picture, its ends as shares of the sides."""
    height, width = pixels.shape
    return pixels[int(top * height) : round(bottom * height), int(left * width) : round(right * width)]


def turned(pixels, generator):
    """On its side or upside down."""
    return np.rot90(pixels, generator.integers(1, 4))


def twice(pixels, other, generator):
    """Two pictures in one, beside each other or one above the other."""
    height, width = pixels.shape
    other = np.asarray(Image.fromarray(np.asarray(other, np.float32)).resize((width, height)))
    return pair(pixels, other, int(generator.integers(2)), int(generator.integers(0, 12)), generator.choice([0, 1]))


def enlarged(pixels):
    """A part of a small picture, so that it may be read."""
    scale = 96 / min(pixels.shape)
    size = [round(max(1, scale) * side) for side in pixels.shape[::-1]]
    return pixels if scale <= 1 else np.asarray(Image.fromarray(np.asarray(pixels, np.float32)).resize(size))


def part(pixels, generator):
    """What a film of a shoulder, a clavicle, the neck or the upper abdomen shows of a chest."""
    a, b = generator.uniform(0.3, 0.45, 2)
    ends = [
        (0, 0, a, b),  # shoulders
        (0, 1 - b, a, 1),
        (1 - 0.9 * a, 0, 1, 1),  # upper abdomen
        (0, 0, 0.7 * a, 1),  # neck and clavicles
        (0.2, 0, 0.2 + a, 0.8 * b),  # an arm and some ribs
        (0.2, 1 - 0.8 * b, 0.2 + a, 1),
    ]
    return enlarged(window(pixels, *ends[generator.integers(len(ends))]))


def of_frontal(frontal):
    """Yield (view, group, picture, whether it is as it was): of name → `datasets.Dataset` of frontal radiographs."""
    generator, last = np.random.default_rng(0), None
    for name, data in frontal.items():
        data = data.shuffle(seed=0).select(range(min(IMAGES, len(data))))
        for number, row in enumerate(tqdm(data, desc=f"Views: {name}")):
            pixels = load_radiograph(image_bytes(row["image"])).pixels
            yield "frontal", name, pixels, True
            yield "frontal", name, as_sent(pixels, generator), False
            if number % 2:
                yield "turned", name, as_sent(turned(pixels, generator), generator), False
                yield "another_radiograph", name, as_sent(part(pixels, generator), generator), False
            if number % 3 == 0 and last is not None:
                yield "several_pictures", name, as_sent(twice(pixels, last, generator), generator), False
            last = pixels


def of_others(others):
    """The same of a `datasets.Dataset` of other radiographs, with `kind` and `patient_id`."""
    generator, last = np.random.default_rng(1), None
    for number, row in enumerate(tqdm(others, desc="Views: other radiographs")):
        view, group = (
            "lateral" if "lateral" in row["kind"] else "another_radiograph",
            f"{row['kind']} {row['patient_id']}",
        )
        pixels = load_radiograph(image_bytes(row["image"])).pixels
        yield view, group, pixels, True
        for _ in range(COPIES[view]):
            yield view, group, as_sent(pixels, generator), False
        if number % 2:
            yield "turned", group, as_sent(turned(pixels, generator), generator), False
        elif last is not None:
            yield "several_pictures", group, as_sent(twice(pixels, last, generator), generator), False
        last = pixels


def of_drawings():
    """The same of drawings, and of photographs that packages ship."""
    generator = np.random.default_rng(2)
    kinds = ood_images() | not_one_frontal_chest()
    opacities = [None, *SIGNS]
    kinds["phantoms"] = [draw_phantom(n, SIDE, opacities[n % len(opacities)])[0] for n in range(PERSONS + DRAWN)]
    for kind, of_kind in kinds.items():
        view = "frontal" if kind == "phantoms" else DRAWINGS.get(kind, "another_radiograph")
        for number, picture in enumerate(tqdm(of_kind, desc=f"Views: {kind}")):
            pixels, group = load_radiograph(picture).pixels, f"{kind} {number}"
            yield view, group, pixels, True
            for _ in range(COPIES[view]):
                shown = anywhere(pixels, generator) if view == "no_radiograph" else pixels
                yield view, group, as_sent(shown, generator), False


def anywhere(pixels, generator):
    """A part of a picture of anything, turned by quarters."""
    top, left = generator.uniform(0, 0.5, 2)
    height, width = generator.uniform(0.4, 0.5, 2)
    return np.rot90(enlarged(window(pixels, top, left, top + height, left + width)), generator.integers(4))


@torch.inference_mode()
def inputs_of(pipeline, picture):
    """What the view is read from of a picture (H, W) float32 in [0, 1], once framed: (1, D)."""
    segmenter = pipeline.segmenter
    features = segmenter.encode(framed_values(pipeline, picture))
    return view_inputs(features[-1], segmenter.unet.decode(features)).cpu().double().numpy()


def framed_values(pipeline, picture):
    """(1, 1, S, S), as the model is given a picture (H, W) float32 in [0, 1]."""
    radiograph = load_radiograph(np.ascontiguousarray(picture))
    framed, _ = correct_pixels(radiograph.pixels, find_frame(radiograph.pixels))
    return pipeline.pixel_values([load_radiograph(framed)])


def small_pictures(pipeline, frontal):
    """What the heart's side is learned from: source → (N, 1, 64, 64) float32 in [0, 1]; phantoms are a source, too."""
    sources = {name: data.shuffle(seed=0).select(range(min(HEART_IMAGES, len(data)))) for name, data in frontal.items()}
    pictures = {name: (load_radiograph(image_bytes(x)).pixels for x in data["image"]) for name, data in sources.items()}
    pictures["phantoms"] = (draw_phantom(seed, SIDE)[0] for seed in range(PERSONS + DRAWN))
    return {
        name: torch.cat([small(pipeline, picture) for picture in tqdm(of_source, desc=f"Heart: {name}")])
        for name, of_source in pictures.items()
    }


def small(pipeline, picture):
    """(1, 1, 64, 64) of a picture (H, W), as the head makes it."""
    return F.adaptive_avg_pool2d(framed_values(pipeline, picture).float(), HEART_SIDE).cpu()


def fitted_view_head(pipeline, frontal, others):
    """A `ViewHead` for the pipeline's segmenter.

    Args:
        pipeline: `LungFusionPipeline`.
        frontal: name → `datasets.Dataset` of frontal radiographs.
        others: `datasets.Dataset` of other radiographs, with `kind` and `patient_id`.

    Returns:
        head: `ViewHead`.
        figures: kind of picture → how many there are, and the shares that are taken for each view, with intervals,
            each by a head that was fitted without its source or fold.
        sides: source → `summarise_sides`, by a head that was fitted without it.
    """
    rows = [
        (view, group, as_it_was, inputs_of(pipeline, picture))
        for view, group, picture, as_it_was in chain(of_frontal(frontal), of_others(others), of_drawings())
    ]
    views, groups, as_they_were, seen = zip(*rows, strict=True)
    seen = np.concatenate(seen)
    views = np.array([VIEWS.index(view) for view in views])
    folds = np.array([name if name in frontal else str(zlib.crc32(name.encode()) % FOLDS) for name in groups])
    head = ViewHead(seen.shape[1] - VIEW_CELLS**2)
    weight, bias = view_regression(seen, views)
    head.view_weight.copy_(torch.from_numpy(weight))
    head.view_bias.copy_(torch.from_numpy(bias))
    pictures = small_pictures(pipeline, frontal)
    for name, weight in fitted_heart(pictures.values()).items():
        getattr(head, name).copy_(weight)
    round_weights(head)
    sides = {
        name: summarise_sides(of_source, fitted_heart(x for other, x in pictures.items() if other != name))
        for name, of_source in pictures.items()
    }
    logits = np.empty((len(seen), len(VIEWS)))
    for fold in np.unique(folds):
        weight, bias = view_regression(seen[folds != fold], views[folds != fold])
        logits[folds == fold] = seen[folds == fold] @ weight.T + bias
    return head, summarise_views(views, groups, as_they_were, logits), sides


def view_regression(seen, views):
    """Multinomial logistic regression, each view as weighty as any other: weight (views, D), bias (views,)."""
    scaler = StandardScaler().fit(seen)
    fitted = LogisticRegression(C=VIEW_STRENGTH, class_weight="balanced", max_iter=3000)
    fitted.fit(scaler.transform(seen), views)
    weight = fitted.coef_ / scaler.scale_
    return weight, fitted.intercept_ - weight @ scaler.mean_


def fitted_heart(sources):
    """The heart's weights of a `ViewHead`, by name, fitted to tell chests from their mirror images.

    Args:
        sources: (N, 1, 64, 64) float32 in [0, 1] each, chests whose heart lies on the picture's right but for a few.
    """
    pictures, generator = torch.cat(list(sources)), torch.Generator().manual_seed(0)
    weights = {name: x for name, x in ViewHead(1).named_buffers() if name.startswith("heart")}
    for name, weight in weights.items():
        if "bias" not in name:
            weight.normal_(0, (2 / weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.01, generator=generator)
        weight.requires_grad_()
    optimizer = torch.optim.AdamW(weights.values(), HEART_RATE, weight_decay=0.02)
    steps = HEART_EPOCHS * -(-len(pictures) // HEART_BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, HEART_RATE, steps)
    for _ in range(HEART_EPOCHS):
        for some in torch.randperm(len(pictures), generator=generator).split(HEART_BATCH):
            logits = heart_logit(seen_otherwise(pictures[some], generator), weights)
            loss = F.softplus(-logits.clamp(min=LEAST_LOGIT)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return {name: weight.detach() for name, weight in weights.items()}


def seen_otherwise(pictures, generator):
    """(B, 1, h, w) in [0, 1], each tilted, shifted, stretched and re-exposed, some noisy or covered in part."""

    def draw(low, high):
        return low + (high - low) * torch.rand(len(pictures), generator=generator)

    angle, across, down = draw(-0.2, 0.2), draw(0.8, 1.15), draw(0.8, 1.15)
    x, y = draw(-0.15, 0.15), draw(-0.15, 0.15)
    rows = [
        torch.stack([across * angle.cos(), -down * angle.sin(), x], 1),
        torch.stack([across * angle.sin(), down * angle.cos(), y], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), pictures.shape, align_corners=False)
    seen = F.grid_sample(pictures, grid, align_corners=False, padding_mode="border")
    seen = seen.clamp(0, 1) ** draw(-0.6, 0.6).exp()[:, None, None, None]
    seen = seen + draw(0, 0.06)[:, None, None, None] * torch.randn(seen.shape, generator=generator)
    place = torch.linspace(0, 1, seen.shape[-1])
    left, top, width, height = draw(-0.5, 1), draw(-0.5, 1), draw(0, 0.35), draw(0, 0.35)
    covered = (place > left[:, None]) & (place < (left + width)[:, None])
    covered = covered[:, None] & ((place > top[:, None]) & (place < (top + height)[:, None]))[:, :, None]
    return torch.where(covered[:, None], draw(0, 1)[:, None, None, None], seen)


def summarise_sides(pictures, weights):
    """Of chests (N, 1, 64, 64) and their mirror images, the shares that get a warning: `as they are` and `mirrored`."""
    with torch.inference_mode():
        probability = heart_logit(pictures, weights).sigmoid()
    least, images = Limits().min_heart_left, len(pictures)
    return {
        "images": images,
        "as they are": proportion(int((probability < least).sum()), images),
        "mirrored": proportion(int((1 - probability < least).sum()), images),
    }


def summarise_views(views, groups, as_they_were, logits):
    """See `fitted_view_head`; kinds are sources, other radiographs and drawings, as they were or altered."""
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    answered = probabilities[:, 0] >= Limits().min_frontal
    likeliest = np.where(answered, 0, 1 + probabilities[:, 1:].argmax(1))
    kinds = {}
    for row, (view, group, same) in enumerate(zip(views, groups, as_they_were, strict=True)):
        kind = group.rsplit(" ", 1)[0]
        state = "as they are" if same else "altered" if view in (0, 1) or kind not in groups else VIEWS[view]
        kinds.setdefault(f"{kind}, {state.replace('_', ' ')}", []).append(row)
    return {
        kind: {"images": len(of_kind)}
        | {name: proportion(int((likeliest[of_kind] == n).sum()), len(of_kind)) for n, name in enumerate(VIEWS)}
        for kind, of_kind in kinds.items()
    }


def views_table(figures):
    """Markdown: one row for each kind of picture."""
    rows = [[kind, row["images"], *[cell(row[name]) for name in VIEWS]] for kind, row in figures.items()]
    return markdown_table(["pictures", "n", *[name.replace("_", " ") for name in VIEWS]], rows)


def sides_table(figures):
    """Markdown: one row for each source."""
    rows = [[name, row["images"], cell(row["as they are"]), cell(row["mirrored"])] for name, row in figures.items()]
    return markdown_table(["warned of a heart on the right", "n", "as they are", "mirrored"], rows)


def main(arguments=None):
    parser = command_line(__doc__)
    parser.add_argument("--model", help="a checkpoint; the bundled one if not given")
    parser.add_argument("--frontal", nargs="+", required=True, help="data sets of frontal radiographs")
    parser.add_argument("--others", required=True, help="data set of other radiographs, with a column kind")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model and the table")
    arguments = parser.parse_args(arguments)
    pipeline = LungFusionPipeline.from_pretrained(arguments.model)
    frontal = {Path(place).name: load_source(place, "train") for place in arguments.frontal}
    head, figures, sides = fitted_view_head(pipeline, frontal, undecoded(load_dataset(arguments.others, split="train")))
    pipeline.segmenter.view_head = head
    save_model(pipeline.model, pipeline.processor, arguments.output / "model")
    weights = weights_digest(arguments.output / "model")
    write_table(arguments.output, "views", views_table(figures), figures, weights)
    write_table(arguments.output, "sides", sides_table(sides), sides, weights)


if __name__ == "__main__":
    main()
