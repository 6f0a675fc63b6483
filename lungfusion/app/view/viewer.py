"""The radiograph with its layers, to be looked at in a browser: outline, background, heat maps, window and level."""

from html import escape

from ...analysis import Correction
from ...explanation import share_inside
from .pictures import background_layer, contour_layer, heat_layer, picture_address, radiograph_image, reduced_to

TURNS = (("turn_left", 90, False), ("turn_right", -90, False), ("invert", 0, True))


def viewer_html(words, analysis, saliency, correction):
    """A figure with its controls; `SCRIPT` makes them work.

    Args:
        words: `Words`.
        analysis: `Analysis`.
        saliency: finding → (S, S) float array in [0, 1]; empty where there are no findings to explain.
        correction: `Correction` that the radiograph has been given already.
    """
    drawn = analysis.lung_area > 0 and not analysis.refused
    height, width = analysis.radiograph.pixels.shape
    layers = [image_html("base", radiograph_image(analysis), words("alt_radiograph"), "JPEG")]
    if drawn:
        layers.append(image_html("background", background_layer(analysis), ""))
        layers += [image_html("heat", heat_layer(heat), "", finding=name) for name, heat in saliency.items()]
        layers.append(image_html("contour", contour_layer(analysis), words("alt_contour")))
    return (
        f'<figure class="viewer" data-layer="xray"><div class="stack" style="--ratio:{width / height:.4f}">'
        f"{''.join(layers)}</div><figcaption>"
        f"{layers_html(words, analysis, saliency) if drawn else ''}"
        f'<div class="sliders">{slider_html(words("brightness"), "brightness", 30, 250, 100)}'
        f"{slider_html(words('contrast'), 'contrast', 30, 300, 100)}</div>"
        f"{turns_html(words, correction)}</figcaption></figure>"
    )


def image_html(kind, picture, alternative, format="PNG", finding=""):
    finding = f' data-finding="{escape(finding)}"' if finding else ""
    return f'<img class="{kind}"{finding} src="{picture_address(picture, format)}" alt="{escape(alternative)}">'


def layers_html(words, analysis, saliency):
    """Which layer is seen, and how opaque it is; what a heat map is, beside it."""
    names = ["xray", "lungs", *(["heat"] if saliency else [])]
    choices = "".join(
        f'<label><input type="radio" name="layer" value="{name}"{" checked" * (name == "xray")}>'
        f"<span>{escape(words(f'layer_{name}'))}</span></label>"
        for name in names
    )
    return (
        f'<div class="layers" role="radiogroup" aria-label="{escape(words("layers"))}">{choices}</div>'
        f'<div class="opacity">{slider_html(words("opacity"), "opacity", 0, 100, 100)}</div>'
        f'<label class="outline"><input type="checkbox" name="outline" checked>{escape(words("outline"))}</label>'
        f"{heat_words_html(words, analysis, saliency)}"
    )


def heat_words_html(words, analysis, saliency):
    """Of which finding the heat map is, what it is, and how much of it lies inside the lungs."""
    if not saliency:
        return ""
    options = "".join(f'<option value="{escape(n)}">{escape(words.title(n))}</option>' for n in saliency)
    shares = "".join(
        f'<span data-finding="{escape(name)}">{escape(share_words(words, analysis, heat))}</span>'
        for name, heat in saliency.items()
    )
    return (
        f'<div class="heat-words"><label>{escape(words("heat_of"))} <select name="finding">{options}</select></label>'
        f'<p class="small">{escape(words("about_heat_maps"))} {shares}</p></div>'
    )


def share_words(words, analysis, heat):
    share = share_inside(heat, reduced_to(analysis.alpha, heat.shape))
    return words("heat_empty") if share is None else words("heat_inside", share=f"{share:.0%}")


def slider_html(label, name, least, most, value):
    return (
        f'<label>{escape(label)}<input type="range" name="{name}" min="{least}" max="{most}" value="{value}"></label>'
    )


def turns_html(words, correction):
    """Buttons that turn or invert the radiograph, each with the whole correction it leads to, and one back to none."""
    buttons = [turn_html(words(key), after(correction, Correction(*turn))) for key, *turn in TURNS]
    if correction != Correction(0, False):
        buttons.append(turn_html(words("as_uploaded"), Correction(0, False)))
    return f'<div class="turns">{"".join(buttons)}</div>'


def turn_html(label, correction):
    return (
        f'<button type="button" data-angle="{correction.angle}" data-invert="{int(correction.invert)}">'
        f"{escape(label)}</button>"
    )


def after(correction, next):
    """One correction and then another: angle in (-180, 180]."""
    angle = 180 - (180 - correction.angle - next.angle) % 360
    return Correction(angle, correction.invert != next.invert)
