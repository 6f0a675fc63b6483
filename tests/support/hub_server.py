"""A small Hub on this machine: enough of its HTTP protocol for the real huggingface_hub and transformers.

    with HubServer(tokens={"hf_secret": "owner"}) as hub:
        HfApi(endpoint=hub.url, token="hf_secret").create_repo("owner/name")

Large files travel by LFS's basic transfer, so clients that upload set HF_HUB_DISABLE_XET=1. It can be made to fail:

    hub.trouble["PUT /lfs/"] = [503, 429]  # the answers to the next two requests that begin so; then all is well again
"""

import base64
import hashlib
import json
import threading
from http.server import ThreadingHTTPServer

import yaml

from tests.support.hub_http import LARGE, Handler, Refusal, as_json, card_data, check_may_write, etag, part, route


class Repo:
    """A repository. commits: {commit id: {path: bytes}}; branches: {name: commit id}."""

    def __init__(self, name, private):
        self.name, self.private, self.commits, self.branches, self.variables = name, private, {}, {}, {}
        self.commit("main", {".gitattributes": b"".join(b"*%s filter=lfs\n" % suffix.encode() for suffix in LARGE)})

    def commit(self, branch, files):
        oid = hashlib.sha1(f"{self.name} {len(self.commits)}".encode()).hexdigest()
        self.commits[oid], self.branches[branch] = files, oid
        return oid

    def find(self, revision):
        """A branch or commit id → commit id, {path: bytes}."""
        oid = self.branches.get(revision, revision)
        if oid not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid, self.commits[oid]


class HubServer(ThreadingHTTPServer):
    """The server, a context manager.

    Args:
        tokens: {token: user}; a user may write under their own name.

    Attributes:
        url: what HF_ENDPOINT is set to.
        storage: where LFS objects are, another host than `url`.
        repos: {OWNER/NAME, datasets/OWNER/NAME or spaces/OWNER/NAME: `Repo`}.
        objects: {SHA-256: bytes} of LFS.
        requests: "METHOD path" of every request, in order.
        trouble: {how "METHOD path" begins: what goes wrong with the next such requests}. A number is an HTTP status, 0
            nothing; `cut`: the connection breaks off, where something is downloaded in the middle; `garble`: bits are
            flipped.

    What follows the first few methods is one for each route. They take the `Handler` (`user`, `body`, `headers`) and
    the named parts of the path; they return status, headers and content, or raise `Refusal`.
    """

    def __init__(self, tokens):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens, self.repos, self.objects, self.requests, self.trouble = tokens, {}, {}, [], {}
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.storage = f"http://localhost:{self.server_port}/lfs"  # as elsewhere: clients go there without their token

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)

    def add(self, name, files):
        """Commit files, {path: bytes}, to a public repository, made if it is not there; returns the commit's id."""
        for path, content in files.items():
            if path.endswith(LARGE):
                self.objects[etag(path, content)] = content
        return self.repos.setdefault(name, Repo(name, private=False)).commit("main", files)

    def readable(self, name, user):
        repo = self.repos.get(name)
        if repo is None or (repo.private and user != name.split("/")[-2]):
            raise Refusal(401 if user is None else 404, "Repository not found", "RepoNotFound")
        return repo

    def writable(self, name, user):
        repo = self.readable(name, user)
        check_may_write(name.split("/")[-2], user)
        return repo

    @route("GET", "/api/whoami-v2")
    def whoami(self, request):
        check_may_write(request.user, request.user)
        return as_json({"type": "user", "name": request.user, "auth": {"type": "access_token"}})

    @route("POST", "/api/repos/create")
    def create_repo(self, request):
        asked = json.loads(request.body)
        owner = asked["organization"] or request.user
        check_may_write(owner, request.user)
        kind = asked.get("type") or "model"
        if kind == "space" and asked.get("sdk") != "gradio":
            raise Refusal(400, "A Space needs an SDK")
        name = f"{owner}/{asked['name']}" if kind == "model" else f"{kind}s/{owner}/{asked['name']}"
        status = 409 if name in self.repos else 200
        self.repos.setdefault(name, Repo(name, private=asked.get("visibility") == "private"))
        return as_json({"url": f"{self.url}/{name}", "name": name}, status)

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self, request):
        try:
            card_data(json.loads(request.body)["content"])
        except yaml.YAMLError as error:
            return as_json({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return as_json({"errors": [], "warnings": []})

    @route("POST", "/api/{repo}/branch/{branch}")
    def create_branch(self, request, repo, branch):
        repo = self.writable(repo, request.user)
        if branch in repo.branches:
            raise Refusal(409, "Reference already exists")
        repo.branches[branch] = repo.branches["main"]
        return as_json({})

    @route("POST", "/api/{repo}/variables")
    def add_variable(self, request, repo):
        asked, repo = json.loads(request.body), self.writable(repo, request.user)
        repo.variables[asked["key"]] = asked["value"]
        return as_json({key: {"value": value} for key, value in repo.variables.items()})

    @route("POST", "/api/{repo}/preupload/{revision}")
    def preupload(self, request, repo, revision):
        _, present = self.writable(repo, request.user).find(revision)
        files = []
        for path in (file["path"] for file in json.loads(request.body)["files"]):
            oid = etag(path, present[path]) if path in present else None
            mode = "lfs" if path.endswith(LARGE) else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return as_json({"files": files})

    @route("POST", "/{repo}.git/info/lfs/objects/batch")
    def lfs_batch(self, request, repo):
        self.writable(repo, request.user)
        objects = [{"oid": item["oid"], "size": item["size"]} for item in json.loads(request.body)["objects"]]
        for item in objects:
            if item["oid"] not in self.objects:
                item["actions"] = {"upload": {"href": f"{self.storage}/{item['oid']}"}}
        return as_json({"transfer": "basic", "objects": objects})

    @route("PUT", "/lfs/{oid}")
    def lfs_upload(self, request, oid):
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise Refusal(400, "The content is not what was announced")
        self.objects[oid] = request.body
        return 200, {}, b""

    @route("GET", "/lfs/{oid}")
    def lfs_download(self, request, oid):
        return part(self.objects[oid], request.headers["Range"], {"ETag": f'"{oid}"'})

    @route("POST", "/api/{repo}/commit/{revision}")
    def commit(self, request, repo, revision):
        repo = self.writable(repo, request.user)
        files = dict(repo.find(revision)[1])
        for operation in map(json.loads, request.body.splitlines()):
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
        oid = repo.commit(revision, files)
        return as_json({"success": True, "commitOid": oid, "commitUrl": f"{self.url}/{repo.name}/commit/{oid}"})

    @route("GET", "/api/{repo}(/revision/{revision})?")
    def model_info(self, request, repo, revision):
        repo = self.readable(repo, request.user)
        oid, files = repo.find(revision or "main")
        card = card_data(files.get("README.md", b"").decode())
        about = {"id": repo.name, "sha": oid, "private": repo.private, "pipeline_tag": card.get("pipeline_tag")}
        return as_json(about | {"siblings": [{"rfilename": path} for path in sorted(files)]})

    @route("GET", "/api/{repo}/tree/{revision}(/{path})?")
    def tree(self, request, repo, revision, path):
        _, files = self.readable(repo, request.user).find(revision)
        inside = {name: content for name, content in files.items() if not path or name.startswith(f"{path}/")}
        if not inside:
            raise Refusal(404, f"{path} does not exist", "EntryNotFound")
        sizes = {name: {"size": len(content), "oid": etag(name, content)} for name, content in inside.items()}
        return as_json([{"type": "file", "path": name, **size} for name, size in sorted(sizes.items())])

    @route("GET", "/{repo}/resolve/{revision}/{path}")
    def resolve(self, request, repo, revision, path):
        oid, files = self.readable(repo, request.user).find(revision)
        headers = {"X-Repo-Commit": oid}
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound", headers)
        tag = etag(path, files[path])
        if path.endswith(LARGE):
            linked = {"X-Linked-Etag": f'"{tag}"', "X-Linked-Size": len(files[path])}
            return 302, headers | linked | {"Location": f"{self.storage}/{tag}"}, b""
        return part(files[path], request.headers["Range"], headers | {"ETag": f'"{tag}"'})
