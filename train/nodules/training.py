"""The training loop: crops with made and real nodules, hard places mined in rounds, whole pictures as bags."""

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from lungfusion.models.nodule_detector import NOWHERE, STRIDE, NoduleDetector, candidates, near_lungs
from train.io import WEIGHTS
from train.nodules.data import CELL, RIM, SIDE, WHOLE
from train.nodules.made import draw_bodies, draw_look_alikes, make_bank
from train.scoring.metrics import roc_auc

TURN, SCALE, STRETCH = math.radians(12), 0.17, 0.08  # of a crop, at most
GAMMAS = 0.65, 1.5
NOISE = 0.015  # of the grey range, at most
NEAR = 40  # pixels at most from a crop's middle to the place for which it was cut
BODIES = 3  # in a crop at most
BESIDE = 0.15  # of the made nodules, behind heart, diaphragm and chest wall
MINED = 12  # places of a picture at most
RARE = -4.0  # logit of a place before anything is learned
WIDTH_WEIGHT = 0.2  # of the widths' error in the loss


def train(recipe, pictures):
    """Train a detector as a recipe says; the checkpoint and its log are written to `out` every few minutes.

    Returns:
        `NoduleDetector` in evaluation mode.
    """
    out = Path(recipe["out"])
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe["seed"])
    model = NoduleDetector(recipe["size"], recipe["channels"])
    if recipe["start"]:
        model.load_state_dict(load_file(recipe["start"]))
    else:
        torch.nn.init.constant_(model.head[-1].bias[:1], RARE)
    model.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe["learning_rate"], weight_decay=recipe["weight_decay"])
    crops = Crops(recipe, pictures)
    watched = watch(recipe, pictures)
    began, step, told, mean = time.monotonic(), 0, 0, 0.0
    while (part := (time.monotonic() - began) / 60 / recipe["minutes"]) < 1:
        rate = min(1, step / 200) * 0.5 * (1 + math.cos(math.pi * part))
        for group in optimiser.param_groups:
            group["lr"] = max(rate * recipe["learning_rate"], 1e-6)
        pixels, centres, widths = crops.batch()
        loss = peak_loss(model.look(pixels), centres, widths)
        if recipe["bags"] and step % recipe["bags"]["every"] == 0:
            loss = loss + recipe["bags"]["weight"] * crops.bag_loss(model, recipe["bags"]["size"])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        step, mean = step + 1, 0.99 * mean + 0.01 * float(loss.detach())
        minutes = (time.monotonic() - began) / 60
        if step in (50, 200, 500, 1000):
            print(f"{step} steps in {minutes:.1f} minutes, loss {mean / (1 - 0.99**step):.3f}", flush=True)
        if minutes >= told + recipe["every_minutes"]:
            told = minutes
            model.eval()
            figures = watched(model)
            if recipe["mine"]:
                crops.mine(model)
            model.train()
            save(model, out)
            line = {
                "minutes": round(minutes, 1),
                "step": step,
                "crops": step * recipe["batch"],
                "loss": mean / (1 - 0.99**step),
            }
            line |= figures
            print(json.dumps(line), flush=True)
    model.eval()
    save(model, out)
    print(json.dumps({"step": step} | watched(model)), flush=True)
    return model


def save(model, out):
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, out / WEIGHTS)


class Crops:
    """Batches of crops of the pictures that a recipe learns from.

    Lesion-free ones have nodules drawn in, and look-alikes; those with readers' boxes are shown as they are.
    """

    def __init__(self, recipe, pictures):
        self.recipe, self.pictures = recipe, pictures
        self.side, self.count = recipe["crop"], recipe["batch"]
        self.generator = torch.Generator().manual_seed(recipe["seed"])
        self.rng = np.random.default_rng(recipe["seed"])
        self.bank = make_bank(recipe["seed"])
        self.free = pictures.where(lambda row: learned(row, recipe) and lesion_free(row))
        self.boxed = pictures.where(lambda row: learned(row, recipe) and row["located"] and row["side"] >= 256)
        read = pictures.where(lambda row: learned(row, recipe) and row["votes"] is not None)
        votes = np.array([pictures.rows[i]["votes"] for i in read])
        self.with_one, self.without = read[votes >= 0.6], read[votes == 0]
        self.hard_rows, self.hard_places = np.zeros(0, int), np.zeros((0, 2), np.float32)
        by = {}
        for i in self.free:
            row = pictures.rows[i]
            by.setdefault((row["source"], row["healthy"]), []).append(i)
        self.weights = np.concatenate([np.full(len(rows), len(rows) ** -0.5) for rows in by.values()])
        self.free = np.concatenate(list(by.values()))
        self.weights /= self.weights.sum()
        print(
            {key: len(rows) for key, rows in by.items()},
            "boxed",
            len(self.boxed),
            "with one",
            len(self.with_one),
            flush=True,
        )

    def batch(self):
        """(B, 1, crop, crop) pixels, (B, M, 2) centres and (B, M) widths in pixels, 0 for none."""
        real = round(self.recipe["real"] * self.count) if len(self.boxed) else 0
        hard = round(self.recipe["mine"] * self.count) if len(self.hard_rows) else 0
        rows = self.rng.choice(self.free, self.count - real - hard, p=self.weights)
        places = [self.lung_place(row) for row in rows]
        for i in self.rng.integers(len(self.hard_rows), size=hard) if hard else ():
            rows = np.append(rows, self.hard_rows[i])
            places.append(self.hard_places[i] + self.rng.uniform(-NEAR, NEAR, 2))
        for row in self.rng.choice(self.boxed, real) if real else ():
            boxes = self.pictures.rows[row]["boxes"]
            rows = np.append(rows, row)
            places.append(np.array(boxes[self.rng.integers(len(boxes))][:2]) + self.rng.uniform(-NEAR, NEAR, 2))
        theta = self.theta(np.array(places, np.float32), self.side)
        pixels, lungs = self.cut(rows, theta, self.side)
        pixels = pixels ** torch.exp(self.between(len(rows), *np.log(GAMMAS)))[:, None, None, None]
        beside = F.max_pool2d(lungs, 9, stride=1, padding=4) - lungs
        inside, outside = (x.mean((1, 2, 3), keepdim=True) for x in (lungs, beside))
        likely = lungs + BESIDE * beside * (inside / outside.clamp(min=0.01)).clamp(max=1)
        made = len(rows) - real
        likely[made:] = 0
        pixels = draw_look_alikes(pixels, self.bank, self.generator, self.recipe["look_alikes"])
        pixels, centres, widths, _ = draw_bodies(pixels, likely, self.bank, self.generator, self.recipe["made"], BODIES)
        if real:
            centres, widths = self.with_boxes(rows, theta, centres, widths, made)
        return self.worn(pixels).contiguous(memory_format=torch.channels_last), centres, widths

    def lung_place(self, row):
        y, x = np.nonzero(self.pictures.lungs[row] > 127)
        if not len(x):
            return self.rng.uniform(RIM, WHOLE - RIM, 2)
        i = self.rng.integers(len(x))
        return np.array([x[i], y[i]]) * CELL + CELL / 2 + self.rng.uniform(-NEAR, NEAR, 2)

    def between(self, count, low, high):
        return low + (high - low) * torch.rand(count, generator=self.generator)

    def theta(self, places, side):
        """Crops around places, turned, stretched, mirrored: (B, 2, 3) from their −1 … 1 to the picture's."""
        count, half = len(places), side / WHOLE
        angle, size = self.between(count, -TURN, TURN), torch.exp(self.between(count, -SCALE, SCALE)) * half
        stretch = torch.exp(self.between(count, -STRETCH, STRETCH))
        flip = torch.randint(2, (count,), generator=self.generator) * 2 - 1
        cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
        x, y = (torch.from_numpy(places) * 2 / WHOLE - 1).float().unbind(1)
        return torch.stack([flip * cos * stretch, -sin, x, flip * sin * stretch, cos, y], dim=1).view(-1, 2, 3)

    def cut(self, rows, theta, side):
        """Crops of pictures: (B, 1, side, side) pixels in [0, 1] and (B, 1, side / 4, side / 4) lungs, 0 or 1."""
        cut = []
        for of, size in ((self.pictures.pixels, side), (self.pictures.lungs, side // CELL)):
            grid = F.affine_grid(theta, [len(rows), 1, size, size], align_corners=False)
            whole = torch.from_numpy(of[rows])[:, None].float() / 255
            cut.append(F.grid_sample(whole, grid, padding_mode="border", align_corners=False))
        return cut[0], (cut[1] > 0.5).float()

    def worn(self, pixels):
        """Blurred and noisy, some of them: as radiographs of few pixels, of a scanned film, of little dose."""
        blurred, often, noisy = torch.rand(3, len(pixels), 1, 1, 1, generator=self.generator)
        soft = F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
        pixels = pixels + blurred * (often < 0.5) * (soft - pixels)
        noise = torch.randn(pixels.shape, generator=self.generator)
        return (pixels + NOISE * noisy**2 * noise).clamp(0, 1)

    def with_boxes(self, rows, theta, centres, widths, made):
        """Readers' boxes into the places of made nodules, for rows from `made` on."""
        most = max(centres.shape[1], max(len(self.pictures.rows[row]["boxes"]) for row in rows[made:]))
        centres = F.pad(centres, (0, 0, 0, most - centres.shape[1]))
        widths = F.pad(widths, (0, most - widths.shape[1]))
        for i in range(made, len(rows)):
            turn = torch.linalg.inv(theta[i, :, :2])
            for j, (x, y, width, height) in enumerate(self.pictures.rows[rows[i]]["boxes"]):
                away = turn @ (torch.tensor([x, y]) * 2 / WHOLE - 1 - theta[i, :, 2])
                if away.abs().max() < 1:
                    centres[i, j] = (away + 1) / 2 * self.side
                    widths[i, j] = (width + height) / 2 * float(torch.linalg.det(turn).abs()) ** 0.5 * self.side / WHOLE
        return centres, widths

    def bag_loss(self, model, count):
        """Whole pictures of which five readers said whether there is one: the highest place should say so."""
        rows = np.append(self.rng.choice(self.with_one, count // 2), self.rng.choice(self.without, count - count // 2))
        labels = torch.tensor([self.pictures.rows[row]["votes"] for row in rows]).float()
        middle = np.full((count, 2), WHOLE / 2, np.float32) + self.rng.uniform(-8, 8, (count, 2)).astype(np.float32)
        pixels, lungs = self.cut(rows, self.theta(middle, SIDE), SIDE)
        pixels = pixels ** torch.exp(self.between(count, *np.log(GAMMAS)))[:, None, None, None]
        highest = near_lungs(model.look(self.worn(pixels)), lungs)[:, 0].flatten(1).topk(3).values.mean(1)
        return F.binary_cross_entropy_with_logits(highest + self.recipe["bags"]["offset"], labels)

    @torch.inference_mode()
    def mine(self, model):
        """Look for the places of lesion-free pictures that the model takes for nodules."""
        rows, places, weights = [], [], []
        for row in self.rng.choice(self.free, 220, replace=False):
            _, marks = look_at(model, self.pictures, row)
            rows += [row] * len(marks)
            places += [mark[:2] for mark in marks]
            weights += [mark[2] for mark in marks]
        order = np.argsort(weights)[::-1][:440]
        self.hard_rows = np.array(rows, int)[order]
        self.hard_places = np.array(places, np.float32).reshape(-1, 2)[order]


def learned(row, recipe):
    return row["source"] in recipe["learn_from"] and row["split"] == "train"


def lesion_free(row):
    """Whether readers, all of them, or a report without any finding say that there is no nodule and no mass."""
    if row["votes"] is not None:
        return row["votes"] == 0
    return row["label"] == 0 and (row["read"] or row["healthy"])


def peak_loss(found, centres, widths):
    """Penalty-reduced focal loss of the centres' logits (Law 2018, CornerNet), and L1 of the widths' logarithms there.

    Args:
        found: (B, 2, h, w), as `NoduleDetector.look` gives it.
        centres: (B, M, 2) in pixels; widths: (B, M) in pixels, 0 for none.
    """
    logits, across = found[:, 0].float(), found[:, 1].float()
    height, width = logits.shape[-2:]
    x = torch.arange(width) + 0.5
    y = torch.arange(height) + 0.5
    at = centres / STRIDE
    sigma = (widths / STRIDE / 6).clamp(min=0.8)
    away_x = torch.exp(-0.5 * ((x - at[..., :1]) / sigma[..., None]) ** 2)  # (B, M, w)
    away_y = torch.exp(-0.5 * ((y - at[..., 1:]) / sigma[..., None]) ** 2)
    near = (away_y[..., :, None] * away_x[..., None, :] * (widths > 0)[..., None, None]).amax(1)  # (B, h, w)
    batch, body = torch.nonzero(widths > 0, as_tuple=True)
    cell = at[batch, body].long()
    column, row = cell[:, 0].clamp(0, width - 1), cell[:, 1].clamp(0, height - 1)
    centre = torch.zeros_like(logits)
    centre[batch, row, column] = 1
    said = logits.sigmoid()
    positive = centre * (1 - said) ** 2 * F.logsigmoid(logits)
    negative = (1 - centre) * (1 - near) ** 4 * said**2 * F.logsigmoid(-logits)
    count = max(len(batch), 1)
    loss = -(positive.sum() + negative.sum()) / count
    if len(batch):
        said, true = across[batch, row, column], widths[batch, body]
        loss = loss + WIDTH_WEIGHT * (said / true).log().abs().mean()
    return loss


def box_of(pictures, row):
    """The lungs' box of a picture: (1, 1, 320, 320) pixels in [0, 1] and (1, 1, 80, 80) mask."""
    pixels = torch.tensor(pictures.pixels[row][RIM:-RIM, RIM:-RIM])[None, None].float() / 255
    cells = RIM // CELL
    lungs = torch.tensor(pictures.lungs[row][cells:-cells, cells:-cells])[None, None].float() / 255
    return pixels, lungs


def look_at(model, pictures, row):
    """The map of a picture's lungs' box, and its candidates: (M, 4), x, y in the picture, logit, width in pixels."""
    pixels, lungs = box_of(pictures, row)
    found = near_lungs(model.look(pixels), lungs)
    return found, marks_of(found)


def marks_of(found):
    """Candidates of a map (1, 2, h, w), highest first: (M, 4)."""
    y, x = torch.nonzero(candidates(found)[0, 0] & (found[0, 0] > NOWHERE), as_tuple=True)
    marks = torch.stack(
        [RIM + STRIDE * (x + 0.5), RIM + STRIDE * (y + 0.5), found[0, 0, y, x], found[0, 1, y, x]], dim=1
    )
    return marks[marks[:, 2].argsort(descending=True)[:MINED]].numpy()


def watch(recipe, pictures):
    """A function that says of a model, quickly, how well it ranks readers' pictures of validation patients."""
    read = pictures.where(
        lambda row: (
            row["split"] == "validation"
            and row["source"] in ("nih_experts", "nih")
            and row["read"]
            and row["label"] is not None
        )
    )
    healthy = {
        name: pictures.where(lambda row, name=name: row["source"] == name and row["healthy"])[::6]
        for name in ("shenzhen", "pakistan")
    }

    @torch.inference_mode()
    def watched(model):
        scores = np.array([float(look_at(model, pictures, row)[0][0, 0].max()) for row in read])
        labels = np.array([pictures.rows[row]["label"] for row in read])
        figures = {"n": len(read), "with": int(labels.sum()), "auc": round(roc_auc(labels, scores), 3)}
        for name, rows in healthy.items():
            others = np.array([float(look_at(model, pictures, row)[0][0, 0].max()) for row in rows])
            figures[f"auc_{name}"] = round(float((scores[labels == 1][:, None] > others).mean()), 3)
            figures[f"p95_{name}"] = round(float(np.quantile(others, 0.95)), 2)
        return figures

    return watched
