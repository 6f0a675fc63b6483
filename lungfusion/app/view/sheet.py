"""One page to print: the radiograph, its lungs, and what is said of it. In English, whatever the reader's language."""

from datetime import UTC, datetime
from html import escape
from io import BytesIO

from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.platypus import Image, KeepInFrame, Paragraph, SimpleDocTemplate, Spacer, Table

from .phrases import by_level, headline, percentage, reliability, to_be_set_right
from .pictures import masked_image, overlay_image
from .words import LANGUAGES

MARGIN = 15 * mm
PICTURE_SIDE = 85 * mm  # at most
PRINTED_SIDE = 700  # pixels, at most: 210 dots per inch
STYLES = getSampleStyleSheet()
rl_config.useA85 = 0  # pictures as bytes, not as text: a fifth smaller, and quicker


def sheet_pdf(analysis, correction, made_by):
    """A4, one page, as the bytes of a PDF file.

    Args:
        analysis: `Analysis`.
        correction: `Correction` that the radiograph had been given first.
        made_by: {"model", "version"}; may be empty.
    """
    words = LANGUAGES["en"]

    def text(sentence, style="BodyText"):
        return Paragraph(escape(sentence.encode("latin-1", "replace").decode("latin-1")), STYLES[style])

    title, sentences = headline(words, analysis)
    story = [text("LungFusion", "Title"), text(words("notice")), text(looked_at(words, analysis, correction, made_by))]
    story += [text(warning.sentence, "Italic") for warning in analysis.warnings]
    if title:
        title = words("set_right_first") if to_be_set_right(analysis) else title
        story += [text(title, "Heading2"), *map(text, sentences), text(words("what_to_do"))]
    pictures = [printed(overlay_image(analysis)), printed(masked_image(analysis).convert("RGB"))]
    story += [Spacer(1, 3 * mm), Table([pictures]), Spacer(1, 3 * mm)]
    if analysis.findings:
        titles = [text(title, "Heading5") for title in ("Finding", "Probability", "Threshold", "How often it is right")]
        table = Table([titles, *rows(words, analysis, text)], colWidths=[42 * mm, 23 * mm, 23 * mm, 92 * mm])
        table.setStyle([("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")])
        story += [table, text(words("about_probabilities"), "Italic")]
    file = BytesIO()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGIN)
    page = SimpleDocTemplate(file, pagesize=A4, title="LungFusion", **margins)
    page.build([KeepInFrame(page.width - 4 * mm, page.height - 4 * mm, story, mode="shrink")])
    return file.getvalue()


def looked_at(words, analysis, correction, made_by):
    """File, what was done to it first, day, model."""
    radiograph = analysis.radiograph
    height, width = radiograph.pixels.shape
    said = [words("looked_at", name=radiograph.name, format=radiograph.format, width=width, height=height)]
    said += [f"Turned by {correction.angle} degrees first."] * bool(correction.angle)
    said += ["Black and white swapped first."] * correction.invert
    said += [f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC."]
    said += [f"LungFusion {made_by['version']}, model {made_by['model']}."] if made_by else []
    return " ".join(said)


def rows(words, analysis, text):
    """A row of cells for each finding, by level."""
    for level, findings in by_level(analysis.findings).items():
        for finding in findings:
            name = f"{words.title(finding.name)}: {words(f'level_{level}').lower()}"
            if finding.probability is None:
                yield [text(name), "", "", text(words(f"reason_{finding.reason}"))]
            else:
                shares = (percentage(words, share) for share in (finding.probability, finding.threshold))
                yield [text(cell) for cell in (name, *shares, reliability(words, finding))]


def printed(picture):
    """A picture as large as fits beside another."""
    picture.thumbnail((PRINTED_SIDE, PRINTED_SIDE))
    file = BytesIO()
    picture.save(file, "JPEG", quality=90)
    scale = PICTURE_SIDE / max(picture.size)
    return Image(file, scale * picture.width, scale * picture.height)
