"""The way of one radiograph through the model as a row of pictures with two sentences each."""

from html import escape

import numpy as np
from PIL import Image

from .phrases import percentage
from .pictures import as_bytes, as_rgb, blend, grey_image, heat_colours, picture_address, reduced_to, with_contour

SMALL_SIDE = 256  # pixels, of the pictures of this page
MAP_OPACITY = 0.55


def steps_html(words, steps):
    """All steps as sections. steps: `lungfusion.app.trace.Steps`."""
    image = reduced_to(steps.image, (SMALL_SIDE, SMALL_SIDE))
    alpha = reduced_to(steps.alpha, (SMALL_SIDE, SMALL_SIDE))
    outlined = with_contour(as_rgb(image), alpha)
    sections = [
        section_html(words, "image", [(grey_image(image), words("step_image_picture"))]),
        section_html(words, "alpha", [(grey_image(alpha), "alpha"), (outlined, words("outline"))]),
        section_html(words, "joined", [joined_picture(words, steps, name) for name in steps.cnn_inputs]),
        section_html(words, "maps", [map_picture(steps, name) for name in steps.feature_maps]),
        section_html(words, "fusion", [], weights_html(words, steps)),
        section_html(words, "answer", [], probabilities_html(words, steps)),
    ]
    return f'<ol class="steps">{"".join(sections)}</ol>'


def section_html(words, key, pictures, more=""):
    figures = "".join(
        f'<figure><img src="{picture_address(picture)}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for picture, caption in pictures
    )
    return (
        f"<li><h3>{escape(words(f'step_{key}'))}</h3><p>{escape(words(f'step_{key}_words'))}</p>"
        f'<div class="pictures">{figures}</div>{more}</li>'
    )


def joined_picture(words, steps, name):
    caption = words("step_own_way", name=name) if name == steps.concatenation else name
    picture = Image.fromarray(as_bytes(255 * steps.cnn_inputs[name]))
    return picture.resize((SMALL_SIDE, SMALL_SIDE), Image.Resampling.BILINEAR), caption


def map_picture(steps, name):
    """A branch's mean activation in colours over what the branch saw."""
    size = (SMALL_SIDE, SMALL_SIDE)
    heat = np.asarray(Image.fromarray(steps.feature_maps[name]).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    under = np.asarray(joined_image(steps).resize(size, Image.Resampling.BILINEAR), np.float32)
    return Image.fromarray(as_bytes(blend(under, heat_colours(heat), MAP_OPACITY * np.ones(size)))), name


def joined_image(steps):
    return Image.fromarray(as_bytes(255 * steps.cnn_inputs[steps.concatenation]))


def weights_html(words, steps):
    """The share of each branch in the fused features, as bars; a sentence where fusion has no such weights."""
    if steps.fusion_weights is None:
        return f"<p>{escape(words('step_no_weights'))}</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><div class="bar" aria-hidden="true">'
        f'<div class="fill" style="width:{weight:.1%}"></div></div></td><td>{weight:.0%}</td></tr>'
        for name, weight in steps.fusion_weights.items()
    )
    return f'<table class="weights">{rows}</table>'


def probabilities_html(words, steps):
    """Each finding's probability from the lungs, and from the whole image; none for a radiograph that is refused."""
    if not steps.analysis.findings:
        return f"<p>{escape(words('step_refused'))}</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(words.title(finding.name))}</th>'
        f"<td>{escape(percentage(words, finding.probability, 0))}</td>"
        f"<td>{escape(percentage(words, steps.whole_image[finding.name], 0))}</td>"
        f"<td>{escape(percentage(words, finding.threshold, 0))}</td></tr>"
        for finding in steps.analysis.findings
    )
    titles = "".join(
        f'<th scope="col">{escape(words(key))}</th>'
        for key in ("column_finding", "column_lungs", "column_whole", "column_threshold")
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"
