"""The tool as language models call it, by the protocol's own client."""

import base64
import json
from pathlib import Path

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from tests.support.app_server import upload
from tests.support.helpers import result_of


def call(address, radiograph=None):
    """The tools that the app offers, and what calling the one with a radiograph gives; in one session."""

    async def ask():
        async with (
            streamablehttp_client(f"{address}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            (tool,) = (await session.list_tools()).tools
            return tool, radiograph and await session.call_tool(tool.name, {"radiograph": radiograph})

    return result_of(ask())


def data_uri(path, kind):
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def test_the_tool_says_how_a_file_is_given(server):
    tool, _ = call(server)
    assert tool.name == "analyze_chest_xray" and "not a medical device" in tool.description
    assert list(tool.inputSchema["properties"]) == ["radiograph"]
    said = tool.description + json.dumps(tool.inputSchema)
    assert "data: URI" in said and "/gradio_api/upload" in said and "no other address" in said


@pytest.mark.parametrize("name, kind", [("chest.png", "image/png"), ("chest.dcm", "application/dicom")])
def test_a_data_uri_is_answered(server, radiograph_files, name, kind):
    _, called = call(server, data_uri(radiograph_files[name], kind))
    assert not called.isError and json.loads(called.content[0].text)["findings"][0]["name"] == "pneumonia"


def test_what_was_uploaded_is_answered_by_its_address(server, radiograph_files):
    path = upload(server, "chest.png", Path(radiograph_files["chest.png"]).read_bytes())
    _, called = call(server, f"{server}/gradio_api/file={path}")
    assert not called.isError and "pneumonia" in called.content[0].text


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", ""])
def test_no_other_address_is_read(server, path):
    _, called = call(server, f"{server}/gradio_api/file={path}")
    assert called.isError and "Addresses are not fetched" in called.content[0].text


def test_a_file_that_is_no_radiograph_is_told_so(server, radiograph_files):
    _, called = call(server, data_uri(radiograph_files["notes.txt"], "text/plain"))
    assert called.isError and "not a picture" in called.content[0].text
