"""The page: what stands where, and which handler answers what."""

from functools import partial
from io import BytesIO
from types import SimpleNamespace

import gradio as gr
from PIL import Image
from starlette.middleware import Middleware

from ..visualization import data_address
from .answers import Request
from .card import about_html, model_card
from .front import PLACEHOLDERS, REMARK, InVisitorsLanguage, Packed, words_of
from .gradio_compat import (
    KEPT_MINUTES,
    MAX_FILE_SIZE,
    TRUSTED,
    NoProxy,
    delete_uploads,
    file_field,
    patch_mcp,
    patch_server,
)
from .lessons import Lessons, connect_lessons, lessons_tab
from .many import ManyFiles, many_tab
from .view.render import LOOKS, render
from .view.start import cards_html
from .view.words import LANGUAGES

THEME = gr.themes.Base(
    primary_hue="sky", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
ANSWERED_JS = "() => window.lungfusion?.answered()"
SENT_JS = "() => { window.dispatchEvent(new Event('lungfusion:sent')) }"
SESSIONS = 2000  # visitors and calls whose page is kept, 0.1 MiB each: Gradio would keep 10,000
MARK_SIDE = 60  # pixels: 30 on screens of double density
QUEUE = 40  # who may wait: a class and its teacher
ROOMS = ("analyse", "steps", "compare", "many", "about")
PRIVATE = {"api_visibility": "private"}
UNQUEUED = {"queue": False, "show_progress": "hidden", **PRIVATE}  # else Gradio dims what is about to change
# what carries event data is never replayed: Gradio would replay it with the data of an earlier click
EVERY_ONE = {"trigger_mode": "multiple", **PRIVATE}
ONE_AT_A_TIME = {"concurrency_id": "model", "trigger_mode": "always_last", **PRIVATE}
PLAIN = {"apply_default_css": False}


def script(*names):
    return REMARK.sub("", "".join((LOOKS / f"{name}.js").read_text(encoding="utf-8") for name in names))


def page_words(words, handlers, model):
    """The sentences that stand on the page from the start, filled, and the first screen (HTML): key → text.

    Args:
        words: `Words`.
        handlers: `Handlers`.
        model: the name that was asked for.
    """
    filled = {
        "start": handlers.start(words),
        "cards": cards_html(words, handlers.examples),
        "privacy": words("privacy", minutes=KEPT_MINUTES),
        "model_unreachable": words("model_unreachable", model=model),
        "about": words("about", joined=words(f"joined_{handlers.concatenation}"), minutes=KEPT_MINUTES),
    }
    return words.sentences | filled


def build_page(pipe, handlers, model=None, asked_for=True):
    """The page as `gr.Blocks`, not launched; `serve` and `mount` show it.

    Args:
        pipe: `LungFusionPipeline`.
        handlers: `Handlers`.
        model: folder or id on the Hub that was asked for; None for the bundled one.
        asked_for: whether that is the one that answers.
    """
    delete_cache = (60, 60 * (KEPT_MINUTES - 1))
    header = header_html(asked_for)
    with gr.Blocks(title="LungFusion", analytics_enabled=False, delete_cache=delete_cache) as demo:
        gr.HTML(header, **PLAIN)
        with gr.Tabs(elem_id="rooms") as tabs:  # the links of the header choose one
            with gr.Tab("analyse", id="analyse", elem_id="room-analyse"):
                analyse = analyse_room(handlers)
            with gr.Tab("steps", id="steps", elem_id="room-steps") as steps_front:
                lessons = Lessons(pipe, handlers)
                parts = lessons_tab(lessons, [script(name) for name in ("steps", "people", "quiz")])
            with gr.Tab("compare", id="compare", elem_id="room-compare"):
                compare = compare_room(handlers)
            with gr.Tab("many", id="many", elem_id="room-many"):
                many = ManyFiles(handlers)
                files, table = many_tab(many, script("batch"))
            with gr.Tab("about", id="about", elem_id="room-about") as about:
                about_room(about, model if asked_for else None)
        opening = row_opening(handlers, many, files, table, analyse.upload, tabs)
        path, asked = connect(demo, handlers, analyse, parts, opening)
        connect_lessons(demo, lessons, steps_front, parts, path, asked, ONE_AT_A_TIME)
        compare_with = hidden_button("compare-with")
        compare_with.click(handlers.compare_with, path, [*compare, tabs], **UNQUEUED)
        demo.load(room_of, None, tabs, **UNQUEUED)
        api(handlers)
    demo.sentences = partial(page_words, handlers=handlers, model=model)
    demo.first = render("first.html", header=header, words=PLACEHOLDERS)
    return demo.queue(max_size=QUEUE, default_concurrency_limit=1)


def room_of(request: gr.Request):
    """The room that the address asks for (?tab=NAME)."""
    name = request.query_params.get("tab")
    return gr.Tabs(selected=name) if name in ROOMS else gr.skip()


def settings(demo, examples):
    """What a page is served with, by itself or within another app."""
    patch_mcp()
    preview = {"sentences": demo.sentences, "first": demo.first, "preview": str(LOOKS / "preview.jpg")}
    middleware = [Middleware(NoProxy), Middleware(Packed), Middleware(InVisitorsLanguage, **preview)]
    return {
        "theme": THEME,
        "js": script("page"),
        "favicon_path": str(LOOKS / "icon.png"),
        "max_file_size": MAX_FILE_SIZE,
        "allowed_paths": [str(examples.folder), examples.files.name, str(LOOKS / "preview.jpg")],
        "footer_links": [],
        "run_history": False,  # would keep analyses in the visitor's browser
        "mcp_server": True,
        "app_kwargs": {"middleware": middleware},
    }


def launch(demo, examples, once_served):
    """Serve the page until the process is told to end, and leave nothing behind; `once_served` is called meanwhile."""
    patch_server()
    demo.launch(state_session_capacity=SESSIONS, prevent_thread_lock=True, **TRUSTED, **settings(demo, examples))
    try:
        once_served()
        demo.block_thread()
    finally:
        delete_uploads(demo)


def mount(app, demo, examples, path):
    """The same page within another FastAPI app, at a path."""
    return gr.mount_gradio_app(app, demo, path, **settings(demo, examples))


def header_html(asked_for):
    return render("header.html", words=PLACEHOLDERS, languages=LANGUAGES, mark=mark(), rooms=ROOMS, asked_for=asked_for)


def mark():
    """The app's icon as the head of the page shows it: an address that holds it, for it stands there at first paint."""
    file = BytesIO()
    Image.open(LOOKS / "icon.png").resize((MARK_SIDE, MARK_SIDE)).save(file, "WEBP", quality=80)
    return data_address(file.getvalue(), "image/webp")


def hidden_button(name):
    return gr.Button(elem_id=name, elem_classes="unseen")


def analyse_room(handlers):
    upload = file_field(elem_id="upload", elem_classes="unseen")
    start = gr.HTML("@@start@@", elem_id="start", **PLAIN)
    scripts = script("zoom", "viewer", "answer", "files", "cut_out")
    answer = gr.HTML(visible=False, elem_id="answer", js_on_load=scripts, **PLAIN)
    return SimpleNamespace(upload=upload, start=start, answer=answer)


def connect(demo, handlers, analyse, steps, row_opening):
    """The events of one radiograph: it arrives, is answered, and turned.

    Returns:
        states: its path, and what is asked about it.
    """
    upload, answer = analyse.upload, analyse.answer
    path, asked = gr.State(), gr.State(Request())
    restart = hidden_button("restart")
    example = gr.HTML(elem_id="chooser", elem_classes="unseen", js_on_load=script("chooser"), **PLAIN)
    outputs = [upload, path, analyse.start, answer, asked, steps.shown]
    beginnings = [
        demo.load(handlers.on_open, None, outputs, **UNQUEUED),
        example.click(handlers.on_example, None, outputs, queue=False, show_progress="hidden", **EVERY_ONE),
        upload.upload(handlers.on_upload, upload, outputs, **UNQUEUED),
        restart.click(handlers.on_restart, None, outputs, **UNQUEUED),
        row_opening(outputs),
    ]
    upload.upload(None, js="() => window.lungfusion?.address({example: null})")
    for beginning in beginnings:
        answering = beginning.then(handlers.answered, [path, asked], answer, show_progress="hidden", **ONE_AT_A_TIME)
        answering.then(None, js=ANSWERED_JS)
    again = {"show_progress": "hidden", "concurrency_id": "model", **EVERY_ONE}
    answer.click(handlers.asked_again, path, [answer, asked], **again).then(None, js=ANSWERED_JS)
    sent = [gr.HTML(elem_id=name, elem_classes="unseen") for name in ("pixels", "file")]
    sending = answer.submit(
        handlers.on_file_request, [path, asked], sent, show_progress="hidden", concurrency_id="model", **EVERY_ONE
    )
    sending.then(None, js=SENT_JS)
    return path, asked


def compare_room(handlers):
    gr.HTML(render("compare_fields.html", words=PLACEHOLDERS), **PLAIN)
    first, second = (file_field(elem_id=f"compare-{name}", elem_classes="unseen") for name in ("first", "second"))
    comparison = gr.HTML(js_on_load=script("zoom", "comparison"), elem_id="comparison", **PLAIN)
    gr.on([first.change, second.change], handlers.compared, [first, second], comparison, **ONE_AT_A_TIME)
    exchange = hidden_button("exchange")
    exchange.click(lambda one, other: (other, one), [first, second], [first, second], **UNQUEUED)
    return first, second


def row_opening(handlers, many, files, table, upload, tabs):
    """The event of a row that is opened, for its outputs: its answer is that of an upload, in the first room."""

    def opened(paths, event: gr.EventData, request: gr.Request):
        path = many.chosen(paths, upload, event.name)
        return *handlers.reset_outputs(path, request), gr.Tabs(selected="analyse")

    return lambda outputs: table.click(
        opened, files, [*outputs, tabs], queue=False, show_progress="hidden", **EVERY_ONE
    )


def about_room(tab, model):
    """Few read it: it and Gradio's Markdown, 30 kB, are loaded when the tab is opened; the card, when unfolded."""
    said = gr.Markdown(PLACEHOLDERS("about"), elem_id="about-words", visible=False)
    shown = gr.HTML(js_on_load=script("about"), elem_id="about", **PLAIN)
    with gr.Accordion(PLACEHOLDERS("about_card"), open=False) as fold:
        card = gr.Markdown(visible=False)

    def opened(request: gr.Request):
        return about_html(words_of(request), model), gr.Markdown(visible=True)

    tab.select(opened, None, [shown, said], **UNQUEUED)
    fold.expand(lambda: gr.Markdown(model_card(model), visible=True), None, card, **UNQUEUED)


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
