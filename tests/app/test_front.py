"""The page as it leaves the server: one language, its own looks, and previews of its own."""

import asyncio
import re

import pytest
from starlette.responses import HTMLResponse, JSONResponse

from lungfusion.app.front import InVisitorsLanguage
from lungfusion.app.view.words import LANGUAGES

PAGE = """<html lang="en"><head><meta property="og:title" content="Gradio" /><meta
 name="twitter:image" content="" /><script>window.gradio_config = {"value": "@@now@@ @@formats@@"};</script></head>
<body style="margin:0"><main></main></body></html>"""
SENTENCES = {name: words.sentences | {"formats": 'Say "<b>" & \\'} for name, words in LANGUAGES.items()}


def served(app, path="/", query="", root="", **headers):
    """(headers, body) of what leaves the middleware."""
    scope = {"type": "http", "method": "GET", "path": root + path, "root_path": root, "query_string": query.encode()}
    scope["headers"] = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(InVisitorsLanguage(app, SENTENCES, "<p>@@pitch@@</p>", "/x y/preview.jpg")(scope, None, send))
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in sent)
    return {name.decode(): value.decode() for name, value in start["headers"]}, body.decode()


@pytest.mark.parametrize(
    ("query", "wish", "language"),
    [("", "fr", "fr"), ("lang=es", "fr", "es"), ("lang=xx", "hi;q=0.9", "hi"), ("", "", "en")],
)
def test_one_language_travels(query, wish, language):
    headers, html = served(HTMLResponse(PAGE), query=query, accept_language=wish)
    assert f'<html lang="{language}">' in html and "@@" not in html
    assert f"<p>{LANGUAGES[language]('pitch')}</p>" in html.replace("&#x27;", "'")
    assert headers["content-length"] == str(len(html.encode())) and headers["vary"] == "Accept-Language"


def test_sentences_are_safe_in_a_script_and_in_html():
    html = served(HTMLResponse(PAGE))[1]
    assert r"Say \u0026quot;\u0026lt;b\u0026gt;\u0026quot; \u0026amp; \\" in html


def test_a_link_shows_the_apps_own_title_and_picture_wherever_it_is_served():
    html = served(HTMLResponse(PAGE), root="/lungs", host="x.org", x_forwarded_proto="https")[1]
    assert 'content="Gradio"' not in html and html.count("og:title") == html.count("og:image") == 1
    assert 'content="https://x.org/lungs/gradio_api/file=/x%20y/preview.jpg"' in html
    assert re.search(r'og:description" content="A computer model outlines them', html)


def test_nothing_else_is_touched():
    assert served(HTMLResponse(PAGE), "/other")[1] == PAGE
    assert served(JSONResponse({"a": "@@now@@"}))[1] == '{"a":"@@now@@"}'
