"""The model's card as the page shows it, and how to use the page from elsewhere."""

import os
import re
from pathlib import Path

from .. import __version__
from ..loading import BUNDLED
from ..visualization import data_address
from .view.render import render

ADDRESS = "ADDRESS"  # stands for the page's own, which about.js fills in
HUB = "https://huggingface.co/"
PYTHON = """from lungfusion import LungFusionPipeline

pipe = LungFusionPipeline.from_pretrained({model})
for finding in pipe("xray.png").findings:
    print(finding.name, finding.probability, finding.level)"""
TRANSFORMERS = """import lungfusion  # registers the model
from transformers import pipeline

print(pipeline("image-classification", {model})("xray.png"))"""
EMBED = f'<iframe src="{ADDRESS}?view=embed" width="100%" height="900"></iframe>'
API = f"""from gradio_client import Client, handle_file

client = Client("{ADDRESS}")
print(client.predict(radiograph=handle_file("xray.png"), api_name="/analyze"))"""
CITE = (
    f"@software{{lungfusion, title = {{LungFusion}}, version = {{{__version__}}}, "
    "year = {2026}, license = {Apache-2.0}}"
)


def about_html(words, model=None):
    """How to use the model and the page from elsewhere, each with a button that copies it.

    Args:
        words: `Words`.
        model: folder or id on the Hub; None for the bundled one.
    """
    on_hub = model and not Path(model).exists()
    name = f'"{model}"' if on_hub else ""
    snippets = {"use_python": PYTHON.format(model=name)}
    if on_hub:
        snippets["use_transformers"] = TRANSFORMERS.format(model=name)
    snippets |= {"use_embed": EMBED, "use_api": API, "use_cite": CITE}
    space = os.environ.get("SPACE_ID")
    links = {"link_model": HUB + model} if on_hub else {}
    links |= {"link_code": f"{HUB}spaces/{space}/tree/main"} if space else {}
    return render("about.html", words=words, snippets=snippets, links=links)


def model_card(name=None):
    """The card of a model without its front matter, its pictures within it, the files beside it not linked: Markdown.

    Args:
        name: folder or id on the Hub; the bundled checkpoint if None. Of one on the Hub, a link.
    """
    folder = Path(name) if name else BUNDLED
    if not (folder / "README.md").is_file():
        return f"https://huggingface.co/{name}"
    text = re.sub(r"\A---\n.*?\n---\n", "", (folder / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"(?<!!)\[(.*?)\]\((?!https?:)[^)]*\)", r"\1", text)
    return re.sub(r"!\[(.*?)\]\((.*?)\)", lambda link: card_picture(folder, *link.groups()), text)


def card_picture(folder, alternative, name):
    picture = folder / name
    return f"![{alternative}]({data_address(picture.read_bytes(), 'image/png')})" if picture.is_file() else alternative
