"""HTTP beneath the small Hub: routes, answers that are errors, and what goes wrong on purpose."""

import hashlib
import json
import re
import socket
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

import yaml

LARGE = (".safetensors", ".png", ".parquet", ".dcm")  # kept as LFS objects, as the Hub's .gitattributes has it
ROUTES = []


class Refusal(Exception):
    """An answer that is an error; `code` is what the Hub says in X-Error-Code."""

    def __init__(self, status, message, code=None, headers=None):
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}


def route(method, pattern):
    """Register a method of `HubServer` for a path in which {name} stands for one part, {path} for several.

    {repo} stands for OWNER/NAME of a model, datasets/OWNER/NAME or spaces/OWNER/NAME.
    """
    repo = "(?P<repo>(?:(?:datasets|spaces)/)?[^/]+/[^/]+?)"
    pattern = pattern.replace("{repo}", repo).replace("{path}", "(?P<path>.+)")
    pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern))

    def register(function):
        ROUTES.append((method, pattern, function))
        return function

    return register


class Handler(BaseHTTPRequestHandler):
    """Finds the route of a request and sends what its function answers."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        self.server.requests.append(f"{self.command} {path}")
        trouble = self.next_trouble(path)
        try:
            if trouble and isinstance(trouble, int):
                raise Refusal(trouble, "Not now", headers={"Retry-After": "1"})
            if trouble == "cut" and self.body:
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            status, headers, content = self.call(path)
        except Refusal as refusal:
            status, _, content = as_json({"error": str(refusal)}, refusal.status)
            headers = refusal.headers
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if trouble == "cut":
            content, self.close_connection = content[: len(content) // 2], True
        if trouble == "garble":
            content = content[:-100] + bytes(byte ^ 1 for byte in content[-100:])
        if self.command != "HEAD":
            self.wfile.write(content)

    def next_trouble(self, path):
        """What is to go wrong with this request, or None."""
        for begins, troubles in self.server.trouble.items():
            if troubles and f"{self.command} {path}".startswith(begins):
                return troubles.pop(0)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def call(self, path):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.server.tokens:
            raise Refusal(401, "Invalid credentials in Authorization header")
        self.user = self.server.tokens.get(token)
        path = path.replace("/api/models/", "/api/")
        for method, pattern, function in ROUTES:
            match = pattern.fullmatch(path)
            if match and method == self.command.replace("HEAD", "GET"):
                return function(self.server, self, **{k: v and unquote(v) for k, v in match.groupdict().items()})
        raise Refusal(404, "Sorry, we can't find the page you are looking for.")

    def log_message(self, *_):
        """Say nothing."""


def check_may_write(owner, user):
    if user is None:
        raise Refusal(401, "Invalid username or password.")
    if user != owner:
        raise Refusal(403, f'You don\'t have the rights to write under the namespace "{owner}"')


def as_json(content, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


def card_data(card):
    """What a card says in YAML between its first two lines of dashes."""
    return yaml.safe_load(card.split("---")[1]) if card.startswith("---\n") else {}


def etag(path, content):
    """SHA-256 of an LFS object, else git's own hash."""
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def part(content, wanted, headers):
    """The content, or what of it a Range header (bytes=FIRST- or bytes=FIRST-LAST) wants."""
    if wanted is None:
        return 200, {"Accept-Ranges": "bytes", **headers}, content
    first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted).groups()
    first, last = int(first), min(int(last or len(content)), len(content) - 1)
    if first >= len(content):
        raise Refusal(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{len(content)}"})
    return 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"}, content[first : last + 1]
