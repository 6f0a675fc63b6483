"""All that the app uses of Gradio beyond what Gradio documents, in one place: what to look at when Gradio is upgraded.

tests/app/test_gradio_compat.py holds that each name of `PRIVATE` is there and does what is expected of it.
"""

import inspect
import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from starlette.responses import PlainTextResponse


@contextmanager
def without_stubs():
    """Whoever imports Gradio has it look through the source of each component, and write type stubs for editors: two
    seconds at each start. Of what has no source it writes none.
    """
    getfile = inspect.getfile

    def unless_component(thing):
        if inspect.isclass(thing) and thing.__module__.startswith("gradio."):
            raise OSError("No stubs are needed.")
        return getfile(thing)

    inspect.getfile = unless_component
    try:
        yield
    finally:
        inspect.getfile = getfile


with without_stubs():
    import gradio as gr
    from gradio import component_meta, http_server, processing_utils, route_utils, utils
    from gradio.mcp import GradioMCPServer

KEPT_MINUTES = 15  # how long Gradio keeps an uploaded file and the pictures made of it
MAX_FILE_SIZE = "100mb"
PATIENCE = (
    300  # seconds that a server may take to start on a busy machine; Gradio gives it 5, then begins anew and fails
)
TRUSTED = {"_frontend": False}  # else Gradio asks for its own page, and ends where a busy machine takes more than 3 s
NO_ADDRESSES = "Addresses are not fetched: upload the file itself."
PRIVATE = {
    gr.File: ("async_move_resource_to_block_cache", "_process_single_file", "GRADIO_CACHE", "temp_files"),
    gr.Blocks: ("upload_file_set",),
    GradioMCPServer: ("convert_strings_to_filedata", "postprocess_output_data"),
    processing_utils: ("save_bytes_to_cache",),
    route_utils: ("delete_files_created_by_app",),
    utils: ("get_upload_folder", "NamedString"),
    http_server.Server: ("run_in_thread",),
    component_meta: ("create_or_modify_pyi", "extract_class_source_code"),
}


def file_field(**settings):
    """A gr.File for what the visitor sends.

    No file_types: DICOM files often have no ending, and `load_radiograph` tells by content. Its value is the file's
    path; by itself Gradio would make an empty file for each, which nobody deletes.
    """
    field = gr.File(**settings)
    move = field.async_move_resource_to_block_cache

    async def move_sent(path):
        return await move(uploaded(path))

    field.async_move_resource_to_block_cache = move_sent
    field._process_single_file = lambda file: utils.NamedString(file.path)
    return field


def uploaded(path):
    """A path as it is; of an address, as the upload of this app gave it, the path on this machine.

    Raises:
        gr.Error: the address is of another file, or of none any more.
    """
    if not str(path).lower().startswith(("http:", "https:")):
        return path
    file = Path(unquote(str(path).partition("/gradio_api/file=")[2])).resolve()
    if file.is_relative_to(Path(utils.get_upload_folder()).resolve()) and file.is_file():
        return str(file)
    raise gr.Error(NO_ADDRESSES, print_exception=False)


def as_if_uploaded(data, name, field):
    """Write bytes as a file into a field's cache, which Gradio empties of what was uploaded there; returns its path."""
    path = processing_utils.save_bytes_to_cache(data, name, field.GRADIO_CACHE)
    field.temp_files.add(path)
    return path


def delete_uploads(demo):
    """Delete whatever visitors sent. Gradio does so too, but not while a visitor stays connected."""
    route_utils.delete_files_created_by_app(demo, age=None)


def patch_mcp():
    """Files made of a language model's data: URIs are deleted with what is uploaded, and it is answered in JSON.

    By itself Gradio would keep the files for good and write the answer as Python does.
    """
    convert, postprocess = GradioMCPServer.convert_strings_to_filedata, GradioMCPServer.postprocess_output_data
    if hasattr(convert, "by_itself"):
        return

    def converted(server, arguments, positions):
        files = convert(server, arguments, positions)
        server.blocks.upload_file_set.update(
            files[name]["path"] for name, value in arguments.items() if str(value).startswith("data:")
        )
        return files

    def postprocessed(server, data, root_url):
        as_json = [json.dumps(one) if isinstance(one, dict) and "findings" in one else one for one in data]
        return postprocess(server, as_json, root_url)

    converted.by_itself = convert
    GradioMCPServer.convert_strings_to_filedata = converted
    GradioMCPServer.postprocess_output_data = postprocessed


def patch_server():
    """A server that starts slowly is waited for."""

    def run_in_thread(server):
        server.thread = threading.Thread(target=server.run, daemon=True)
        server.thread.start()
        begun = time.monotonic()
        while not server.started:
            time.sleep(1e-3)
            if not server.thread.is_alive() or time.monotonic() - begun > PATIENCE:
                raise http_server.ServerFailedToStartError("The server did not start: is its port free?")

    http_server.Server.run_in_thread = run_in_thread


class NoProxy:
    """Middleware that refuses /file=http…, by which Gradio would hand on what lies elsewhere."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        refused = scope["type"] == "http" and "/file=http" in scope["path"].lower()
        app = PlainTextResponse(NO_ADDRESSES, 403) if refused else self.app
        await app(scope, receive, send)
