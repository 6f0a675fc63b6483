"""A quiz: guess whether there is something in the lungs, then see what is true and what the model says."""

from ...visualization import grey_image, overlay_image, picture_address
from .phrases import by_level
from .render import render


def begin_html(words):
    """Before the first question."""
    return render("quiz.html", words=words, state="begin", number=0, score={"asked": 0, "visitor": 0, "model": 0})


def question_html(words, example, radiograph, number, total, score):
    """A radiograph, and two guesses.

    Args:
        words: `Words`.
        example: `KnownExample`.
        radiograph: its `Radiograph`.
        number: of the question, from 0 on.
        total: how many there are before they repeat.
        score: {"asked", "visitor", "model"}, how many so far.
    """
    return render(
        "quiz.html",
        words=words,
        state="question",
        number=number,
        place=number % total + 1,
        total=total,
        score=score,
        picture=picture_address(grey_image(radiograph.pixels), "JPEG"),
        kind=words("quiz_drawing" if example.drawn else "quiz_real"),
    )


def verdict_html(words, example, analysis, guess, number, total, score):
    """What is true, whether the visitor was right, and whether the model was.

    Args:
        analysis: `Analysis` of the example.
        guess: `"clear"` or `"sign"`.
    """
    model = model_guess(analysis)
    right = guess == example.kind
    score = {
        "asked": score["asked"] + 1,
        "visitor": score["visitor"] + right,
        "model": score["model"] + (model == example.kind),
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
        truth=words(f"truth_{example.truth}"),
        right=words("quiz_right" if right else "quiz_wrong"),
        model=model_words(words, analysis, model, example),
        last=number % total == total - 1,
    )


def model_guess(analysis):
    """`"sign"` where the model reacts to a finding, `"clear"` where nothing stands out; None where it does not say."""
    levels = by_level(analysis.findings)
    if levels["detected"]:
        return "sign"
    return "clear" if levels["not_detected"] and not levels["unclear"] else None


def model_words(words, analysis, model, example):
    """What the model says, and whether that is right."""
    if model is None:
        return words("quiz_model_unsure")
    reacts = [finding.name for finding in by_level(analysis.findings)["detected"]]
    said = words("detected", findings=words.listed(reacts)) if reacts else words("none_detected")
    judged = words("quiz_model_right" if model == example.kind else "quiz_model_wrong")
    of_drawing = words("quiz_model_drawing") if example.drawn and model != example.kind else ""
    return " ".join(sentence for sentence in (said, judged, of_drawing) if sentence)
