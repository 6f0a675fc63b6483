"""One page to print: the radiograph, its lungs, and what is said of it. In English, whatever the reader's language."""

from html import escape
from io import BytesIO

from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.platypus import Image, KeepInFrame, Paragraph, SimpleDocTemplate, Spacer, Table

from .phrases import by_weight, level, percentages, reliability
from .pictures import masked_image, overlay_image
from .words import LANGUAGES

MARGIN = 15 * mm
PICTURE_SIDE = 85 * mm  # at most
PRINTED_SIDE = 700  # pixels, at most: 210 dots per inch
STYLES = getSampleStyleSheet()
rl_config.useA85 = 0  # pictures as bytes, not as text: a fifth smaller, and quicker


def sheet_pdf(analysis):
    """A4, one page, as the bytes of a PDF file."""
    words = LANGUAGES["en"]

    def text(sentence, style="BodyText"):
        return Paragraph(escape(sentence.encode("latin-1", "replace").decode("latin-1")), STYLES[style])

    height, width = analysis.radiograph.pixels.shape
    looked_at = words(
        "looked_at", name=analysis.radiograph.name, format=analysis.radiograph.format, width=width, height=height
    )
    story = [text("LungFusion", "Title"), text(words("notice")), text(looked_at)]
    story += [text(warning.sentence, "Italic") for warning in analysis.warnings]
    pictures = [printed(overlay_image(analysis)), printed(masked_image(analysis).convert("RGB"))]
    story += [Spacer(1, 3 * mm), Table([pictures]), Spacer(1, 3 * mm)]
    if analysis.findings:
        rows = [[text(title, "Heading5") for title in ("Finding", "Probability", "Threshold", "How often it is right")]]
        for finding in by_weight(analysis.findings):
            said = words(f"column_{level(finding)}") if level(finding) else words("column_below")
            name = f"{words.title(finding.name)}: {said.lower()}"
            rows.append([text(cell) for cell in (name, *percentages(words, finding), reliability(words, finding))])
        table = Table(rows, colWidths=[42 * mm, 23 * mm, 23 * mm, 92 * mm])
        table.setStyle([("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")])
        story += [table, text(f"{words('about_levels')} {words('about_probabilities')}", "Italic")]
    file = BytesIO()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGIN)
    page = SimpleDocTemplate(file, pagesize=A4, title="LungFusion", **margins)
    page.build([KeepInFrame(page.width - 4 * mm, page.height - 4 * mm, story, mode="shrink")])
    return file.getvalue()


def printed(picture):
    """A picture as large as fits beside another."""
    picture.thumbnail((PRINTED_SIDE, PRINTED_SIDE))
    file = BytesIO()
    picture.save(file, "JPEG", quality=90)
    scale = PICTURE_SIDE / max(picture.size)
    return Image(file, scale * picture.width, scale * picture.height)
