"""A hub and a plain file server on this machine, and packages with lock files that point at them."""

import hashlib
import itertools
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

COMMIT = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
numbers = itertools.count()


@dataclass
class Repo:
    files: dict[str, bytes]
    commit: str = COMMIT
    large: set[str] = field(default_factory=set)
    """Files that the hub keeps as LFS, so that it tells their SHA-256."""
    denies: str = ""
    """X-Error-Code of every answer."""
    store: str = ""
    """Address of another host that requests of large files are sent on to, there named by their hash."""


@dataclass
class Hub:
    """What the server has, and what it was asked."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Range of every request."""
    breaks: list[int] = field(default_factory=list)
    """After how many bytes each of the next downloads breaks off."""
    sends: dict[str, str] = field(default_factory=dict)
    """Addresses that requests of plain files, or of paths on the hub, are sent on to."""
    stall: int | None = None
    """After how many bytes downloads wait for ``go_on``."""
    stalled: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    tokens: list[tuple[str, str | None]] = field(default_factory=list)
    """Host and Authorization of every download."""
    claims: dict[str, int] = field(default_factory=dict)
    """Sizes that are told of files, in place of their own."""

    def add(self, name: str, files: dict[str, bytes], **facts) -> Repo:
        self.repos[name] = Repo(files, **facts)
        return self.repos[name]

    def downloads(self) -> list[str]:
        return [path for method, path, _ in self.requests if method == "GET" and "/api/" not in path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if self.command == "GET" and "/api/" not in path:
            self.hub.tokens.append((self.headers["Host"], self.headers.get("Authorization")))
        if (name := path.removeprefix("/plain/")) in self.hub.sends:
            self.send_bytes(302, b"", {"Location": self.hub.sends[name]})
        elif match := re.fullmatch(r"/api/models/([\w-]+/[\w.-]+)(?:/revision/([\w.-]+))?", path):
            self.with_repo(match[1], match[2], self.send_info)
        elif match := re.fullmatch(r"/([\w-]+/[\w.-]+)/resolve/([\w.-]+)/(.+)", path):
            self.with_repo(match[1], match[2], lambda repo: self.send_file(repo, match[3]))
        elif name in self.hub.plain:
            self.send_content(self.hub.plain[name], {"ETag": f'"{sha256(self.hub.plain[name])[:16]}"'}, name)
        else:
            self.send_bytes(404, b"", {})

    def with_repo(self, name, revision, answer):
        repo = self.hub.repos.get(name)
        denied = "RepoNotFound" if repo is None else repo.denies
        if repo is not None and revision not in (None, "main", repo.commit):
            denied = "RevisionNotFound"
        if denied:
            self.send_bytes(403 if denied == "GatedRepo" else 404, b"", {"X-Error-Code": denied})
        else:
            answer(repo)

    def send_info(self, repo):
        files = [
            {
                "rfilename": name,
                "size": self.hub.claims.get(name, len(content)),
                "blobId": "0" * 40,
                **({"lfs": lfs(content)} if name in repo.large else {}),
            }
            for name, content in repo.files.items()
        ]
        document = {"id": "x/y", "sha": repo.commit, "siblings": files}
        self.send_bytes(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def send_file(self, repo, name):
        if name not in repo.files:
            self.send_bytes(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = repo.files[name]
        etag = sha256(content) if name in repo.large else hashlib.sha1(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repo.commit}
        if repo.store and name in repo.large:
            linked = {"X-Linked-Etag": headers.pop("ETag"), "X-Linked-Size": str(len(content))}
            self.send_bytes(302, b"", {**headers, **linked, "Location": f"{repo.store}/{etag}"})
        else:
            self.send_content(content, headers, name)

    def send_content(self, content, headers, name):
        begin, status = 0, 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match and self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
            begin, status = int(match[1]), 206
            content_range = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            if begin >= len(content):
                self.send_bytes(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = content_range
        self.send_bytes(status, content[begin:], headers)

    def send_bytes(self, status, content, headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if content and self.hub.breaks and "/api/" not in self.path:
            content = content[: self.hub.breaks.pop(0)]
            self.close_connection = True
        if self.hub.stall is not None and "/api/" not in self.path:
            self.wfile.write(content[: self.hub.stall])
            self.hub.stalled.set()
            self.hub.go_on.wait(30)
            self.close_connection = True
            return
        self.wfile.write(content)


def lfs(content):
    return {"sha256": sha256(content), "size": len(content), "pointerSize": 130}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Every folder that weights and hashes are kept in, empty."""
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path / "cache"


@pytest.fixture
def hub(cache, monkeypatch):
    """A hub on this machine, which huggingface_hub takes for its own."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes an installed package with a lock file of these entries, and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def make(entries):
        name = f"locked_package_{next(numbers)}"
        folder = tmp_path / "site" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        text = entries if isinstance(entries, str) else json.dumps(entries)
        (folder / "weights.lock.json").write_text(text)
        return name

    return make
