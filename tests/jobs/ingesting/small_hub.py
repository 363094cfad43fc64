"""A dataset hub on this machine for the real clients, with what they ask for: nothing leaves the machine."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

LFS_BYTES = 100_000


@dataclass
class Repo:
    """Commits of one dataset, the newest last; refs name some of them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    token: str | None = None
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str = "files") -> str:
        # As a hub: of the contents too, since clients keep what they have seen of a commit.
        sha = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[sha] = files
        self.refs["main"] = sha
        self.messages.append(message)
        return sha

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        sha = self.refs.get(revision, revision)
        return (sha, self.commits[sha]) if sha in self.commits else None


@dataclass
class Request:
    """What a client asked for, what it was answered, and how many bytes of a file it was sent."""

    method: str
    path: str
    status: int
    authorization: str | None
    num_bytes: int = 0


class SmallHub:
    """The hub: its repositories, what it was asked, and what it refuses."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.uploads: dict[str, bytes] = {}
        # (pattern of the path, status): what matches is answered with that alone.
        self.refuse: tuple[str, int] | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Handler(self, *args))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, repo_id: str, files: dict[str, bytes], **about: Any) -> str:
        """A dataset with one commit of these files; the commit's hash."""
        self.repos[repo_id] = Repo(**about)
        return self.repos[repo_id].commit(files)

    def bytes_of(self, ending: str) -> int:
        """How many bytes of files with this ending were sent."""
        return sum(request.num_bytes for request in self.requests if request.path.endswith(ending))

    def files_read(self) -> set[str]:
        """The files of which bytes were sent."""
        return {request.path.rsplit("/", 1)[-1] for request in self.requests if request.num_bytes}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def __init__(self, hub: SmallHub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self.handle_request()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the names that the server looks for

    def handle_request(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            while size := int(self.rfile.readline(), 16):
                self.body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        path = unquote(urlsplit(self.path).path)
        if self.hub.refuse and re.search(self.hub.refuse[0], path):
            self.answer(self.hub.refuse[1], {"error": "refused"}, {"Retry-After": "0"})
            return
        for pattern, answer in ROUTES:
            if found := re.fullmatch(pattern, path):
                repo = self.hub.repos.get(found.groupdict().get("repo", ""))
                if "repo" in found.groupdict() and not self.may_read(repo, found["repo"], path):
                    return
                answer(self, repo, **{key: value for key, value in found.groupdict().items() if key != "repo"})
                return
        self.answer(404, {"error": "no such page"})

    def may_read(self, repo: Repo | None, name: str, path: str) -> bool:
        authorized = repo is not None and self.headers.get("Authorization") == f"Bearer {repo.token}"
        if repo is None or (repo.private and not authorized):
            # As the real one does: whoever may not know that it is there is told that it is not.
            self.answer(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif repo.gated and not authorized and "/resolve/" in path:
            status = 403 if self.headers.get("Authorization") else 401
            self.answer(status, {"error": f"Access to dataset {name} is restricted"}, {"X-Error-Code": "GatedRepo"})
        else:
            return True
        return False

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None, file_bytes: int = 0) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.hub.requests.append(
            Request(
                self.command,
                unquote(urlsplit(self.path).path),
                status,
                self.headers.get("Authorization"),
                file_bytes if self.command == "GET" else 0,
            )
        )
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            try:
                self.wfile.write(content)
            except OSError:
                self.close_connection = True

    # -- reading ------------------------------------------------------------------------------------------------

    def found(self, repo: Repo, revision: str) -> tuple[str, dict[str, bytes]] | None:
        at = repo.files(revision)
        if at is None:
            self.answer(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        return at

    def info(self, repo: Repo, revision: str = "main") -> None:
        if at := self.found(repo, revision):
            name = next(name for name, known in self.hub.repos.items() if known is repo)
            siblings = [{"rfilename": path} for path in at[1]]
            about = {"id": name, "sha": at[0], "private": repo.private, "siblings": siblings, "tags": []}
            self.answer(200, about | {"disabled": False, "downloads": 0, "likes": 0})

    def tree(self, repo: Repo, revision: str, folder: str | None = None) -> None:
        at = self.found(repo, revision)
        if at is None:
            return
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
        prefix = f"{folder.strip('/')}/" if folder and folder.strip("/") else ""
        below = [path for path in at[1] if path.startswith(prefix)]
        if not below:
            self.answer(404, {"error": "no such entry"}, {"X-Error-Code": "EntryNotFound"})
            return
        entries = {}
        for path in below:
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts)):
                entries[prefix + "/".join(parts[:depth])] = depth
            entries[path] = len(parts)
        shown = [path for path, depth in entries.items() if recursive or depth == 1]
        self.answer(200, [entry(path, at[1]) for path in sorted(shown)])

    def paths_info(self, repo: Repo, revision: str) -> None:
        at = self.found(repo, revision)
        if at is None:
            return
        if "json" in (self.headers.get("Content-Type") or ""):
            wanted = json.loads(self.body)["paths"]
        else:
            wanted = parse_qs(self.body.decode())["paths"]
        files = at[1]
        known = [path for path in wanted if path in files or any(name.startswith(f"{path}/") for name in files)]
        self.answer(200, [entry(path, files) for path in known])

    def resolve(self, repo: Repo, revision: str, path: str) -> None:
        at = self.found(repo, revision)
        if at is None:
            return
        content = at[1].get(path)
        if content is None:
            self.answer(404, {"error": "no such entry"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": at[0]})
            return
        headers = {"X-Repo-Commit": at[0], "ETag": f'"{hashlib.sha1(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        status = 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            status, content = 206, content[first : last + 1]
        self.answer(status, content, headers, file_bytes=len(content))

    # -- writing ------------------------------------------------------------------------------------------------

    def may_write(self, repo: Repo | None) -> bool:
        if not self.headers.get("Authorization"):
            self.answer(401, {"error": "Invalid username or password."})
            return False
        return True

    def create(self, repo: Repo | None) -> None:
        if not self.may_write(repo):
            return
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if name in self.hub.repos:
            self.answer(409, {"error": "You already created this dataset repo", "url": f"{self.hub.endpoint}/{name}"})
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.add(name, {".gitattributes": b""}, private=private, token=token)
        self.answer(200, {"url": f"{self.hub.endpoint}/datasets/{name}", "name": name})

    def validate(self, repo: Repo | None) -> None:
        self.answer(200, {"errors": [], "warnings": []})

    def preupload(self, repo: Repo, revision: str) -> None:
        if self.may_write(repo) and self.found(repo, revision):
            files = json.loads(self.body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] > LFS_BYTES or ".parquet" in file["path"] else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            self.answer(200, {"files": modes})

    def lfs_batch(self, repo: Repo) -> None:
        if self.may_write(repo):
            objects = [
                {
                    "oid": asked["oid"],
                    "size": asked["size"],
                    "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{asked['oid']}"}},
                }
                for asked in json.loads(self.body)["objects"]
            ]
            self.answer(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, repo: Repo | None, oid: str) -> None:
        self.hub.uploads[oid] = self.body
        self.answer(200, {})

    def make_commit(self, repo: Repo, revision: str) -> None:
        if not self.may_write(repo):
            return
        at = self.found(repo, revision)
        if at is None:
            return
        files, message = dict(at[1]), ""
        for line in self.body.decode().splitlines():
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "header":
                message = value["summary"]
                if value.get("parentCommit") not in (None, at[0]):
                    self.answer(412, {"error": "A commit has happened since. Please refresh and try again."})
                    return
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            elif key == "deletedFolder":
                files = {path: content for path, content in files.items() if not path.startswith(value["path"])}
        sha = repo.commit(files, message)
        self.answer(200, {"commitUrl": f"{self.hub.endpoint}/c/{sha}", "commitOid": sha, "hookOutput": ""})


NAME = r"(?P<repo>[^/]+/[^/]+?)"
API = rf"/api/datasets/{NAME}"
REVISION = r"(?P<revision>refs/\w+/[^/]+|[^/]+)"
ROUTES: list[tuple[str, Any]] = [
    (API, Handler.info),
    (rf"{API}/revision/{REVISION}", Handler.info),
    (rf"{API}/tree/{REVISION}(?:/(?P<folder>.*))?", Handler.tree),
    (rf"{API}/paths-info/{REVISION}", Handler.paths_info),
    (rf"/datasets/{NAME}/resolve/{REVISION}/(?P<path>.+)", Handler.resolve),
    (r"/api/repos/create", Handler.create),
    (r"/api/validate-yaml", Handler.validate),
    (rf"{API}/preupload/{REVISION}", Handler.preupload),
    (rf"{API}/commit/{REVISION}", Handler.make_commit),
    (rf"/datasets/{NAME}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (r"/lfs/(?P<oid>\w+)", Handler.lfs_put),
]


def entry(path: str, files: dict[str, bytes]) -> dict[str, Any]:
    content = files.get(path)
    oid = hashlib.sha1(path.encode() if content is None else content).hexdigest()
    if content is None:
        return {"type": "directory", "path": path, "oid": oid, "size": 0}
    return {"type": "file", "path": path, "oid": oid, "size": len(content)}


def parquet_bytes(table: pa.Table | list[dict[str, Any]], **options: Any) -> bytes:
    """A Parquet file with these rows."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(table) if isinstance(table, list) else table, out, **options)
    return out.getvalue()
