"""The first screen: a finished example that moves from X-ray to lungs to heat, one large place to drop, and cards."""

from ...visualization import background_layer, heat_layer, picture_address
from .phrases import by_level
from .render import render
from .viewer import faded, outline_path, to_analysed_geometry

REEL_SIDE = 640  # pixels of the example that moves


def start_html(words, examples, purpose, minutes):
    """What is seen before there is an answer.

    Args:
        words: `Words`.
        examples: `lungfusion.app.examples.Examples`; without what the model says of them as long as it has not looked.
        purpose: key of the sentence that says what the model is for.
        minutes: how long what is uploaded is kept.
    """
    shown = examples.shown()
    return render(
        "start.html",
        words=words,
        purpose=purpose,
        minutes=minutes,
        reel=reel(examples, shown),
        cards=[card(words, examples, example) for example in shown[:6]],
    )


def reel(examples, shown):
    """The example that moves: the first in which the model is right and has a map to show, else a still one."""
    told = [(example, *examples.told[example.path]) for example in shown if example.path in examples.told]
    for example, analysis, saliency in told:
        seen, maps = to_analysed_geometry(analysis, saliency)
        detected = [finding.name for finding in by_level(analysis.findings)["detected"] if finding.name in maps]
        if examples.verdict(example) == "right" and detected and analysis.lung_area:
            return still(example) | layers(seen) | {"heat": layer(heat_layer(faded(maps[detected[0]])))}
    for example, analysis, _ in told:
        if analysis.lung_area and not analysis.refused and analysis.correction.angle == 0:
            return still(example) | layers(to_analysed_geometry(analysis)[0])
    return still(shown[0]) if shown else {"picture": "", "ratio": 1, "contour": "", "heat": ""}


def still(example):
    return {"picture": example.picture(REEL_SIDE), "ratio": 1, "contour": "", "heat": ""}


def layers(seen):
    height, width = seen.radiograph.pixels.shape
    return {
        "ratio": f"{width / height:.3f}",
        "contour": outline_path(seen.model_alpha),
        "side": len(seen.model_alpha),
        "background": layer(background_layer(seen)),
    }


def layer(picture):
    return picture_address(picture.resize((256, 256 * picture.height // picture.width)))


def card(words, examples, example):
    """An example with its truth and, once the model has looked, what it says and how right that is."""
    told, said = examples.told.get(example.path), ""
    if told:
        levels = by_level(told[0].findings)
        names = [finding.name for finding in levels["detected"]]
        unclear = [finding.name for finding in levels["unclear"]]
        said = words.listed(names) if names else words("card_nothing")
        if not names and unclear:
            said = words("card_unclear", findings=words.listed(unclear))
    return {
        "name": example.path.name,
        "title": example.title,
        "key": example.key,
        "drawn": example.drawn,
        "picture": example.picture(),
        "said": said,
        "verdict": examples.verdict(example),
    }
