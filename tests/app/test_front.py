"""The page as it leaves the server: one language, its own looks, and previews of its own."""

import gzip
import re

import brotli
import pytest
from markupsafe import Markup
from starlette.responses import HTMLResponse, JSONResponse, Response

from lungfusion.app.front import InVisitorsLanguage, Packed
from lungfusion.app.view.words import LANGUAGES
from tests.support.helpers import result_of

PAGE = """<html lang="en"><head><meta property="og:title" content="Gradio" /><meta
 name="twitter:image" content="" /><script>window.gradio_config = {"value": "@@now@@ @@formats@@ @@start@@"};</script>
</head><body style="margin:0"><main></main></body></html>"""


def sentences(words):
    return words.sentences | {"formats": 'Say "<b>" & \\', "start": Markup("<b>Now</b>")}


def served(app, path="/", query="", root="", **headers):
    """(headers, body) of what leaves the middleware."""
    middleware = InVisitorsLanguage(app, sentences, "<p>@@pitch@@</p>", "/x y/preview.jpg")
    headers, body = sent_by(middleware, path, query, root, **headers)
    return headers, body.decode()


def sent_by(app, path="/", query="", root="", **headers):
    """(headers, body) of what an app sends."""
    scope = {"type": "http", "method": "GET", "path": root + path, "root_path": root, "query_string": query.encode()}
    scope["headers"] = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    sent = []

    async def send(message):
        sent.append(message)

    result_of(app(scope, None, send))
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in sent)
    return {name.decode(): value.decode() for name, value in start["headers"]}, body


@pytest.mark.parametrize(
    ("query", "wish", "language"),
    [("", "fr", "fr"), ("lang=es", "fr", "es"), ("lang=xx", "hi;q=0.9", "hi"), ("", "", "en")],
)
def test_one_language_travels(query, wish, language):
    headers, html = served(HTMLResponse(PAGE), query=query, accept_language=wish)
    assert f'<html lang="{language}">' in html and "@@" not in html
    assert f"<p>{LANGUAGES[language]('pitch')}</p>" in html.replace("&#39;", "'")
    assert headers["content-length"] == str(len(html.encode())) and headers["vary"] == "Accept-Language"


def test_sentences_are_safe_in_a_script_and_in_html():
    html = served(HTMLResponse(PAGE))[1]
    assert r"Say \u0026#34;\u0026lt;b\u0026gt;\u0026#34; \u0026amp; \\ \u003cb\u003eNow\u003c/b\u003e" in html


def test_a_link_shows_the_apps_own_title_and_picture_wherever_it_is_served():
    html = served(HTMLResponse(PAGE), root="/lungs", host="x.org", x_forwarded_proto="https")[1]
    assert 'content="Gradio"' not in html and html.count("og:title") == html.count("og:image") == 1
    assert 'content="https://x.org/lungs/gradio_api/file=/x%20y/preview.jpg"' in html
    assert re.search(r'og:description" content="A computer model outlines them', html)


def test_nothing_else_is_touched():
    assert served(HTMLResponse(PAGE), "/other")[1] == PAGE
    assert served(JSONResponse({"a": "@@now@@"}))[1] == '{"a":"@@now@@"}'


ASSET = b"export const number = 12345; " * 2000


def test_assets_are_packed_once_and_better_for_the_next_visitor():
    asked = []

    async def app(scope, receive, send):
        asked.append(scope["path"])
        await Response(ASSET, media_type="text/javascript")(scope, receive, send)

    middleware, path = Packed(app), "/lungs/assets/index-AbC1.js"
    for _ in range(2):
        headers, body = sent_by(middleware, path, accept_encoding="gzip, br")
        assert headers["content-encoding"] == "br" and brotli.decompress(body) == ASSET
        assert headers["content-length"] == str(len(body))
    assert len(middleware.kept) == 1 and len(body) == len(brotli.compress(ASSET, quality=11))


def test_who_reads_no_brotli_gets_gzip():
    for wish in ("gzip", "gzip, br;q=0"):
        headers, body = sent_by(Packed(Response(ASSET)), "/assets/index-AbC1.js", accept_encoding=wish)
        assert headers["content-encoding"] == "gzip" and gzip.decompress(body) == ASSET
    headers, body = sent_by(Packed(Response(ASSET)), "/other", accept_encoding="gzip, br")
    assert headers["content-encoding"] == "gzip"
    assert "content-encoding" not in sent_by(Packed(Response(ASSET, 404)), "/assets/index-AbC1.js")[0]


def test_the_page_is_packed_too():
    middleware = InVisitorsLanguage(HTMLResponse(PAGE), sentences, "", "/x/preview.jpg")
    headers, body = sent_by(Packed(middleware), accept_encoding="gzip, deflate, br, zstd")
    assert headers["content-encoding"] == "br" and b'lang="en"' in brotli.decompress(body)
    assert headers["vary"] == "Accept-Language, Accept-Encoding"
