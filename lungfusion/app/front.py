"""The page's HTML as it leaves the server: in the visitor's language, in its own looks, with link previews of its own.

Gradio sends one page to all. In that of this app every sentence stands as `@@key@@`, and is put in here, so that one
language travels instead of five and the first thing that is painted can be read.
"""

import json
import re
from html import escape

from starlette.datastructures import Headers, MutableHeaders, QueryParams

from .view.render import LOOKS, render
from .view.words import LANGUAGES, Words, words_for

PLACE = re.compile(rb"@@(\w+)@@")
OF_GRADIO = re.compile(rb"<meta\s+(?:property|name)=\"(?:og|twitter):[^>]*>\s*")
STYLES = "\n".join(path.read_text(encoding="utf-8") for path in sorted(LOOKS.glob("*.css")))


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
        sentences: language → key → sentence, filled as far as a page knows.
        first: HTML that is painted until the page has begun; in placeholders.
        preview: path of the picture that a link to the page shows.
    """

    def __init__(self, app, sentences, first, preview):
        self.app, self.sentences, self.preview = app, sentences, preview
        self.first = str(first).encode()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) not in ("", "/"):
            return await self.app(scope, receive, send)
        begun, body = None, bytearray()

        async def finished(message):
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = message
                return
            if message["type"] != "http.response.body":
                return await send(message)
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            headers, sent = MutableHeaders(raw=begun["headers"]), bytes(body)
            if headers.get("content-type", "").startswith("text/html"):
                sent = self.page(sent, scope)
                headers["content-length"] = str(len(sent))
                headers["vary"] = "Accept-Language"
            await send(begun)
            await send({"type": "http.response.body", "body": sent})

        await self.app(scope, receive, finished)

    def page(self, html, scope):
        """Gradio's page, bytes → this app's."""
        headers, query = Headers(scope=scope), QueryParams(scope.get("query_string", b""))
        chosen = LANGUAGES.get(query.get("lang")) or words_for(headers.get("accept-language"))
        language = chosen.language
        sentences = self.sentences[language]
        host = headers.get("x-forwarded-host") or headers.get("host", "")
        scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http")).split(",")[0]
        address = f"{scheme}://{host}{scope.get('root_path', '')}"
        head = render("head.html", address=address, picture=self.preview, styles=STYLES)
        html = OF_GRADIO.sub(b"", html).replace(b'lang="en"', f'lang="{language}"'.encode(), 1)
        script = html.find(b"window.gradio_config")
        # within the script a sentence stands in JSON, elsewhere in HTML
        before, config = html[:script], html[script:]
        end = config.find(b"</script>")
        config, after = config[:end], config[end:]
        config = PLACE.sub(lambda found: in_json(escape(sentences[found[1].decode()])), config)
        after = after.replace(b"</head>", str(head).encode() + b"</head>", 1)
        after = re.sub(rb"<body[^>]*>", lambda body: body[0] + self.first, after, count=1)
        return before + config + PLACE.sub(lambda found: escape(sentences[found[1].decode()]).encode(), after)


def in_json(text):
    """A text as it stands within a string of JSON within a script."""
    return json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()
