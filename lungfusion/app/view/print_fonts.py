"""Fonts of the printed page: one for a language, and others for what it lacks, so that all languages can be printed."""

from html import escape
from importlib.resources import files
from itertools import groupby

from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

FOLDER = files("lungfusion.app.view") / "fonts"
FONTS = {"Lohit": "Lohit-Devanagari.ttf", "Droid": "DroidSansFallback-subset.ttf"}  # Hindi with Latin, Chinese without
for name, file in FONTS.items():
    pdfmetrics.registerFont(TTFont(name, str(FOLDER / file)))


def style_of(language, size, bold=False, **settings):
    """A paragraph's style: shaped where the script wants it, broken between any characters where it has no spaces."""
    settings |= {"shaping": 1} if language == "hi" else {}
    settings |= {"wordWrap": "CJK"} if language == "zh" else {}
    font = "Lohit" if language == "hi" else "Helvetica-Bold" if bold else "Helvetica"
    return ParagraphStyle(f"{language} {size} {bold}", fontName=font, fontSize=size, leading=1.35 * size, **settings)


def markup(sentence, language):
    """A sentence as reportlab's markup: escaped, in another font what the language's lacks, "?" for what none has."""
    base = "Lohit" if language == "hi" else "Helvetica"
    letters = sentence.replace("\u2212", "\u2013").replace("\u2011", "-")  # minus and unbroken hyphen are in none
    runs = groupby(letters, key=lambda letter: font_of(letter, base))
    return "".join(in_font("".join(run), font, base) for font, run in runs)


def font_of(letter, base):
    """The first font that has a letter, the base before others; None if none has."""
    return next((font for font in (base, *FONTS) if has(font, letter)), None)


def has(font, letter):
    if font in FONTS:
        return ord(letter) in pdfmetrics.getFont(font).face.charToGlyph or letter.isspace()
    try:
        return bool(letter.encode("cp1252"))
    except UnicodeEncodeError:
        return False


def in_font(run, font, base):
    if font is None:
        return "?" * len(run)
    return escape(run) if font == base else f'<font name="{font}">{escape(run)}</font>'
