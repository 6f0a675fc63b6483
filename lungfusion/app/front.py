"""The page as it leaves the server: in the visitor's language, in its own looks, with link previews of its own, small.

Gradio sends one page to all. In that of this app every sentence stands as `@@key@@`, and is put in here, so that one
language travels instead of five and the first thing that is painted can be read.
"""

import asyncio
import hashlib
import json
import re

import brotli
from markupsafe import escape
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.middleware.gzip import GZipMiddleware

from .view.render import LOOKS, render
from .view.words import LANGUAGES, Words, words_for

PLACE = re.compile(rb"@@(\w+)@@")
OF_GRADIO = re.compile(rb"<meta\s+(?:property|name)=\"(?:og|twitter):[^>]*>\s*")
ASSET = re.compile(r"/assets/[^/]+\.(?:js|css)$")  # named after what it holds, so it never changes
QUICK, SMALLEST = 5, 11  # quality of Brotli: 5 takes milliseconds, 11 a quarter of a second for the largest asset
KEPT = 300  # how many packed contents: Gradio's assets, and the page in each language and at each address
IN_A_FRAME = b"document.head.appendChild(script);"  # Gradio's script for the page around a frame: 5 kB, else of no use
REMARK = re.compile(r"^ *//.*\n|  // .*$|\s*/\*(?s:.*?)\*/", re.MULTILINE)  # of a script or of styles
STYLES = REMARK.sub("", "\n".join(path.read_text(encoding="utf-8") for path in sorted(LOOKS.glob("*.css"))))


class Placeholders(Words):
    """Words of every language at once: each sentence a place that `InVisitorsLanguage` fills."""

    def __init__(self):
        super().__init__("", {key: f"@@{key}@@" for key in LANGUAGES["en"].sentences})

    def __call__(self, key, **_):
        return self.sentences[key]


PLACEHOLDERS = Placeholders()


def words_of(request):
    """The `Words` of the language that the address asks for (?lang=CODE), else of the browser's."""
    if not request:
        return words_for(None)
    return LANGUAGES.get(request.query_params.get("lang")) or words_for(request.headers.get("accept-language"))


class InVisitorsLanguage:
    """Middleware that finishes the page.

    Args:
        app: the ASGI app inside.
        sentences: a function, `Words` → key → sentence, filled as far as a page knows; HTML where it is `Markup`.
        first: HTML that is painted until the page has begun; in placeholders.
        preview: path of the picture that a link to the page shows.
    """

    def __init__(self, app, sentences, first, preview):
        self.app, self.sentences, self.preview = app, sentences, preview
        self.first = str(first).encode()

    async def __call__(self, scope, receive, send):
        if not is_page(scope):
            return await self.app(scope, receive, send)

        def finished(begun, sent):
            headers = MutableHeaders(raw=begun["headers"])
            if headers.get("content-type", "").startswith("text/html"):
                sent = self.page(sent, scope)
                headers["vary"] = "Accept-Language"
                headers["content-length"] = str(len(sent))
            return sent

        await self.app(scope, receive, once_whole(send, finished))

    def page(self, html, scope):
        """Gradio's page, bytes → this app's."""
        headers, query = Headers(scope=scope), QueryParams(scope.get("query_string", b""))
        words = LANGUAGES.get(query.get("lang")) or words_for(headers.get("accept-language"))
        sentences = self.sentences(words)
        host = headers.get("x-forwarded-host") or headers.get("host", "")
        scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http")).split(",")[0]
        address = f"{scheme}://{host}{scope.get('root_path', '')}"
        head = render("head.html", address=address, picture=self.preview, styles=STYLES)
        html = html.replace(IN_A_FRAME, b"if (parent !== window) " + IN_A_FRAME)
        html = OF_GRADIO.sub(b"", html).replace(b'lang="en"', f'lang="{words.language}"'.encode(), 1)
        script = html.find(b"window.gradio_config")
        # within the script a sentence stands in JSON, elsewhere in HTML
        before, config = html[:script], html[script:]
        end = config.find(b"</script>")
        config, after = config[:end], config[end:]
        config = PLACE.sub(lambda found: in_json(str(escape(sentences[found[1].decode()]))), config)
        after = after.replace(b"</head>", str(head).encode() + b"</head>", 1)
        after = re.sub(rb"<body[^>]*>", lambda body: body[0] + self.first, after, count=1)
        return before + config + PLACE.sub(lambda found: str(escape(sentences[found[1].decode()])).encode(), after)


class Packed:
    """Middleware that sends the page and its assets as Brotli packs them smallest, once for all; all else by gzip.

    The first visitor is not to wait for that: what he gets is packed quickly.
    """

    def __init__(self, app):
        self.app, self.by_gzip, self.kept = app, GZipMiddleware(app), {}

    async def __call__(self, scope, receive, send):
        known = is_page(scope) or (scope["type"] == "http" and ASSET.search(scope["path"]))
        if not known or scope["method"] != "GET" or not reads_brotli(scope) or "range" in Headers(scope=scope):
            return await self.by_gzip(scope, receive, send)

        def packed(begun, sent):
            if begun["status"] == 200:
                sent = self.pack(sent)
                headers = MutableHeaders(raw=begun["headers"])
                headers["content-encoding"], headers["content-length"] = "br", str(len(sent))
                headers.add_vary_header("Accept-Encoding")
            return sent

        await self.app(scope, receive, once_whole(send, packed))

    def pack(self, content):
        digest = hashlib.sha256(content).digest()
        if digest not in self.kept:
            if len(self.kept) == KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[digest] = brotli.compress(content, quality=QUICK)
            asyncio.get_running_loop().run_in_executor(None, self.pack_smaller, digest, content)
        return self.kept[digest]

    def pack_smaller(self, digest, content):
        smallest = brotli.compress(content, quality=SMALLEST)
        if digest in self.kept:
            self.kept[digest] = smallest


def is_page(scope):
    """Whether the page itself is asked for."""
    return scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) in ("", "/")


def once_whole(send, change):
    """An ASGI `send` that waits until an answer is whole, and sends what `change` makes of it.

    Args:
        send: the one that is sent by in the end.
        change: function of the answer's first message, whose headers it may change, and of its body, bytes, to a body.
    """
    begun, body = None, bytearray()

    async def gather(message):
        nonlocal begun
        if message["type"] == "http.response.start":
            begun = message
        elif message["type"] != "http.response.body":
            await send(message)
        else:
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                sent = change(begun, bytes(body))
                await send(begun)
                await send({"type": "http.response.body", "body": sent})

    return gather


def reads_brotli(scope):
    """Whether who asks takes what Brotli has packed."""
    return re.search(r"\bbr\b(?!;q=0(?:\.0*)?(?:,|$))", Headers(scope=scope).get("accept-encoding", "")) is not None


def in_json(text):
    """A text as it stands within a string of JSON within a script."""
    return json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()
