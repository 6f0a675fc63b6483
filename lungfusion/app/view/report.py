"""One page to print, in the reader's language: what is said first, the radiograph, its heat map, and each finding."""

from datetime import UTC, datetime
from io import BytesIO

from PIL import ImageDraw, ImageFont
from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import HRFlowable, Image, KeepInFrame, Paragraph, SimpleDocTemplate, Spacer, Table

from ...visualization import HEAT_OPACITY, heat_layer, masked_image, overlay_image
from .phrases import by_level, headline, main_figure, not_looked_for, percentage, to_be_set_right
from .print_fonts import markup, style_of
from .viewer import to_analysed_geometry

MARGIN = 16 * mm
PICTURE_SIDE = 84 * mm  # at most
RING = "#f0e442"  # yellow of Okabe and Ito 2008
PRINTED_SIDE = 700  # pixels, at most: 210 dots per inch
RULE = {"width": "100%", "thickness": 0.5, "color": colors.Color(0, 0.35, 0.55), "spaceBefore": 3, "spaceAfter": 5}
rl_config.useA85 = 0  # pictures as bytes, not as text: a fifth smaller, and quicker


def report_pdf(words, analysis, correction, made_by, saliency=None, anything=None):
    """A4, one page, as the bytes of a PDF file.

    Args:
        words: `Words`.
        analysis: `Analysis`.
        correction: `Correction` that the visitor gave the radiograph before it was analysed.
        made_by: {"model", "version"}; may be empty.
        saliency: finding → (S, S) float array in [0, 1], over the radiograph as loaded; of the finding that
            the model reacts to most the page shows it. None: the lungs cut out instead.
        anything: as `headline` takes it.
    """

    def text(sentence, size=9, bold=False, **settings):
        return Paragraph(markup(sentence, words.language), style_of(words.language, size, bold, **settings))

    title, sentences, now, _ = headline(words, analysis, anything)
    day = text(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", alignment=2)
    head = Table([[text("LungFusion", 15, bold=True), day]], colWidths=["60%", "40%"], hAlign="LEFT")
    head.setStyle([("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 0)])
    story = [head, text(words("notice"), bold=True), HRFlowable(**RULE)]
    if title:
        title = words("set_right_first") if to_be_set_right(analysis) else title
        story += [text(title, 14, bold=True, spaceAfter=3), *map(text, sentences)]
        story += [text(f"{words('now')} {now}", bold=True)]
    story += [text(f"! {words.warning(warning)}") for warning in analysis.warnings]
    story += [Spacer(1, 3 * mm), pictures(words, analysis, saliency or {}, text), Spacer(1, 2 * mm)]
    if analysis.findings:
        below = f"{not_looked_for(words, analysis.findings)} {words('about_probabilities')}"
        story += [findings_table(words, analysis, text), Spacer(1, 2 * mm), text(below, 8)]
    story += [HRFlowable(**RULE), text(looked_at(words, analysis, correction, made_by), 8)]
    file = BytesIO()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGIN)
    page = SimpleDocTemplate(file, pagesize=A4, title="LungFusion", lang=words.language, **margins)
    page.build([KeepInFrame(page.width - 4 * mm, page.height - 4 * mm, story, mode="shrink")])
    return file.getvalue()


def pictures(words, analysis, saliency, text):
    """The outlined radiograph, and beside it the heat map of what the model reacts to most, or the lungs alone."""
    analysis, saliency = to_analysed_geometry(analysis, saliency)
    reacts = [f.name for f in by_level(analysis.findings)["detected"] if f.name in saliency]
    second, caption = masked_image(analysis).convert("RGB"), words("layer_lungs")
    if reacts:
        name = reacts[0]
        second = heat_over(analysis, saliency[name])
        caption = f"{words('heat_of')} {words.finding(name)}. {words('about_heat_maps')}"
    first, ringed = with_rings(overlay_image(analysis), analysis)
    drawn = [printed(picture, analysis.radiograph.sides_known) for picture in (first, second)]
    captions = [words("alt_outlined") + "." * bool(ringed), caption]
    captions[0] += f" {words('where_rings', findings=words.listed(ringed))}" if ringed else ""
    table = Table([drawn, [text(one, 8) for one in captions]], colWidths=[87 * mm, 87 * mm], hAlign="LEFT")
    table.setStyle([("LEFTPADDING", (0, 0), (-1, -1), 0), ("VALIGN", (0, 0), (-1, -1), "TOP")])
    return table


def with_rings(picture, analysis):
    """The picture with a ring where each finding is that is detected and has places, and the names of those."""
    draw, scale = ImageDraw.Draw(picture), picture.width / analysis.radiograph.pixels.shape[1]
    ringed = [finding for finding in by_level(analysis.findings)["detected"] if finding.places]
    for spot in [spot for finding in ringed for spot in finding.places]:
        x, y, radius = (scale * number for number in (spot.x, spot.y, spot.radius))
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, outline=RING, width=1 + picture.width // 200)
    return picture, [finding.name for finding in ringed]


def heat_over(analysis, saliency):
    """A heat map that fades where it is cold, over the outlined radiograph: mode RGB."""
    picture = overlay_image(analysis).convert("RGBA")
    heat = heat_layer(saliency).convert("RGBA").resize(picture.size)
    heat.putalpha(heat.getchannel("A").point(lambda opacity: opacity * HEAT_OPACITY))
    picture.alpha_composite(heat)
    return picture.convert("RGB")


def findings_table(words, analysis, text):
    """A row for each finding, by level."""
    titles = ("column_finding", "column_level", "column_probability", "figures_title")
    cells = [[text(words(title), 8, bold=True) for title in titles]]
    for level, findings in by_level(analysis.findings).items():
        for finding in findings:
            name, said = words.title(finding.name), words(f"level_{level}")
            known = finding.probability is not None
            share = percentage(words, finding.probability) if finding.detected else ""
            right = main_figure(words, finding) if known else words(f"reason_{finding.reason}")
            cells.append([text(cell, 8) for cell in (name, said, share, right)])
    table = Table(cells, colWidths=[44 * mm, 24 * mm, 22 * mm, 84 * mm], hAlign="LEFT")
    table.setStyle(
        [
            ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.grey),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        ]
    )
    return table


def looked_at(words, analysis, correction, made_by):
    """File, what was done to it first, and by which model it was looked at."""
    radiograph = analysis.radiograph
    height, width = radiograph.pixels.shape
    said = [words("looked_at", name=radiograph.name, format=radiograph.format, width=width, height=height)]
    for done in (correction, analysis.correction):
        said += [words("sheet_cut")] if done.corners is not None else []
        said += [words("sheet_turned", angle=done.angle)] if done.angle else []
        said += [words("sheet_swapped")] if done.invert else []
        said += [words("sheet_mirrored")] if done.mirror else []
    said += [words("sheet_model", **made_by)] if made_by else []
    return " ".join(said)


def printed(picture, sides_known):
    """A picture as large as fits beside another, with the patient's right and left named on it where they are known."""
    picture.thumbnail((PRINTED_SIDE, PRINTED_SIDE))
    draw, size = ImageDraw.Draw(picture), round(0.06 * picture.width)
    style = {"font": ImageFont.load_default(size), "fill": "white", "stroke_width": 2, "stroke_fill": "black"}
    if sides_known:
        draw.text((size / 2, size / 2), "R", anchor="lt", **style)
        draw.text((picture.width - size / 2, size / 2), "L", anchor="rt", **style)
    file = BytesIO()
    picture.save(file, "JPEG", quality=90)
    scale = PICTURE_SIDE / max(picture.size)
    return Image(file, scale * picture.width, scale * picture.height)
