"""A quiz: say what is to be seen in the lungs, then see what is true and what the model says, finding by finding."""

from ...visualization import grey_image, overlay_image, picture_address
from .phrases import by_level
from .render import render

GUESSES = {  # what a visitor may answer → the truths it names
    "clear": ("clear", "no_pneumonia"),
    "consolidation": ("consolidation", "pneumonia"),
    "upper_lobe": ("upper_lobe",),
    "nodule": ("nodule", "mass"),
    "effusion": ("effusion",),
}
NO_SCORE = {"asked": 0, "visitor": 0, "model": 0}


def begin_html(words):
    """Before the first question."""
    return render("quiz.html", words=words, state="begin", number=0, score=NO_SCORE)


def question_html(words, example, radiograph, number, total, score):
    """A radiograph, and what it may show.

    Args:
        words: `Words`.
        example: `KnownExample`.
        radiograph: its `Radiograph`.
        number: of the question, from 0 on.
        total: how many there are before they repeat.
        score: {"asked", "visitor", "model"}, how many so far; it begins anew with the first question.
    """
    return render(
        "quiz.html",
        words=words,
        state="question",
        number=number,
        place=number % total + 1,
        total=total,
        score=score if number % total else NO_SCORE,
        picture=picture_address(grey_image(radiograph.pixels), "JPEG"),
        kind=words("quiz_drawing" if example.drawn else "quiz_real"),
        guesses=GUESSES,
    )


def verdict_html(words, example, analysis, model, guess, number, total, score):
    """What is true, whether the visitor was right, and whether the model was.

    Args:
        analysis: `Analysis` of the example.
        model: how right the model is, as `examples.verdict` says it.
        guess: one of `GUESSES`.
    """
    right = example.truth in GUESSES[guess]
    score = {
        "asked": score["asked"] + 1,
        "visitor": score["visitor"] + right,
        "model": score["model"] + (model == "right"),
    }
    return render(
        "quiz.html",
        words=words,
        state="verdict",
        number=number,
        place=number % total + 1,
        total=total,
        score=score,
        picture=picture_address(overlay_image(analysis), "JPEG"),
        kind=words("quiz_drawing" if example.drawn else "quiz_real"),
        truth=words(f"truth_{example.truth}"),
        right=words("quiz_right" if right else "quiz_wrong"),
        model=model_words(words, analysis, model, example),
        last=number % total == total - 1,
    )


def model_words(words, analysis, model, example):
    """What the model says, and whether that is right."""
    levels = by_level(analysis.findings)
    named = [finding.name for finding in levels["detected"]]
    doubted = [finding.name for finding in levels["unclear"]]
    if named:
        said = words("detected", findings=words.listed(named))
    elif doubted:
        said = words("unclear", findings=words.listed(doubted))
    else:
        said = words("none_detected" if levels["not_detected"] else "none_assessed")
    of_drawing = words("quiz_model_drawing") if example.drawn and model in ("wrong", "partly") else ""
    return " ".join(sentence for sentence in (said, words(f"quiz_model_{model}"), of_drawing) if sentence)
