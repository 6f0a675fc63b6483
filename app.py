"""The web app: a page around the pipeline, and the same as an API. Start it with `python app.py`."""

import os
import signal
from html import escape
from pathlib import Path

try:
    import spaces  # lends a GPU on Hugging Face Spaces; it has to come before whatever uses one
except ImportError:
    spaces = None

import gradio as gr

from lungfusion import LungFusionPipeline, RadiographError, load_radiograph, view
from lungfusion.explanation import share_inside

KEPT_MINUTES = 15  # how long Gradio keeps an uploaded file and the pictures made of it
EXAMPLES_FOLDER = Path(__file__).parent / "examples" / "radiographs"
EXAMPLES = sorted(path for path in EXAMPLES_FOLDER.glob("*") if path.suffix in (".png", ".dcm"))

pipe = LungFusionPipeline.from_pretrained(os.environ.get("LUNGFUSION_MODEL") or None)

# What the page says

LOOKED_FOR = view.listed([view.phrase(name) for name in pipe.findings])
PURPOSE = "Outlines the lungs in a chest X-ray" + (f" and looks for {LOOKED_FOR}." if LOOKED_FOR else ".")
NOTICE = "For research and education. Not a medical device."
FORMATS = "PNG, JPEG, TIFF, WebP, BMP or DICOM, up to 100 MB."
PRIVACY = (
    f"Your image is analysed on this server and deleted within {KEPT_MINUTES} minutes. "
    "It is not shared and not used for training."
)
HEADER = f'<h1>LungFusion</h1><p>{PURPOSE}</p><p class="notice">{NOTICE}</p>'
WELCOME = """
<div class="welcome"><p>The answer appears here:</p><ul>
<li>the lungs, outlined and cut out</li>
<li>each finding with its probability, its threshold, and how often the model is right</li>
<li>where each score is sensitive, as a heat map</li>
<li>the mask and the numbers, to download</li></ul>
<p>Use a frontal chest X-ray.</p></div>
"""
BUSY = '<p class="welcome" role="status">Analysing the radiograph…</p>'
DELETED = "The image has been deleted meanwhile. Upload it again."

CSS = """
.html-container { padding: 0 !important; }
.header h1 { font-size: 1.9rem; font-weight: 700; margin: 0; }
.header p { margin: 0.2rem 0 0; }
.notice { font-weight: 600; }
.small { font-size: 0.85rem; color: var(--body-text-color-subdued); }
.welcome { padding: 1.5rem; border: 1px dashed var(--border-color-primary); border-radius: var(--radius-lg); }
.welcome ul { list-style: disc; margin: 0.5rem 0 0.5rem 1.2rem; }
.examples { display: grid; grid-template-columns: repeat(3, 1fr); gap: 0.5rem; margin-top: 0.4rem; }
.examples button { font-size: 0.8rem; overflow-wrap: anywhere; cursor: pointer; }
.examples img { width: 100%; border-radius: var(--radius-md); margin: 0 0 0.2rem; }
.examples button:is(:hover, :focus-visible) img { outline: 3px solid var(--color-accent); }
.message { padding: 0.8rem 1rem; border-left: 5px solid #d55e00; border-radius: var(--radius-md);
  background: var(--background-fill-secondary); overflow-wrap: anywhere; }
.report { display: grid; gap: 0.6rem; overflow-wrap: anywhere; }
.report :is(h2, h3, p) { margin: 0; }
.report h2 { font-size: 1.35rem; font-weight: 700; }
.report h3 { font-weight: 600; display: flex; justify-content: space-between; }
.findings { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 0.8rem; }
.finding { padding: 0.8rem 1rem; border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg); }
.bar { position: relative; height: 0.9rem; margin: 0.6rem 0; border-radius: 0.45rem;
  background: var(--border-color-primary); }
.fill { height: 100%; border-radius: inherit; background: #0072b2; }
.detected .fill { background: #d55e00; }
.threshold { position: absolute; top: -0.25rem; bottom: -0.25rem; width: 3px; margin-left: -1.5px;
  background: var(--body-text-color); }
.picture label { position: static !important; border: none !important; } /* else it hides a corner of the picture */
.picture .image-container { position: static; }
.downloads { display: flex; flex-wrap: wrap; gap: 0.6rem; }
.downloads a { padding: 0.5rem 1rem; border-radius: var(--radius-lg); color: var(--button-secondary-text-color);
  background: var(--button-secondary-background-fill); text-decoration: none; }
.downloads a:hover { background: var(--button-secondary-background-fill-hover); }
footer .divider { display: none; }
"""
THEME = gr.themes.Base(
    primary_hue="sky", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400")

# What happens: radiographs are read here, so that a GPU is held for the computation only


def on_gpu(function):
    """Run it where Spaces lends GPUs (ZeroGPU); elsewhere the function itself."""
    return spaces.GPU(function) if spaces and "SPACE_ID" in os.environ else function


@on_gpu
def analysed(radiograph):
    return pipe(radiograph)


@on_gpu
def explained(radiograph, finding):
    return pipe.analyse_and_explain(radiograph, finding)


def analyze(radiograph):
    """Analyse a chest X-ray: PNG, JPEG, WebP, TIFF, BMP or DICOM. Returns findings, warnings and the lungs' area."""
    try:
        return analysed(load_radiograph(radiograph)).to_dict()
    except RadiographError as error:
        raise gr.Error(str(error), print_exception=False) from error


def cleared(path):
    """The page as a new file arrives, or as the old one is taken away: no stale answer may stand beside it."""
    return {report: BUSY if path else WELCOME, pictures: gr.Column(visible=False)}


def answered(path):
    """The page with the answer for the file at `path`."""
    if path is None:
        return cleared(path)
    try:
        analysis = analysed(load_radiograph(path))
    except RadiographError as error:
        return {report: view.message_html(f"{error}.")}
    return {
        report: view.report_html(analysis),
        pictures: gr.Column(visible=True),
        tabs: gr.Tabs(selected="lungs"),
        outline: view.overlay_image(analysis),
        lungs: view.masked_image(analysis),
        mask: view.grey_image(analysis.alpha),
        downloads: view.downloads_html(analysis),
        heat_tab: gr.Tab(visible=bool(analysis.findings)),
        finding: None,
        heat_map: None,
        heat_words: "",
    }


def heated(path, name):
    """The heat map of one finding, and words on it."""
    try:
        analysis, saliency = explained(load_radiograph(path), name)
    except RadiographError:
        return None, view.message_html(DELETED)
    return view.saliency_image(analysis, saliency), view.saliency_html(name, share_inside(saliency, analysis.alpha))


def chosen(event: gr.EventData):
    return str(EXAMPLES[int(event.example)])


def example_html(number, path):
    """A button with a small picture of an example."""
    small = view.grey_image(load_radiograph(path).pixels)
    small.thumbnail((160, 160))
    caption = escape(path.stem.removeprefix("phantom_").replace("_", " "))
    return f'<button value="{number}"><img src="{view.picture_address(small)}" alt="">{caption}</button>'


def picture(label, alt_text):
    return gr.Image(
        label=label, alt_text=alt_text, format="png", interactive=False, buttons=["fullscreen"], elem_classes="picture"
    )


# The page

EXAMPLES_HTML = f"""
<p>Or try a drawing (no patient):</p>
<div class="examples">{"".join(example_html(*pair) for pair in enumerate(EXAMPLES))}</div>
"""
EXAMPLES_JS = """
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) trigger("click", {example: button.value});
});
"""
SHOW_REPORT_JS = '() => document.querySelector("#report").scrollIntoView({block: "nearest"})'  # on a phone it is below

with gr.Blocks(title="LungFusion", analytics_enabled=False, delete_cache=(60, 60 * (KEPT_MINUTES - 1))) as demo:
    gr.HTML(HEADER, elem_classes="header")
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            # no file_types: DICOM files often have no ending, and `load_radiograph` tells by content
            upload = gr.File(label="Chest X-ray", height=180)
            gr.HTML(f'<p class="small">{FORMATS} {PRIVACY}</p>')
            examples = gr.HTML(EXAMPLES_HTML, js_on_load=EXAMPLES_JS, apply_default_css=False, visible=bool(EXAMPLES))
        with gr.Column(scale=3, min_width=320):
            report = gr.HTML(WELCOME, elem_id="report")
            with gr.Column(visible=False) as pictures:
                with gr.Tabs() as tabs:
                    with gr.Tab("Lungs", id="lungs"), gr.Row():
                        outline = picture("Outline", "The radiograph with a line around the lungs")
                        lungs = picture("Background removed", "The lungs on black")
                    with gr.Tab("Mask"):
                        mask = picture("Mask", "The lung mask, white in the lungs")
                    with gr.Tab("Heat map") as heat_tab, gr.Row():
                        with gr.Column(scale=1, min_width=200):
                            finding = gr.Radio([(view.title(n), n) for n in pipe.findings], label="Show it for")
                            heat_words = gr.HTML()
                        with gr.Column(scale=2, min_width=280):
                            heat_map = picture("Heat map", "A heat map over the radiograph")
                downloads = gr.HTML()

    page = [report, pictures, tabs, outline, lungs, mask, downloads, heat_tab, finding, heat_map, heat_words]
    one_at_a_time = {"concurrency_id": "model", "trigger_mode": "always_last"}
    examples.click(chosen, None, upload, api_visibility="private")
    clearing = upload.change(cleared, upload, [report, pictures], queue=False, api_visibility="private")
    answering = clearing.then(
        answered, upload, page, show_progress_on=report, api_visibility="private", **one_at_a_time
    )
    answering.then(None, js=SHOW_REPORT_JS)
    finding.input(heated, [upload, finding], [heat_map, heat_words], api_visibility="private", **one_at_a_time)
    gr.on([], analyze, upload, gr.JSON(label="analysis", visible=False), api_name="analyze", concurrency_id="model")

demo.queue(max_size=20, default_concurrency_limit=1)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C: Gradio then deletes all it kept
    demo.launch(
        theme=THEME,
        css=CSS,
        max_file_size="100mb",
        allowed_paths=[str(EXAMPLES_FOLDER)],
        footer_links=["api"],
        run_history=False,  # would keep analyses in the visitor's browser
    )
