"""The web app: a page around the pipeline, and the same as an API and an MCP server. Start it with `python app.py`."""

import os
import re
import signal
import tempfile
import threading
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path

try:
    import spaces  # lends a GPU on Hugging Face Spaces; it has to come before whatever uses one
except ImportError:
    spaces = None

import gradio as gr
from gradio.route_utils import delete_files_created_by_app
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

import lungfusion
from lungfusion import RadiographError, load_radiograph
from lungfusion.analysis import Correction
from lungfusion.app.hub_examples import fetch_radiographs
from lungfusion.app.startup import load_or_bundled
from lungfusion.app.trace import walk
from lungfusion.app.view.answer import answer_html, message_html
from lungfusion.app.view.batch import batch_row, batch_table, csv_html
from lungfusion.app.view.comparison import comparison_html
from lungfusion.app.view.pictures import data_address, grey_image, picture_address
from lungfusion.app.view.steps import steps_html
from lungfusion.app.view.words import LANGUAGES, words_for
from lungfusion.checks.orientation import UPRIGHT, set_right
from lungfusion.pipeline import BUNDLED
from lungfusion.reading.archive import radiographs_in

NARROW, WIDE = 120, 180  # pixels, of columns
KEPT_MINUTES = 15  # how long Gradio keeps an uploaded file and the pictures made of it
GPU_SECONDS = 20  # what one analysis may take of a lent GPU
EXAMPLES_FOLDER = Path(__file__).parent / "examples" / "radiographs"
EXAMPLES = sorted(path for path in EXAMPLES_FOLDER.glob("*") if path.suffix in (".png", ".dcm"))
LOOKS = Path(str(files("lungfusion.app.view")))  # style, script and icon of the page
MODEL = os.environ.get("LUNGFUSION_MODEL")  # a folder, or an id on the Hub; the bundled checkpoint if not given


pipe, asked_for = load_or_bundled(MODEL)
fetched_folder = tempfile.TemporaryDirectory()
fetched = []  # paths of real radiographs, once the Hub has answered


def fetch_examples():
    """In the background, at the start; without the Hub there are the drawings."""
    try:
        fetched.extend(fetch_radiographs(fetched_folder.name))
    except Exception as error:  # whatever it is, the app does not need them
        print(f"No real examples: the Hub gave none. {error}")


# What strangers may not: have addresses fetched for them

NO_ADDRESSES = "Addresses are not fetched: upload the file itself."


def file_field(**settings):
    """A gr.File for what the visitor sends."""
    field = gr.File(**settings)
    move = field.async_move_resource_to_block_cache

    async def move_sent(path):
        if str(path).lower().startswith(("http:", "https:")):
            raise gr.Error(NO_ADDRESSES, print_exception=False)
        return await move(path)

    field.async_move_resource_to_block_cache = move_sent
    return field


class NoProxy:
    """Middleware that refuses /file=http…, by which Gradio would hand on what lies elsewhere."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        refused = scope["type"] == "http" and "/file=http" in scope["path"].lower()
        app = PlainTextResponse(NO_ADDRESSES, 403) if refused else self.app
        await app(scope, receive, send)


# What the page says: what stands from the start is translated by the browser, what is answered by `words_of`


def page_words(words):
    """The sentences that stand on the page from the start."""
    names = pipe.findings
    filled = {
        "purpose": words("purpose", findings=words.listed(names)) if names else words("purpose_lungs"),
        "privacy": words("privacy", minutes=KEPT_MINUTES),
        "model_unreachable": words("model_unreachable", model=MODEL),
    }
    return words.sentences | filled


def words_of(request):
    return words_for(request.headers.get("accept-language") if request else None)


i18n = gr.I18n(**{language: page_words(words) for language, words in LANGUAGES.items()})

# What happens: radiographs are read here, so that a GPU is held for the computation only


def on_gpu(function):
    """Run it where Spaces lends GPUs (ZeroGPU); elsewhere the function itself."""
    return spaces.GPU(duration=GPU_SECONDS)(function) if spaces and "SPACE_ID" in os.environ else function


@on_gpu
def analysed(radiograph):
    return pipe(radiograph)


@on_gpu
def explained(radiograph):
    return pipe.analyse_and_explain(radiograph)


@on_gpu
def walked(radiograph):
    return walk(pipe, radiograph)


def analyze_chest_xray(radiograph):
    """Analyse a frontal chest X-ray (PNG, JPEG, TIFF, DICOM, …). For research and education; not a medical device.

    Args:
        radiograph: a PNG, JPEG, WebP, TIFF, BMP or DICOM file.

    Returns:
        findings (each with its calibrated probability, the threshold from which it counts as detected, and how often
        the model is right at it), warnings (no findings are told where the image is unfit), and the lungs' area.
    """
    try:
        return analysed(load_radiograph(radiograph)).to_dict()
    except RadiographError as error:
        raise gr.Error(str(error), print_exception=False) from error


def cleared(path, request: gr.Request):
    """The page as a new file arrives, or as the old one is taken away: no stale answer may stand beside it."""
    busy = f'<div class="busy" role="status">{escape(words_of(request)("busy"))}</div>'
    return gr.Markdown(visible=path is None), gr.HTML(busy, visible=path is not None), UPRIGHT, ""


def answered(path, correction, request: gr.Request):
    """The answer for the file at `path`, turned or inverted first."""
    words = words_of(request)
    if path is None:
        return ""
    try:
        analysis, saliency = explained(set_right(load_radiograph(path), correction))
    except RadiographError as error:
        known = Path(path).exists()
        return message_html(f"{error}." if known else words("deleted"))
    return answer_html(words, analysis, saliency, correction)


def corrected(path, event: gr.EventData, request: gr.Request):
    """The answer for the radiograph as a button of the answer wants it, and that correction."""
    angle, invert = int(event.angle), bool(event.invert)
    correction = Correction(180 - (180 - angle) % 360, invert)
    return answered(path, correction, request), correction


def stepped(path, correction, request: gr.Request):
    """The way of the same radiograph through the model."""
    words = words_of(request)
    if path is None or not pipe.findings:
        return gr.Markdown(visible=True), ""
    try:
        steps = walked(set_right(load_radiograph(path), correction))
    except RadiographError:
        return gr.Markdown(visible=True), ""
    return gr.Markdown(visible=False), steps_html(words, steps)


def compared(first, second, request: gr.Request):
    """Two radiographs side by side, once both are there."""
    if not first or not second:
        return ""
    try:
        analyses = [analysed(load_radiograph(path)) for path in (first, second)]
    except RadiographError as error:
        return message_html(f"{error}.")
    return comparison_html(words_of(request), *analyses)


def analysed_all(paths, request: gr.Request, progress=gr.Progress()):  # noqa: B008 (Gradio's way)
    """A table of many files, the bad ones with their reason, and a link that saves it."""
    words, rows = words_of(request), []
    if not paths:
        return gr.Dataframe(visible=False), ""
    try:
        radiographs = radiographs_in(paths)
    except RadiographError as error:
        return gr.Dataframe(visible=False), message_html(f"{error}.")
    for name, read in progress.tqdm(radiographs, desc=words("batch_progress"), unit=""):
        try:
            rows.append(batch_row(words, name, analysed(load_radiograph(read()))))
        except RadiographError as error:
            rows.append(batch_row(words, name, error=str(error).split(": ", 1)[-1]))
    titles, cells = batch_table(words, pipe.findings, rows)
    table = {"headers": titles, "data": cells}
    widths = [WIDE, WIDE, WIDE, *[NARROW] * len(pipe.findings), 2 * WIDE]
    shown = gr.Dataframe(table, label=words("batch_title"), column_widths=widths, visible=True)
    return shown, csv_html(words, titles, cells)


def opened(request: gr.Request):
    """What a page begins with: the example its address asks for (?example=NAME), and real ones if there are any."""
    name = request.query_params.get("example")
    path = next((str(path) for path in EXAMPLES if name == example_name(path)), gr.skip())
    return path, gr.Markdown(visible=bool(fetched)), gr.HTML(examples_html(fetched), visible=bool(fetched))


def chosen(event: gr.EventData):
    return next(str(path) for path in EXAMPLES + fetched if path.name == event.example)


# What it looks like


def example_name(path):
    return path.stem.removeprefix("phantom_")


def examples_html(paths):
    return f'<div class="examples">{"".join(map(example_html, paths))}</div>'


@cache
def example_html(path):
    """A button with a small picture of an example."""
    small = grey_image(load_radiograph(path).pixels)
    small.thumbnail((160, 160))
    caption = escape(example_name(path).replace("_", " "))
    return f'<button value="{escape(path.name)}"><img src="{picture_address(small, "JPEG")}" alt="">{caption}</button>'


def card():
    """The model's card without its front matter, its pictures within it."""
    folder = Path(MODEL) if MODEL and asked_for else BUNDLED
    if not (folder / "README.md").is_file():
        return f"https://huggingface.co/{MODEL}"
    text = re.sub(r"\A---\n.*?\n---\n", "", (folder / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"!\[(.*?)\]\((.*?)\)", lambda link: card_picture(folder, *link.groups()), text)


def card_picture(folder, alternative, name):
    picture = folder / name
    return f"![{alternative}]({data_address(picture.read_bytes(), 'image/png')})" if picture.is_file() else alternative


SNIPPETS = """
```text
<iframe src="https://OWNER-NAME.hf.space/?view=embed" width="100%" height="900"></iframe>

<script type="module" src="https://gradio.s3-us-west-2.amazonaws.com/VERSION/gradio.js"></script>
<gradio-app src="https://OWNER-NAME.hf.space"></gradio-app>
```

```text
from gradio_client import Client, handle_file

client = Client("https://OWNER-NAME.hf.space")
print(client.predict(radiograph=handle_file("xray.png"), api_name="/analyze"))
```

```text
@software{lungfusion, title = {LungFusion}, version = {LUNGFUSION}, year = {2026}, license = {Apache-2.0}}
```
""".replace("VERSION", gr.__version__).replace("LUNGFUSION", lungfusion.__version__)
EXAMPLES_JS = """
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) trigger("click", {example: button.value});
});
"""
PAGE_JS = """
() => {
  if (new URLSearchParams(location.search).get("view") === "embed") document.body.classList.add("embed");
  document.addEventListener("paste", event => {
    const input = document.querySelector("#upload input[type=file]");
    if (!input || !event.clipboardData.files.length) return;
    input.files = event.clipboardData.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
  });
}
"""
SHOW_ANSWER_JS = '() => document.querySelector("#answer").scrollIntoView({block: "nearest"})'  # on a phone it is below
ANSWER_JS = (LOOKS / "page.js").read_text(encoding="utf-8")
THEME = gr.themes.Base(
    primary_hue="sky", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    button_primary_background_fill="#005a8d",
    button_primary_background_fill_hover="#00456d",
    button_primary_background_fill_dark="#005a8d",
    button_primary_background_fill_hover_dark="#00456d",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
)

# The page

with gr.Blocks(title="LungFusion", analytics_enabled=False, delete_cache=(60, 60 * (KEPT_MINUTES - 1))) as demo:
    with gr.Column(elem_classes="header"):
        gr.HTML("<h1>LungFusion</h1>")
        gr.Markdown(i18n("purpose"))
        gr.Markdown(i18n("notice"))
        gr.Markdown(i18n("model_unreachable"), elem_classes="message", visible=not asked_for)
    with gr.Tab(i18n("tab_analyse")), gr.Row():
        with gr.Column(scale=1, min_width=280):
            # no file_types: DICOM files often have no ending, and `load_radiograph` tells by content
            upload = file_field(label=i18n("upload"), height=180, elem_id="upload")
            gr.Markdown(i18n("formats"), elem_classes="small")
            gr.Markdown(i18n("privacy"), elem_classes="small")
            gr.Markdown(i18n("examples_drawn"), visible=bool(EXAMPLES))
            shown = {"js_on_load": EXAMPLES_JS, "apply_default_css": False}
            drawn = gr.HTML(examples_html(EXAMPLES), visible=bool(EXAMPLES), **shown)
            real_words = gr.Markdown(i18n("examples_real"), visible=False)
            real = gr.HTML(visible=False, **shown)
        with gr.Column(scale=3, min_width=320):
            welcome = gr.Markdown(i18n("welcome"), elem_classes="welcome")
            answer = gr.HTML(visible=False, elem_id="answer", js_on_load=ANSWER_JS, apply_default_css=False)
    with gr.Tab(i18n("tab_steps")) as steps_tab:
        steps_hint = gr.Markdown(i18n("steps_hint" if pipe.findings else "steps_none"))
        steps = gr.HTML(apply_default_css=False)
    with gr.Tab(i18n("tab_compare")):
        gr.Markdown(i18n("compare_hint"))
        with gr.Row():
            first = file_field(label=i18n("compare_first"), height=140)
            second = file_field(label=i18n("compare_second"), height=140)
        comparison = gr.HTML(apply_default_css=False)
    with gr.Tab(i18n("tab_batch")):
        batch = file_field(label=i18n("batch_upload"), file_count="multiple", height=180)
        batch_run = gr.Button(i18n("batch_run"), variant="primary")
        table = gr.Dataframe(visible=False, interactive=False, wrap=True)
        table_link = gr.HTML(apply_default_css=False)
    with gr.Tab(i18n("tab_about")):
        gr.Markdown(i18n("about"))
        gr.Markdown(SNIPPETS)
        with gr.Accordion(i18n("about_card"), open=False) as card_fold:
            card_text = gr.Markdown()

    correction = gr.State(UPRIGHT)
    one_at_a_time = {"concurrency_id": "model", "trigger_mode": "always_last", "api_visibility": "private"}
    demo.load(opened, None, [upload, real_words, real], queue=False, api_visibility="private")
    # what carries event data is never replayed: Gradio would replay it with the data of an earlier click
    every_one = {"trigger_mode": "multiple", "api_visibility": "private"}
    gr.on([drawn.click, real.click], chosen, None, upload, queue=False, **every_one)
    clearing = upload.change(
        cleared, upload, [welcome, answer, correction, steps], queue=False, api_visibility="private"
    )
    answering = clearing.then(answered, [upload, correction], answer, show_progress="hidden", **one_at_a_time)
    answering.then(None, js=SHOW_ANSWER_JS)
    turned = [answer, correction]
    answer.click(corrected, upload, turned, show_progress_on=answer, concurrency_id="model", **every_one)
    card_fold.expand(card, None, card_text, queue=False, api_visibility="private")  # it is large, and few read it
    steps_tab.select(stepped, [upload, correction], [steps_hint, steps], **one_at_a_time)
    gr.on([first.change, second.change], compared, [first, second], comparison, **one_at_a_time)
    batch_run.click(analysed_all, batch, [table, table_link], api_visibility="private")
    gr.on(
        [],
        analyze_chest_xray,
        file_field(label="radiograph", visible=False),
        gr.JSON(label="analysis", visible=False),
        api_name="analyze",
        concurrency_id="model",
    )

demo.queue(max_size=20, default_concurrency_limit=1)

if __name__ == "__main__":
    threading.Thread(target=fetch_examples, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C
    demo.launch(
        theme=THEME,
        css_paths=LOOKS / "style.css",
        js=PAGE_JS,
        i18n=i18n,
        favicon_path=LOOKS / "icon.png",
        max_file_size="100mb",
        allowed_paths=[str(EXAMPLES_FOLDER), fetched_folder.name],
        footer_links=["api"],
        run_history=False,  # would keep analyses in the visitor's browser
        mcp_server=True,
        app_kwargs={"middleware": [Middleware(NoProxy)]},
    )
    delete_files_created_by_app(demo, age=None)  # Gradio does so too, but not while a visitor stays connected
