"""The way of one radiograph through the model as a row of pictures with two sentences each."""

import numpy as np
from PIL import Image

from .phrases import percentage
from .pictures import as_bytes, as_rgb, blend, grey_image, heat_colours, picture_address, reduced_to, with_contour
from .render import render

SMALL_SIDE = 384  # pixels, of the pictures of this page
MAP_OPACITY = 0.55
ALL = 0.995  # weight from which one network alone counts


def steps_html(words, steps):
    """All steps as sections. steps: `lungfusion.app.trace.Steps`."""
    image = reduced_to(steps.image, (SMALL_SIDE, SMALL_SIDE))
    alpha = reduced_to(steps.alpha, (SMALL_SIDE, SMALL_SIDE))
    outlined = with_contour(as_rgb(image), alpha)
    ways = [steps.concatenation, *(name for name in steps.cnn_inputs if name != steps.concatenation)]
    joined = f"{words(f'joined_{steps.concatenation}')} {words('step_joined_others')}"
    pictures = {
        "image": [(grey_image(image), words("step_image_picture"))],
        "alpha": [(grey_image(alpha), "alpha"), (outlined, words("outline"))],
        "joined": [joined_picture(words, steps, name) for name in ways],
        "maps": [map_picture(steps, name) for name in steps.feature_maps],
    }
    said = {"joined": joined, "fusion": fusion_words(words, steps)}
    return render(
        "steps.html",
        words=words,
        sections=[
            {
                "key": key,
                "title": words(f"step_{key}"),
                "said": said.get(key) or words(f"step_{key}_words"),
                "pictures": [(picture_address(picture), caption) for picture, caption in pictures.get(key, ())],
            }
            for key in ("image", "alpha", "joined", "maps", "fusion", "answer")
        ],
        weights={name: f"{weight:.1%}" for name, weight in (steps.fusion_weights or {}).items()},
        percent={name: percentage(words, weight) for name, weight in (steps.fusion_weights or {}).items()},
        rows=probabilities(words, steps),
    )


def fusion_words(words, steps):
    """How the model in fact weighs its networks."""
    if steps.fusion_weights is None:
        return words("step_no_weights")
    name, weight = max(steps.fusion_weights.items(), key=lambda item: item[1])
    return words("step_one_network", name=name) if weight >= ALL else words("step_fusion_words")


def joined_picture(words, steps, name):
    caption = words("step_own_way", name=name) if name == steps.concatenation else name
    return joined_image(steps, name).resize((SMALL_SIDE, SMALL_SIDE), Image.Resampling.BILINEAR), caption


def map_picture(steps, name):
    """A branch's mean activation in colours over what the branch saw."""
    size = (SMALL_SIDE, SMALL_SIDE)
    heat = np.asarray(Image.fromarray(steps.feature_maps[name]).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    under = joined_image(steps, steps.concatenation).resize(size, Image.Resampling.BILINEAR)
    colours = blend(np.asarray(under, np.float32), heat_colours(heat), MAP_OPACITY * np.ones(size))
    return Image.fromarray(as_bytes(colours)), name


def joined_image(steps, name):
    return Image.fromarray(as_bytes(255 * steps.cnn_inputs[name]))


def probabilities(words, steps):
    """Each finding's probability as the model sees it, and from the whole image; none where nothing is said."""
    told = [finding for finding in steps.analysis.findings if finding.probability is not None]
    return [
        {
            "name": words.title(finding.name),
            "shares": [
                percentage(words, share)
                for share in (finding.probability, steps.whole_image[finding.name], finding.threshold)
            ],
        }
        for finding in told
    ]
