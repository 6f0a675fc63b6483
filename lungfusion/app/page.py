"""The page: what stands where, and which handler answers what."""

from functools import partial
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from gradio.route_utils import delete_files_created_by_app
from starlette.middleware import Middleware

from ..checks.orientation import UPRIGHT
from .card import SNIPPETS, model_card
from .examples import examples_html
from .theme import THEME
from .uploads import KEPT_MINUTES, MAX_FILE_SIZE, NoProxy, file_field
from .view.words import LANGUAGES

LOOKS = Path(str(files("lungfusion.app.view")))  # style, scripts and icon of the page
SHOW_ANSWER_JS = '() => document.querySelector("#answer").scrollIntoView({block: "nearest"})'  # on a phone it is below
PRIVATE = {"api_visibility": "private"}
UNQUEUED = {"queue": False, **PRIVATE}
# what carries event data is never replayed: Gradio would replay it with the data of an earlier click
EVERY_ONE = {"trigger_mode": "multiple", **PRIVATE}
ONE_AT_A_TIME = {"concurrency_id": "model", "trigger_mode": "always_last", **PRIVATE}


def script(name):
    return (LOOKS / name).read_text(encoding="utf-8")


def page_words(words, findings, model):
    """The sentences that stand on the page from the start: the browser picks those of its language."""
    filled = {
        "purpose": words("purpose", findings=words.listed(findings)) if findings else words("purpose_lungs"),
        "privacy": words("privacy", minutes=KEPT_MINUTES),
        "model_unreachable": words("model_unreachable", model=model),
    }
    return words.sentences | filled


def build_page(handlers, model=None, asked_for=True):
    """The page as `gr.Blocks`, not launched.

    Args:
        handlers: `Handlers`.
        model: folder or id on the Hub that was asked for; None for the bundled one.
        asked_for: whether that is the one that answers.
    """
    i18n = gr.I18n(**{name: page_words(words, handlers.findings, model) for name, words in LANGUAGES.items()})
    delete_cache = (60, 60 * (KEPT_MINUTES - 1))
    with gr.Blocks(title="LungFusion", analytics_enabled=False, delete_cache=delete_cache) as demo:
        header(i18n, asked_for)
        with gr.Tab(i18n("tab_analyse")), gr.Row():
            analyse = analyse_tab(i18n, handlers.examples.drawn)
        with gr.Tab(i18n("tab_steps")) as tab:
            steps = steps_tab(i18n, handlers.findings)
        connect(demo, handlers, analyse, tab, steps)
        with gr.Tab(i18n("tab_compare")):
            compare_tab(i18n, handlers)
        with gr.Tab(i18n("tab_batch")):
            batch_tab(i18n, handlers)
        with gr.Tab(i18n("tab_about")):
            about_tab(i18n, model if asked_for else None)
        api(handlers)
    demo.i18n_instance = i18n
    return demo.queue(max_size=20, default_concurrency_limit=1)


def launch(demo, examples):
    """Serve the page until the process is told to end, and leave nothing behind."""
    demo.launch(
        theme=THEME,
        css_paths=LOOKS / "style.css",
        js=script("page.js"),
        i18n=demo.i18n_instance,
        favicon_path=LOOKS / "icon.png",
        max_file_size=MAX_FILE_SIZE,
        allowed_paths=[str(examples.folder), examples.fetched_folder.name],
        footer_links=["api"],
        run_history=False,  # would keep analyses in the visitor's browser
        mcp_server=True,
        app_kwargs={"middleware": [Middleware(NoProxy)]},
    )
    delete_files_created_by_app(demo, age=None)  # Gradio does so too, but not while a visitor stays connected


def header(i18n, asked_for):
    with gr.Column(elem_classes="header"):
        gr.HTML("<h1>LungFusion</h1>")
        gr.Markdown(i18n("purpose"))
        gr.Markdown(i18n("notice"))
        gr.Markdown(i18n("model_unreachable"), elem_classes="message", visible=not asked_for)


def analyse_tab(i18n, drawings):
    buttons = {"js_on_load": script("examples.js"), "apply_default_css": False}
    with gr.Column(scale=1, min_width=280):
        upload = file_field(label=i18n("upload"), height=180, elem_id="upload")
        gr.Markdown(i18n("formats"), elem_classes="small")
        gr.Markdown(i18n("privacy"), elem_classes="small")
        gr.Markdown(i18n("examples_drawn"), visible=bool(drawings))
        drawn = gr.HTML(examples_html(drawings), visible=bool(drawings), **buttons)
        real_words = gr.Markdown(i18n("examples_real"), visible=False)
        real = gr.HTML(visible=False, **buttons)
    with gr.Column(scale=3, min_width=320):
        welcome = gr.Markdown(i18n("welcome"), elem_classes="welcome")
        answer = gr.HTML(visible=False, elem_id="answer", js_on_load=script("answer.js"), apply_default_css=False)
    return SimpleNamespace(upload=upload, drawn=drawn, real_words=real_words, real=real, welcome=welcome, answer=answer)


def steps_tab(i18n, findings):
    hint = gr.Markdown(i18n("steps_hint" if findings else "steps_none"))
    return SimpleNamespace(hint=hint, shown=gr.HTML(apply_default_css=False))


def connect(demo, handlers, analyse, tab, steps):
    """The events of one radiograph: it arrives, is answered, is turned, and shown step by step."""
    upload, answer = analyse.upload, analyse.answer
    correction = gr.State(UPRIGHT)
    demo.load(handlers.opened, None, [upload, analyse.real_words, analyse.real], **UNQUEUED)
    gr.on([analyse.drawn.click, analyse.real.click], handlers.chosen, None, upload, queue=False, **EVERY_ONE)
    emptied = [analyse.welcome, answer, correction, steps.shown]
    clearing = upload.change(handlers.cleared, upload, emptied, **UNQUEUED)
    asked = [upload, correction]
    answering = clearing.then(handlers.answered, asked, answer, show_progress="hidden", **ONE_AT_A_TIME)
    answering.then(None, js=SHOW_ANSWER_JS)
    turned = [answer, correction]
    answer.click(handlers.corrected, upload, turned, show_progress_on=answer, concurrency_id="model", **EVERY_ONE)
    tab.select(handlers.stepped, asked, [steps.hint, steps.shown], **ONE_AT_A_TIME)


def compare_tab(i18n, handlers):
    gr.Markdown(i18n("compare_hint"))
    with gr.Row():
        first = file_field(label=i18n("compare_first"), height=140)
        second = file_field(label=i18n("compare_second"), height=140)
    comparison = gr.HTML(apply_default_css=False)
    gr.on([first.change, second.change], handlers.compared, [first, second], comparison, **ONE_AT_A_TIME)


def batch_tab(i18n, handlers):
    batch = file_field(label=i18n("batch_upload"), file_count="multiple", height=180)
    run = gr.Button(i18n("batch_run"), variant="primary")
    table = gr.Dataframe(visible=False, interactive=False, wrap=True)
    link = gr.HTML(apply_default_css=False)
    run.click(handlers.analysed_all, batch, [table, link], **PRIVATE)


def about_tab(i18n, model):
    gr.Markdown(i18n("about"))
    gr.Markdown(SNIPPETS)
    with gr.Accordion(i18n("about_card"), open=False) as fold:
        card = gr.Markdown()
    fold.expand(partial(model_card, model), None, card, **UNQUEUED)  # it is large, and few read it


def api(handlers):
    """The one endpoint that is documented, for programs and language models."""
    gr.on(
        [],
        handlers.analyze_chest_xray,
        file_field(label="radiograph", visible=False),
        gr.JSON(label="analysis", visible=False),
        api_name="analyze",
        concurrency_id="model",
    )
