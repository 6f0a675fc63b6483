"""What visitors send: fields for their files, and what strangers may not, have addresses fetched for them."""

import gradio as gr
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
