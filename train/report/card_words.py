"""What a model card says in words; its numbers come from the run's folder."""

USE = """```python
from lungfusion import LungFusionPipeline

pipe = LungFusionPipeline.from_pretrained("{place}")
analysis = pipe("xray.png")
```

Without the `lungfusion` package, with `transformers`, `timm`, `segmentation-models-pytorch` and `scipy`:

```python
from transformers import pipeline

model = pipeline("{tag}", "{place}", trust_remote_code=True)
print(model("xray.png"))
```

{without}"""

WITHOUT = {
    "image-classification": "That way nothing refuses or warns of an unsuitable image, as the package does, and "
    "findings that did not prove to work are named too: `model.config.shown` lists those that did. It reads 8-bit "
    "pictures; give it the pixels of deeper ones as an array. With the package installed, the task `chest-radiograph` "
    "in place of `image-classification` reads DICOM and 16-bit files, and refuses and warns as the package does.",
    "image-segmentation": "It names each lung found, with its mask.",
}

INTENDED_USE = """Research into, and teaching of, the reading of chest radiographs: drawing lungs, comparing
classifiers, features for models of one's own.

Out of scope: diagnosis, sorting patients, any use where nobody checks the answer; pictures that are no frontal chest
radiographs (lateral views, CT, films of other parts); findings that it does not name; people of ages it did not learn
from."""

REPLACED = (
    "Branches, fusion and classifier were trained on the masks of an earlier segmenter. Thresholds, temperatures and "
    "all figures here are with the segmenter this checkpoint holds."
)

LIMITS = """- A probability is about the people it was learned from. In other hospitals expect the figures of hospitals
  left out, where there are any, or worse; measure on people of your own before you rely on it.
- One shadow may set off several findings: a finding that is named need not be the one that fits best.
- Thresholds, temperatures and the choice of the epoch were made on the validation patients, so figures at home are
  somewhat better than on patients nobody has looked at.
- A lung mask leaves out lung behind the heart and the diaphragm."""

OUTSIDE = (
    "Figures of {whose}, on hospitals and patients that were never given to the project, by others than those who "
    "trained it; 95 % intervals, of shares after Wilson, of AUC after Hanley and McNeil."
)

CITE = """```bibtex
@software{{lungfusion,
  title   = {{LungFusion: lungs and findings in chest radiographs by segmentation and feature fusion}},
  author  = {{{{The LungFusion maintainers}}}},
  version = {{{version}}},
  year    = {{2026}}
}}
```"""

TABLES = {  # what a file beside the card holds, and the command that makes it
    "test.md": "patients that chose nothing, scored by this model and by the one that its training began with "
    "(`train.finetune`).",
    "hospitals.md": "what models of the same recipe, each trained without one hospital, say of that hospital's people "
    "(`train.compare --leave-out`). One segmenter drew all lungs; it learned from pictures of these "
    "hospitals, but not what ails their people.",
    "compare_findings/compare.md": "what each step of the method is worth at home and in hospitals left out, of small "
    "networks that differ in that step alone (`train.compare --grid`).",
    "nodules.md": "nodules and masses: images ranked, places found, healthy called, by the detector's variants "
    "(`train.nodules`).",
    "robustness.md": "lungs of the same patients, drawn on images made to look like another scanner's "
    "(`train.evaluate --also robustness`).",
    "mask_quality.md": "the Dice that the model expects of each mask, against the true one, on images as they are, "
    "and corrupted mildly and severely (`train.evaluate --recalibrate`).",
    "rejection.md": "which pictures that are no chest radiographs, and which radiographs, get no answer or a warning "
    "(`train.evaluate --also rejection`).",
    "photographs.md": "how far findings move in photographs made of the same radiographs (`train.evaluate --also "
    "photographs`).",
    "shortcuts.md": "ROC AUC with the lungs blacked out, and with the outermost tenth of the image alone: what remains "
    "above 0.5 does not come from the lungs (`train.evaluate --also shortcuts`).",
    "explanations.md": "whether heat maps are about the score: how far it falls when what they call important is "
    "blurred (`train.evaluate --also saliency`). A map is offered only of findings where they surely are.",
    "curves_*.md": "ROC AUC when images are tilted, shifted, magnified, changed in contrast, inverted or compressed "
    "(`train.evaluate --also curves`).",
    "classical.md": "the fused features in classifiers of scikit-learn, nothing tuned (`train.evaluate --also "
    "classical`).",
}
