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
classifiers, features for models of one's own. Not for diagnosis, not for sorting patients, not where nobody checks the
answer."""

REPLACED = (
    "Branches, fusion and classifier were trained on the masks of an earlier segmenter. Thresholds, temperatures and "
    "all figures here are with the segmenter this checkpoint holds."
)

LIMITS = """- For research and education. Not a medical device: do not base care on it.
- Frontal chest radiographs only. Figures at home are of the hospitals learned from; elsewhere expect those of hospitals
  left out, where there are any, or worse, and measure before you rely on it.
- Thresholds, temperatures and the choice of the epoch were made on the validation patients scored here, so these
  figures are somewhat better than those on patients nobody has looked at.
- A lung mask leaves out lung behind the heart and the diaphragm."""

CITE = """```bibtex
@software{{lungfusion,
  title   = {{LungFusion: lungs and findings in chest radiographs by segmentation and feature fusion}},
  author  = {{{{The LungFusion maintainers}}}},
  version = {{{version}}},
  year    = {{2026}}
}}
```"""

TABLES = {
    "hospitals.md": (
        "Hospitals left out",
        "What models of the same recipe, each trained without one hospital, say of that hospital's people, at the "
        "thresholds of this model (`python -m train.compare --leave-out`). Healthy: nobody saw anything. "
        "Against all without it: people with something else are among them, from whom it is harder to tell. "
        "Thresholds call at most a tenth of the healthy people of each data set at home, and of each hospital left "
        "out. One segmenter drew all lungs; it learned from pictures of these hospitals, but not what ails their "
        "people. Adults do not count where a model learned from ill children alone, "
        "nor children where from adults.",
    ),
    "robustness.md": (
        "Altered images",
        "Lungs of the same validation patients, drawn on images made to look like another scanner's (`python -m "
        "train.evaluate --also robustness`). `altered` is the mean of all alterations of each image.",
    ),
    "mask_quality.md": (
        "Mask quality",
        "The Dice that the model expects of each mask it draws, against the true one: on validation images as they "
        "are, altered, and harmed so that the masks go wrong (turned, shrunk, hidden in part and more; "
        "`python -m train.evaluate --run RUN --recalibrate`). Its two numbers were fitted on these images; they do not "
        "change the ranking.",
    ),
    "refusal.md": (
        "What is refused",
        "Share of pictures that are no chest radiographs, and of validation patients' radiographs, which get no answer "
        "or a warning; 95 % intervals after Wilson (`python -m train.evaluate --also rejection`). No "
        "answer: no findings are named.",
    ),
    "photographs.md": (
        "Photographs of films and screens",
        "Photographs made of the same validation patients' radiographs: aslant, with glare, moiré and a cast, as JPEG "
        "(`python -m train.evaluate --also photographs`). How far each finding's probability moves from that of the "
        "radiograph itself; an image that gets no answer counts as one whose findings moved.",
    ),
    "shortcuts.md": (
        "Shortcuts",
        "ROC AUC on the same validation patients with the lungs blacked out, and with only the outermost tenth of the "
        "image shown: what remains above 0.5 does not come from the lungs (`python -m "
        "train.evaluate --also shortcuts`). Groups need five images with the finding and five without.",
    ),
    "explanations.md": (
        "Heat maps",
        "Whether Grad-CAM is about the score: how far a detected finding's logit falls when the tenth of the region "
        "seen that its map calls most important is blurred away, and when the tenth is that of another radiograph's "
        "map, or of the finding's mean map over the others (`python -m train.evaluate --also saliency`). A heat map is "
        "offered only of findings where both differences, over all data sets, surely lie above 0.",
    ),
    "curves_*.md": (
        "Changed images",
        "ROC AUC on the same validation patients' radiographs when they are tilted, shifted, magnified, changed in "
        "contrast, inverted or compressed; a refused image counts as not detected (`python -m train.evaluate "
        "--also curves`).",
    ),
    "classical.md": (
        "Classical classifiers",
        "The fused features, min-max scaled, in classifiers of scikit-learn, nothing tuned: fitted on training "
        "patients, scored on validation patients (`python -m train.evaluate --also classical`).",
    ),
}
