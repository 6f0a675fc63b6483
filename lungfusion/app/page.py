"""The page: what stands where, and which handler answers what."""

from functools import partial
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from starlette.middleware import Middleware

from ..visualization import data_address
from .answers import Request
from .card import about_html, model_card, preview_head
from .examples import examples_html
from .gradio_compat import KEPT_MINUTES, MAX_FILE_SIZE, NoProxy, delete_uploads, file_field, patch_mcp
from .handlers import words_of
from .lessons import Lessons, connect_lessons, lessons_tab
from .many import ManyFiles, many_tab
from .view.render import render
from .view.words import LANGUAGES

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
LOOKS = Path(str(files("lungfusion.app.view")))  # style, scripts and icon of the page
ANSWERED_JS = "() => window.lungfusion?.answered()"
SENT_JS = "() => { window.dispatchEvent(new Event('lungfusion:sent')) }"
SESSIONS = 2000  # visitors and calls whose page is kept, 0.1 MiB each: Gradio would keep 10,000
TABS = ("analyse", "steps", "compare", "many", "about")
PRIVATE = {"api_visibility": "private"}
UNQUEUED = {"queue": False, **PRIVATE}
# what carries event data is never replayed: Gradio would replay it with the data of an earlier click
EVERY_ONE = {"trigger_mode": "multiple", **PRIVATE}
ONE_AT_A_TIME = {"concurrency_id": "model", "trigger_mode": "always_last", **PRIVATE}


def script(name):
    return (LOOKS / name).read_text(encoding="utf-8")


def page_words(words, findings, concatenation, model):
    """The sentences that stand on the page from the start, filled.

    Args:
        words: `Words`.
        findings: names of the model's findings.
        concatenation: the way it joins image and mask.
        model: the name that was asked for.
    """
    filled = {
        "purpose": words("purpose" if findings else "purpose_lungs"),
        "privacy": words("privacy", minutes=KEPT_MINUTES),
        "model_unreachable": words("model_unreachable", model=model),
        "about": words("about", joined=words(f"joined_{concatenation}"), minutes=KEPT_MINUTES),
    }
    return words.sentences | filled


class Texts:
    """What stands on the page from the start: each text in the browser's language, or in that of the address.

    Args:
        sentences: language → key → sentence.
    """

    def __init__(self, sentences):
        self.sentences = sentences
        self.i18n = gr.I18n(**sentences)
        self.places = []  # (component, name of its property, key)

    def __call__(self, key, component, **settings):
        """A Markdown, or another component that bears the text as its label or value."""
        name = "value" if component in (gr.Markdown, gr.Button) else "label"
        made = component(**{name: self.i18n(key)}, **settings)
        self.places.append((made, name, key))
        return made

    def in_language(self, request: gr.Request):
        """An update for every text: in the language the address names; nothing where it names none."""
        chosen = self.sentences.get(request.query_params.get("lang"))
        if not chosen:
            return [gr.skip()] * len(self.places)
        return [gr.update(**{name: chosen[key]}) for _, name, key in self.places]


def build_page(pipe, handlers, model=None, asked_for=True):
    """The page as `gr.Blocks`, not launched.

    Args:
        pipe: `LungFusionPipeline`.
        handlers: `Handlers`.
        model: folder or id on the Hub that was asked for; None for the bundled one.
        asked_for: whether that is the one that answers.
    """
    filled = {
        name: page_words(words, handlers.findings, handlers.concatenation, model) for name, words in LANGUAGES.items()
    }
    texts = Texts(filled)
    delete_cache = (60, 60 * (KEPT_MINUTES - 1))
    with gr.Blocks(title="LungFusion", analytics_enabled=False, delete_cache=delete_cache) as demo:
        header(texts, asked_for)
        with gr.Tabs() as tabs:
            with texts("tab_analyse", gr.Tab, id="analyse") as analyse_front, gr.Row():
                analyse = analyse_tab(texts, handlers.examples.drawn)
            with texts("tab_steps", gr.Tab, id="steps") as steps_front:
                lessons = Lessons(pipe, handlers)
                parts = lessons_tab(texts, lessons, [script(f"{name}.js") for name in ("steps", "people", "quiz")])
            with texts("tab_compare", gr.Tab, id="compare") as compare_front:
                compare = compare_tab(texts, handlers)
            with texts("tab_batch", gr.Tab, id="many") as many_front:
                many = ManyFiles(handlers)
                files, table = many_tab(texts, many, script("batch.js"))
            with texts("tab_about", gr.Tab, id="about") as about_front:
                about_tab(demo, texts, model if asked_for else None)
        opening = row_opening(handlers, many, files, table, analyse.upload, tabs)
        path, asked = connect(demo, handlers, analyse, parts, opening)
        connect_lessons(demo, lessons, steps_front, parts, path, asked, ONE_AT_A_TIME)
        compare_with = gr.Button(elem_id="compare-with", elem_classes="unseen")
        compare_with.click(handlers.compare_with, path, [*compare, tabs], **UNQUEUED)
        for tab in (analyse_front, steps_front, compare_front, many_front, about_front):
            place = "" if tab is analyse_front else tab.id
            tab.select(None, js=f"() => window.lungfusion?.address({{tab: '{place}'}})")
        demo.load(tab_of, None, tabs, **UNQUEUED)
        demo.load(texts.in_language, None, [place for place, _, _ in texts.places], **UNQUEUED)
        api(handlers)
    demo.i18n_instance = texts.i18n
    return demo.queue(max_size=20, default_concurrency_limit=1)


def tab_of(request: gr.Request):
    """The tab that the address asks for (?tab=NAME)."""
    name = request.query_params.get("tab")
    return gr.Tabs(selected=name) if name in TABS else gr.skip()


def launch(demo, examples):
    """Serve the page until the process is told to end, and leave nothing behind."""
    patch_mcp()
    demo.launch(
        theme=THEME,
        css_paths=sorted(LOOKS.glob("*.css")),
        js=script("page.js"),
        head=preview_head(examples.drawn[0]),
        i18n=demo.i18n_instance,
        favicon_path=LOOKS / "icon.png",
        max_file_size=MAX_FILE_SIZE,
        allowed_paths=[str(examples.folder), examples.fetched_folder.name],
        footer_links=["api"],
        state_session_capacity=SESSIONS,
        run_history=False,  # would keep analyses in the visitor's browser
        mcp_server=True,
        app_kwargs={"middleware": [Middleware(NoProxy)]},
    )
    delete_uploads(demo)


def header(texts, asked_for):
    with gr.Column(elem_classes="header"):
        icon = data_address((LOOKS / "icon.png").read_bytes(), "image/png")
        gr.HTML(render("header.html", languages=LANGUAGES, icon=icon))
        texts("purpose", gr.Markdown)
        texts("notice", gr.Markdown)
        texts("model_unreachable", gr.Markdown, elem_classes="message", visible=not asked_for)
    texts("embed_line", gr.Markdown, elem_classes="embed-line")


def analyse_tab(texts, drawings):
    buttons = {"js_on_load": script("examples.js"), "apply_default_css": False}
    with gr.Column(scale=1, min_width=280, elem_classes="intake"):
        upload = texts("upload", file_field, height=200, elem_id="upload")
        texts("formats", gr.Markdown, elem_classes="small")
        texts("privacy", gr.Markdown, elem_classes="small")
        texts("examples_drawn", gr.Markdown, visible=bool(drawings))
        drawn = gr.HTML(examples_html(drawings), visible=bool(drawings), **buttons)
        real_words = texts("examples_real", gr.Markdown, visible=False)
        real = gr.HTML(visible=False, **buttons)
    with gr.Column(scale=3, min_width=320):
        welcome = texts("welcome", gr.Markdown, elem_classes="welcome")
        scripts = "".join(map(script, ("zoom.js", "viewer.js", "answer.js", "files.js", "cut_out.js")))
        answer = gr.HTML(visible=False, elem_id="answer", js_on_load=scripts, apply_default_css=False)
    return SimpleNamespace(upload=upload, drawn=drawn, real_words=real_words, real=real, welcome=welcome, answer=answer)


def connect(demo, handlers, analyse, steps, row_opening):
    """The events of one radiograph: it arrives, is answered, and turned.

    Returns:
        states: its path, and what is asked about it.
    """
    upload, answer = analyse.upload, analyse.answer
    path, asked = gr.State(), gr.State(Request())
    restart = gr.Button(elem_id="restart", elem_classes="unseen")
    begun = [upload, path, analyse.welcome, answer, asked, steps.shown]
    real = [analyse.real_words, analyse.real]
    beginnings = [
        demo.load(handlers.on_open, None, begun + real, **UNQUEUED),
        gr.on([analyse.drawn.click, analyse.real.click], handlers.on_example, None, begun, queue=False, **EVERY_ONE),
        upload.upload(handlers.on_upload, upload, begun, **UNQUEUED),
        restart.click(handlers.on_restart, None, begun, **UNQUEUED),
        row_opening(begun),
    ]
    upload.upload(None, js="() => window.lungfusion?.address({example: null})")
    for beginning in beginnings:
        answering = beginning.then(handlers.answered, [path, asked], answer, show_progress="hidden", **ONE_AT_A_TIME)
        answering.then(None, js=ANSWERED_JS)
    again = {"show_progress_on": answer, "concurrency_id": "model", **EVERY_ONE}
    answer.click(handlers.asked_again, path, [answer, asked], **again).then(None, js=ANSWERED_JS)
    sent = [gr.HTML(elem_id=name, elem_classes="unseen") for name in ("pixels", "file")]
    sending = answer.submit(
        handlers.on_file_request, [path, asked], sent, show_progress="hidden", concurrency_id="model", **EVERY_ONE
    )
    sending.then(None, js=SENT_JS)
    return path, asked


def compare_tab(texts, handlers):
    texts("compare_hint", gr.Markdown)
    with gr.Row():
        first = texts("compare_first", file_field, height=140)
        second = texts("compare_second", file_field, height=140)
    scripts = script("zoom.js") + script("comparison.js")
    comparison = gr.HTML(js_on_load=scripts, apply_default_css=False)
    gr.on([first.change, second.change], handlers.compared, [first, second], comparison, **ONE_AT_A_TIME)
    exchange = gr.Button(elem_id="exchange", elem_classes="unseen")
    exchange.click(lambda one, other: (other, one), [first, second], [first, second], **UNQUEUED)
    return first, second


def row_opening(handlers, many, files, table, upload, tabs):
    """The event of a row that is opened, for its outputs: its answer is that of an upload, in the first tab."""

    def opened(paths, event: gr.EventData, request: gr.Request):
        path = many.chosen(paths, upload, event.name)
        return *handlers.reset_outputs(path, request), gr.Tabs(selected="analyse")

    return lambda begun: table.click(opened, files, [*begun, tabs], queue=False, **EVERY_ONE)


def about_tab(demo, texts, model):
    shown = gr.HTML(js_on_load=script("about.js"), apply_default_css=False)
    texts("about", gr.Markdown)
    with texts("about_card", gr.Accordion, open=False) as fold:
        card = gr.Markdown()

    def in_language(request: gr.Request):
        return about_html(words_of(request), model)

    demo.load(in_language, None, shown, **UNQUEUED)
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
