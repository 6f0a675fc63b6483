"""What visitors send: fields for their files, and what strangers may not, have addresses fetched for them."""

from pathlib import Path
from urllib.parse import unquote

import gradio as gr
from gradio.mcp import GradioMCPServer
from gradio.utils import get_upload_folder
from starlette.responses import PlainTextResponse

KEPT_MINUTES = 15  # how long Gradio keeps an uploaded file and the pictures made of it
MAX_FILE_SIZE = "100mb"
NO_ADDRESSES = "Addresses are not fetched: upload the file itself."


def file_field(**settings):
    """A gr.File for what the visitor sends.

    No file_types: DICOM files often have no ending, and `load_radiograph` tells by content.
    """
    field = gr.File(**settings)
    move = field.async_move_resource_to_block_cache

    async def move_sent(path):
        return await move(uploaded(path))

    field.async_move_resource_to_block_cache = move_sent
    return field


def uploaded(path):
    """A path as it is; of an address, as the upload of this app gave it, the path on this machine.

    Raises:
        gr.Error: the address is of another file, or of none any more.
    """
    if not str(path).lower().startswith(("http:", "https:")):
        return path
    file = Path(unquote(str(path).partition("/gradio_api/file=")[2])).resolve()
    if file.is_relative_to(Path(get_upload_folder()).resolve()) and file.is_file():
        return str(file)
    raise gr.Error(NO_ADDRESSES, print_exception=False)


def keep_track_of_data_uris():
    """Files that Gradio makes of a model's data: URIs are deleted with what is uploaded; by itself it keeps them."""
    convert = GradioMCPServer.convert_strings_to_filedata

    def converted(server, arguments, positions):
        files = convert(server, arguments, positions)
        server.blocks.upload_file_set.update(
            files[name]["path"] for name, value in arguments.items() if str(value).startswith("data:")
        )
        return files

    GradioMCPServer.convert_strings_to_filedata = converted


class NoProxy:
    """Middleware that refuses /file=http…, by which Gradio would hand on what lies elsewhere."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        refused = scope["type"] == "http" and "/file=http" in scope["path"].lower()
        app = PlainTextResponse(NO_ADDRESSES, 403) if refused else self.app
        await app(scope, receive, send)
