"""Many files: a workbench that analyses them, opens each one's answer, and compares the scores with labels."""

import threading
from pathlib import Path

import gradio as gr

from ..allocator import give_back_freed_memory
from ..reading.archive import radiographs_in
from ..reading.radiograph import RadiographError, load_radiograph
from .front import PLACEHOLDERS, words_of
from .gradio_compat import KEPT_MINUTES, as_if_uploaded, file_field
from .labels import LabelsError, agreement, read_labels
from .view.answer import message_html
from .view.batch import Batch
from .view.render import render

SHOWN_AFTER = 1.5  # the table is shown anew when it has grown by this factor


class ManyFiles:
    """The events of the tab.

    Args:
        handlers: `Handlers`.
    """

    def __init__(self, handlers):
        self.handlers = handlers
        self.stops = {}  # session → `threading.Event` that ends its run

    def analysed(self, paths, request: gr.Request):
        """Yield what is being done, the table of the files as it grows, and what it holds once it is whole or stopped.

        Yields:
            what is being done (HTML), the table (HTML), records, whether labels can be compared.
        """
        words, nothing = words_of(request), ([], gr.Column(visible=False))
        if not paths:
            yield "", message_html(words("batch_none")), *nothing
            return
        try:
            radiographs = radiographs_in(paths)
        except RadiographError as error:
            yield "", message_html(words.error(error)), *nothing
            return
        uploads = [Path(path).name for path in paths]
        batch = Batch(words, self.handlers.findings, self.handlers.made_by, uploads)
        stop = self.stops[request.session_hash] = threading.Event()
        try:
            yield from self.grown(batch, radiographs, stop)
        finally:
            if self.stops.get(request.session_hash) is stop:  # a later run of the session has its own
                del self.stops[request.session_hash]
            give_back_freed_memory()
        yield "", batch.html(), batch.records, gr.Column(visible=bool(self.handlers.findings and batch.counts["read"]))

    def grown(self, batch, radiographs, stop):
        """Fill the table file by file, until `stop` is set; yields as `analysed` does."""
        total, shown = len(radiographs), 1
        for number, (name, read) in enumerate(radiographs, 1):
            done = render("batch_progress.html", words=batch.words, done=number - 1, total=total, file=name)
            yield done, gr.skip() if number > 1 else "", gr.skip(), gr.skip()
            try:
                batch.add(name, self.handlers.answers.analyse(load_radiograph(read())))
            except RadiographError as error:
                batch.add_unreadable(name, error)
            if stop.is_set():
                return
            if number >= shown:
                shown = SHOWN_AFTER * number
                yield done, batch.html(finished=False), gr.skip(), gr.skip()

    def stopped(self, request: gr.Request):
        """End the session's run after the file in work; what is done stays."""
        if request.session_hash in self.stops:
            self.stops[request.session_hash].set()

    def chosen(self, paths, upload, name):
        """The path of a row's file; one of an archive is unpacked into the cache of the field `upload`, which Gradio
        empties, as if it had been uploaded there. None where it is gone.
        """
        try:
            read = dict(radiographs_in(paths or []))[name]()
        except (KeyError, RadiographError):
            return None
        if isinstance(read, bytes):
            return as_if_uploaded(read, Path(name).name, upload)
        return str(read)

    def compared(self, labels, records, request: gr.Request):
        """How well the scores agree with a file of labels."""
        words = words_of(request)
        if not labels:
            return ""
        try:
            findings = self.handlers.findings
            rows = agreement(records, read_labels(Path(labels).read_bytes(), findings), findings)
        except LabelsError as error:
            return message_html(words(error.key, **error.values))
        return render("agreement.html", words=words, rows=[agreement_row(words, row) for row in rows])


def agreement_row(words, row):
    """A row of `agreement` in words."""
    known = row["auc"] is not None
    return {
        "title": words.title(row["name"]),
        "auc": f"{row['auc']:.2f}" if known else words("auc_unknown"),
        "interval": "{:.2f} – {:.2f}".format(*row["interval"]) if known else "",
        "present": words("reached", number=row["found"], total=row["present"]),
        "absent": words("reached", number=row["named"], total=row["absent"]),
    }


def many_tab(many, script):
    """The tab's components and their events, but the opening of a row.

    Args:
        many: `ManyFiles`.
        script: of the table, JavaScript.

    Returns:
        files, table: components, for the opening of a row.
    """
    private, plain = {"api_visibility": "private"}, {"apply_default_css": False}
    gr.HTML(render("many_fields.html", words=PLACEHOLDERS), **plain)
    files = file_field(file_count="multiple", elem_id="many-files", elem_classes="unseen")
    run, stop = (gr.Button(elem_id=f"many-{name}", elem_classes="unseen") for name in ("run", "stop"))
    progress = gr.HTML(elem_id="many-progress", **plain)
    table = gr.HTML(js_on_load=script, elem_id="many-table", **plain)
    records = gr.State([], time_to_live=60 * KEPT_MINUTES)
    with gr.Column(visible=False) as comparison:
        gr.HTML(render("labels_fields.html", words=PLACEHOLDERS), **plain)
        labels = file_field(elem_id="labels-file", elem_classes="unseen")
        compared = gr.HTML(elem_id="labels-compared", **plain)
    run.click(many.analysed, files, [progress, table, records, comparison], show_progress="hidden", **private)
    stop.click(many.stopped, None, None, queue=False, **private)
    gr.on([labels.change, records.change], many.compared, [labels, records], compared, queue=False, **private)
    return files, table
