"""The page, its files, and the reference of the requests: static, from the package, from a list of names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from starlette.responses import Response

from flashdreams_serve.web.problems import problem

pages = APIRouter(include_in_schema=False)

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self' {sockets}",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")
PERMISSIONS = (
    "camera=(), microphone=(), geolocation=(), payment=(), usb=(), gamepad=(self), fullscreen=(self)"
)


@dataclass(frozen=True)
class StaticFile:
    """A file of the package, read once."""

    data: bytes
    kind: str
    tag: str
    """Its ETag."""


@cache
def static_files(folder: str) -> dict[str, StaticFile]:
    """The files of a folder of the package that may be served, by name."""
    entries = resources.files("flashdreams_serve").joinpath(*folder.split("/")).iterdir()
    return {entry.name: _read(entry) for entry in entries if _suffix(entry.name) in TYPES}


@pages.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page."""
    return _answer(request, "page", "index.html")


@pages.api_route("/page/{name}", methods=["GET", "HEAD"])
async def page_file(request: Request, name: str) -> Response:
    """A file of the page."""
    return _answer(request, "page", name)


@pages.api_route("/favicon.ico", methods=["GET", "HEAD"])
async def favicon(request: Request) -> Response:
    """What browsers ask for by themselves."""
    return _answer(request, "page", "favicon.svg")


@pages.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """The reference of the requests."""
    return _answer(request, "web/reference", "index.html")


@pages.api_route("/docs/{name}", methods=["GET", "HEAD"])
async def docs_file(request: Request, name: str) -> Response:
    """A file of the reference."""
    return _answer(request, "web/reference", name)


def is_page(path: str) -> bool:
    """Whether something static lies there, which costs nothing to give."""
    return path in ("/", "/docs", "/favicon.ico") or path.startswith(("/page/", "/docs/"))


def _answer(request: Request, folder: str, name: str) -> Response:
    file = static_files(folder).get(name)
    if file is None:
        raise problem(
            404, "not_found", "There is nothing at this address.", "See /docs for what there is.", "Go there."
        )
    headers = {"etag": file.tag, "cache-control": "no-cache", **_page_headers(request)}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.kind, headers=headers)


def _page_headers(request: Request) -> dict[str, str]:
    host = request.headers.get("host", "")
    sockets = f"ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return {
        "content-security-policy": POLICY.format(sockets=sockets),
        "permissions-policy": PERMISSIONS,
        "cross-origin-opener-policy": "same-origin",
    }


def _read(entry: Traversable) -> StaticFile:
    data = entry.read_bytes()
    return StaticFile(data, TYPES[_suffix(entry.name)], f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]
