"""Applications with other settings, and clients of theirs that may or may not come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient, WebSocketDenialResponse

from flashdreams_serve.host.host import Host
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web.app import make_app
from flashdreams_serve.web.metrics import Metrics

BASE = "http://127.0.0.1"
TOKEN = "correct-horse-battery"
BEARER = {"authorization": f"Bearer {TOKEN}"}
NOBODY = "x" * 22
INVITED, FOREIGN = "https://friend.example", "https://foe.example"


def app_of(dreaming: Host, folder: Path, limits: dict[str, Any] | None = None, **about: Any) -> FastAPI:
    bounds = Limits(**{"requests_per_second": 1e6, **(limits or {})})
    settings = ServeSettings(webrtc=False, limits=bounds, **about)
    return make_app(dreaming, settings, shelf=Shelf(folder, 10**8), metrics=Metrics())


def client_of(app: FastAPI, base: str = BASE, **about: Any) -> TestClient:
    return TestClient(app, base_url=base, raise_server_exceptions=False, follow_redirects=False, **about)


def code_of(response: Any) -> str:
    return str(response.json()["error"]["code"])


def dialled(client: TestClient, path: str = f"/v1/sessions/{NOBODY}/stream", **about: Any) -> int:
    """The status with which a WebSocket is refused."""
    url = str(client.base_url).replace("http", "ws", 1).rstrip("/") + path
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(url, **about):
        pass
    return denied.value.status_code
