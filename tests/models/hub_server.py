"""A hub of models on loopback: as much of the protocol as its client needs, and faults."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "x" * 30


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repo:
    """A repository: files at one commit, and how it should misbehave."""

    files: dict[str, bytes]
    gated: bool = False
    private: bool = False
    failures: Counter = field(default_factory=Counter)
    """How many more times a request for a file, or for the ``api``, is answered by 500."""
    cut: dict[str, int] = field(default_factory=dict)
    """Break the connection once after so many bytes of a file."""
    swapped: set[str] = field(default_factory=set)
    """Files that are sent with one byte changed."""

    @property
    def commit(self) -> str:
        digest = hashlib.sha1()
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + content)
        return digest.hexdigest()


class Hub:
    """The server; ``repos`` is what it holds, ``asked`` what it was asked."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.uploads: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def downloads(self) -> list[str]:
        return [
            path.rsplit("/", 1)[1]
            for verb, path, _ in self.asked
            if verb == "GET" and "/resolve/" in path
        ]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._get()

    def do_GET(self) -> None:
        self._get()

    def _get(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+?))?", path):
            return self._info(*found.groups())
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", path):
            return self._tree(*found.groups())
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(*found.groups())
        return self._json(404, {"error": "no such route"})

    def _repo(self, name: str, revision: str | None = None) -> Repo | None:
        repo = self.hub.repos.get(name)
        authorised = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo is None or (repo.private and not authorised):
            self._json(401 if not authorised else 404, {"error": "x"}, code="RepoNotFound")
            return None
        if repo.gated and not authorised:
            self._json(403, {"error": "gated"}, code="GatedRepo")
            return None
        if revision not in (None, "main", "v1", repo.commit):
            self._json(404, {"error": "revision"}, code="RevisionNotFound")
            return None
        return repo

    def _fails(self, repo: Repo, what: str) -> bool:
        if repo.failures[what] > 0:
            repo.failures[what] -= 1
            self._json(500, {"error": "a passing fault"})
            return True
        return False

    def _info(self, name: str, revision: str | None) -> None:
        if (repo := self._repo(name, revision)) and not self._fails(repo, "api"):
            siblings = [{"rfilename": file} for file in repo.files]
            self._json(200, {"id": name, "modelId": name, "sha": repo.commit, "siblings": siblings})

    def _tree(self, name: str, revision: str, folder: str | None) -> None:
        if not (repo := self._repo(name, revision)):
            return
        start = f"{folder}/" if folder else ""
        inside = {file: c for file, c in repo.files.items() if file.startswith(start)}
        if folder and not inside:
            self._json(404, {"error": "folder"}, code="EntryNotFound")
            return
        entries = []
        for file, content in inside.items():
            entry = {"type": "file", "path": file, "size": len(content), "oid": git_hash(content)}
            if file.endswith((".safetensors", ".bin")):
                oid = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
            if "/" not in file.removeprefix(start):
                entries.append(entry)
        self._json(200, entries)

    def _file(self, name: str, revision: str, file: str) -> None:
        repo = self._repo(name, revision)
        if repo is None:
            return
        if file not in repo.files:
            self._json(404, {"error": "file"}, code="EntryNotFound")
            return
        if self.command == "GET" and self._fails(repo, file):
            return
        content = repo.files[file]
        lfs = file.endswith(".safetensors")
        etag = hashlib.sha256(content).hexdigest() if lfs else git_hash(content)
        if file in repo.swapped:
            content = bytes([content[0] ^ 1]) + content[1:]
        start = 0
        if given := self.headers.get("Range"):
            start = int(re.fullmatch(r"bytes=(\d+)-.*", given)[1])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            whole = len(content)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.end_headers()
        if self.command == "GET":
            cut = repo.cut.pop(file, None)
            self.wfile.write(content[start:cut])
            self.close_connection = cut is not None

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(("POST", path, None))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        if path == "/api/validate-yaml":
            return self._json(200, {"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json(401, {"error": "who are you?"})
        if path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given.get('organization') or 'me'}/{given['name']}"
            if name in self.hub.repos:
                return self._json(409, {"error": "exists", "url": f"{self.hub.url}/{name}"})
            self.hub.repos[name] = Repo({}, private=given.get("visibility") == "private")
            return self._json(200, {"url": f"{self.hub.url}/{name}"})
        if re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/.+", path):
            files = [
                {
                    "path": item["path"],
                    "uploadMode": "lfs" if item["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for item in json.loads(body)["files"]
            ]
            return self._json(200, {"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**item, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}}
                for item in json.loads(body)["objects"]
            ]
            return self._json(200, {"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            return self._commit(found[1], body)
        return self._json(404, {"error": "no such route"})

    def do_PUT(self) -> None:
        oid = self.path.rsplit("/", 1)[1]
        body = self._chunks() if self.headers.get("Transfer-Encoding") == "chunked" else None
        if body is None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        if hashlib.sha256(body).hexdigest() != oid:
            return self._json(400, {"error": "wrong hash"})
        self.hub.uploads[oid] = body
        return self._json(200, {})

    def _commit(self, name: str, body: bytes) -> None:
        repo = self.hub.repos[name]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo.files[value["path"]] = self.hub.uploads[value["oid"]]
        url = f"{self.hub.url}/{name}/commit/{repo.commit}"
        self._json(200, {"commitUrl": url, "commitOid": repo.commit, "success": True})

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline().strip(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _json(self, status: int, content: object, *, code: str | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
