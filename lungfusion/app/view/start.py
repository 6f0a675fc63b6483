"""The first screen: a finished example that moves from X-ray to lungs to heat, one large place to drop, and cards."""

from ...visualization import background_layer, grey_image, heat_layer, reduced
from .phrases import by_level
from .render import render
from .viewer import faded, outline_path, to_analysed_geometry

CARDS = 6
REEL_SIDE, LAYER_SIDE = 640, 256  # pixels of the example that moves, and of what lies over it


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
        cards=cards(words, examples),
    )


def cards_html(words, examples):
    """The cards alone."""
    return render("cards.html", words=words, cards=cards(words, examples))


def cards(words, examples):
    return [card(words, examples, example) for example in examples.shown()[:CARDS]]


def reel(examples, shown):
    """The example that moves: the first in which the model is right and can show where, in a heat map or by rings; else
    one whose lungs alone are shown; else a still one.
    """
    told = [(example, *examples.told[example.path]) for example in shown if example.path in examples.told]
    told = [one for one in told if one[1].lung_area and not one[1].refused]
    for example, analysis, saliency in told:
        detected = by_level(analysis.findings)["detected"]
        named = [finding.name for finding in detected if finding.name in saliency or finding.places]
        if named and examples.verdict(example) == "right":
            return moving(examples, example.path, analysis, saliency, named[0])
    for example, analysis, _ in told:
        if analysis.correction.angle == 0:
            return moving(examples, example.path, analysis)
    picture = examples.small(shown[0].path, REEL_SIDE) if shown else ""
    return {"picture": picture, "ratio": 1, "contour": "", "heat": "", "rings": []}


def moving(examples, path, analysis, saliency=None, finding=None):
    """The layers of an example as it was analysed, with where a finding is if one is given; drawn once."""

    def layers():
        seen, maps = to_analysed_geometry(analysis, saliency)
        height, width = seen.radiograph.pixels.shape
        pictures = {"picture": grey_image(reduced(seen.radiograph.pixels, REEL_SIDE))}
        small = (LAYER_SIDE, LAYER_SIDE * height // width)
        pictures["background"] = background_layer(seen).convert("RGBA").resize(small)
        if finding in maps:
            pictures["heat"] = heat_layer(faded(maps[finding])).convert("RGBA")
        return {
            "ratio": f"{width / height:.3f}",
            "width": width,
            "height": height,
            "contour": outline_path(seen.model_alpha),
            "side": len(seen.model_alpha),
            "heat": "",
            "rings": seen[finding].places if finding else [],
        } | {name: examples.picture(f"{path.stem}_{name}", picture) for name, picture in pictures.items()}

    return examples.once(f"{path.stem}_moving_{finding}", layers)


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
        "picture": examples.small(example.path),
        "said": said,
        "verdict": examples.verdict(example),
    }
