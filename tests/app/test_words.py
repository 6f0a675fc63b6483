"""Every language says everything, and the English one what the package says."""

from string import Formatter

import pytest

from lungfusion.analysis import AnalysisWarning
from lungfusion.app.view.words import LANGUAGES, words_for
from lungfusion.checks import input_checks as gate
from lungfusion.reading.errors import REASONS, RadiographError
from tests.support.answers import EFFUSION, ENGLISH, GOUT, PNEUMONIA, TUBERCULOSIS, page


def placeholders(sentence):
    return {field for _, field, _, _ in Formatter().parse(sentence) if field}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything(language):
    sentences = LANGUAGES[language].sentences
    assert list(sentences) == list(ENGLISH.sentences)
    for key, sentence in sentences.items():
        assert sentence.strip() == sentence != "" or key == "comma"
        assert placeholders(sentence) == placeholders(ENGLISH.sentences[key]), key
        if language != "en" and len(sentence) > 25:
            assert sentence != ENGLISH.sentences[key]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_makes_a_page(language):
    wrong = [warning for warning in vars(gate).values() if isinstance(warning, AnalysisWarning)]
    shown = page(TUBERCULOSIS, PNEUMONIA, EFFUSION, GOUT, warnings=wrong[3:], words=LANGUAGES[language])
    assert LANGUAGES[language].title("tuberculosis") in shown.text
    assert LANGUAGES[language]("percent", number=63) in shown.text and "the Elm set (adults)" in shown.text
    assert LANGUAGES[language]("reason_age") in shown.text


def test_the_english_warnings_are_those_of_the_gate():
    warnings = [warning for warning in vars(gate).values() if isinstance(warning, AnalysisWarning)]
    assert warnings
    for warning in warnings:
        assert ENGLISH.sentences[f"warning_{warning.code}"] == warning.sentence


def test_the_english_errors_are_those_of_the_reader():
    keys = [key for key in ENGLISH.sentences if key.startswith("error_")]
    of_programs = {
        "an_address",
        "no_such_file",
        "name_too_long",
        "not_permitted",
        "a_folder",
        "wrong_source",
        "text_file",
    }
    untranslated = REASONS.keys() - {key.removeprefix("error_") for key in keys}
    assert {code for code in untranslated if not code.startswith("array_")} == of_programs  # no page meets them
    for key in keys:
        assert ENGLISH.sentences[key] == f"{REASONS[key.removeprefix('error_')]}."
    too_large = RadiographError("x", "file_too_large", {"limit": 100}, "a.png")
    assert LANGUAGES["es"].error(too_large) == "a.png: el archivo tiene más de 100 MB; redúzcalo primero."
    assert LANGUAGES["es"].error(RadiographError("a.png: it is odd", "odd", name="a.png")) == "a.png: it is odd."


@pytest.mark.parametrize(
    ("wished", "given"),
    [
        (None, "en"),
        ("", "en"),
        ("fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", "fr"),
        ("de, es;q=0.7, en;q=0.9", "en"),
        ("zh-TW", "zh"),
        ("hi;q=broken, es", "es"),
        ("xx" * 5000, "en"),
    ],
)
def test_the_language_is_the_one_wished_for(wished, given):
    assert words_for(wished).language == given


@pytest.mark.parametrize(("names", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_findings_are_listed_as_in_a_sentence(names, said):
    assert ENGLISH.listed(names) == said
