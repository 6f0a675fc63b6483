"""The model's card as the page shows it, and how to use the page from elsewhere."""

import re
from pathlib import Path

import gradio as gr

from .. import __version__
from ..loading import BUNDLED
from .view.pictures import data_address

SNIPPETS = f"""
```text
<iframe src="https://OWNER-NAME.hf.space/?view=embed" width="100%" height="900"></iframe>

<script type="module" src="https://gradio.s3-us-west-2.amazonaws.com/{gr.__version__}/gradio.js"></script>
<gradio-app src="https://OWNER-NAME.hf.space"></gradio-app>
```

```text
from gradio_client import Client, handle_file

client = Client("https://OWNER-NAME.hf.space")
print(client.predict(radiograph=handle_file("xray.png"), api_name="/analyze"))
```

```text
@software{{lungfusion, title = {{LungFusion}}, version = {{{__version__}}}, year = {{2026}}, license = {{Apache-2.0}}}}
```
"""


def model_card(name=None):
    """The card of a model without its front matter, its pictures within it: Markdown.

    Args:
        name: folder or id on the Hub; the bundled checkpoint if None. Of one on the Hub, a link.
    """
    folder = Path(name) if name else BUNDLED
    if not (folder / "README.md").is_file():
        return f"https://huggingface.co/{name}"
    text = re.sub(r"\A---\n.*?\n---\n", "", (folder / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"!\[(.*?)\]\((.*?)\)", lambda link: card_picture(folder, *link.groups()), text)


def card_picture(folder, alternative, name):
    picture = folder / name
    return f"![{alternative}]({data_address(picture.read_bytes(), 'image/png')})" if picture.is_file() else alternative
