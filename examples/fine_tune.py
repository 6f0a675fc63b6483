"""Teach the classifier findings of your own: python examples/fine_tune.py FOLDER OUTPUT [MODEL]

FOLDER/train and FOLDER/validation each hold one folder of radiographs for each finding, and one called `normal` (or
NORMAL) for those with none; hidden files, and others that can't be radiographs, are passed over. No patient may be in
both. The lungs and what the branches have learned are kept to begin with; fusion and classifier learn. It needs
`pip install accelerate`. What comes out is neither calibrated nor measured, and has no card: `python -m train.finetune`
does all that, from a table of labels.
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, set_seed

from lungfusion import LungFusionConfig, LungFusionForImageClassification, LungFusionPipeline, load_radiograph
from lungfusion.reading.archive import is_hidden
from lungfusion.reading.formats import HEAD, can_be_radiograph


class Folder(Dataset):
    """(pixel_values, labels) of the radiographs in a folder of folders; `normal` has none of the findings."""

    def __init__(self, folder, findings, processor):
        self.images = sorted(path for path in Path(folder).glob("*/*") if is_radiograph(path))
        self.findings, self.processor = findings, processor

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        pixels = load_radiograph(self.images[index]).pixels
        labels = [float(self.images[index].parent.name.casefold() == finding.casefold()) for finding in self.findings]
        return {"pixel_values": self.processor(pixels)["pixel_values"][0], "labels": torch.tensor(labels)}


def main(folder, output, model=None, epochs=5, batch_size=8):
    set_seed(0)
    pipe = LungFusionPipeline.from_pretrained(model)
    findings = findings_in(Path(folder, "train"))
    model = with_findings(pipe.model, findings)
    parts = {part: Folder(Path(folder, part), findings, pipe.processor) for part in ("train", "validation")}
    arguments = TrainingArguments(
        output_dir=output,
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        learning_rate=1e-3,
        eval_strategy="epoch",
        label_names=["labels"],
        prediction_loss_only=True,
        save_strategy="no",
        report_to="none",
    )
    trainer = Trainer(model, arguments, train_dataset=parts["train"], eval_dataset=parts["validation"])
    trainer.train()
    model.save_pretrained(output)
    pipe.processor.save_pretrained(output)
    print(f"Written: {output}, which names {', '.join(findings)}")
    return trainer


def findings_in(folder):
    """The names of a folder's folders but `normal`, whatever its case, and hidden ones."""
    names = [path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]
    return sorted(name for name in names if name.casefold() != "normal")


def is_radiograph(path):
    """Whether a file can be one; systems leave others, such as .DS_Store and Thumbs.db, beside them."""
    hidden = any(map(is_hidden, path.parts[-2:]))
    if hidden or not path.is_file():
        return False
    with path.open("rb") as file:
        return can_be_radiograph(path.name, file.read(HEAD))


def with_findings(model, findings):
    """The same lungs, branches and fusion with a new classifier; lungs and branches are frozen."""
    config = LungFusionConfig.from_dict(model.config.to_dict(), findings=findings)
    new = LungFusionForImageClassification(config)  # its segmenter is frozen already
    weights = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("classifier")}
    new.load_state_dict(weights, strict=False)
    new.branches.requires_grad_(False)
    return new


if __name__ == "__main__":
    if len(sys.argv) <= 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
