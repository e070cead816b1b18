"""Names of videos and sessions lead to no other file."""

from __future__ import annotations

from pathlib import Path

import pytest
from security_clients import NOBODY, app_of, client_of
from starlette.testclient import TestClient

from flashdreams_serve.host.host import Host

TRAVERSALS = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fsecret.mp4",
    "..%5c..%5csecret.mp4",
    "%2fetc%2fpasswd",
    "..",
    "%00.mp4",
    "0001-all.mp4%00.txt",
    "session.json",
    "0001-all.json",
    "0001-all.mp4.part",
    "....//secret.mp4",
    "%252e%252e%252fsecret.mp4",
]


@pytest.mark.parametrize("name", TRAVERSALS)
def test_names_of_videos_lead_nowhere_else(host: Host, tmp_path: Path, name: str) -> None:
    app = app_of(host, tmp_path / "shelf")
    (tmp_path / "secret.mp4").write_text("secret")
    app.state.services.shelf.put(NOBODY, "all", b"secret", {"secret": "secret"})
    response = client_of(app).get(f"/v1/sessions/{NOBODY}/videos/{name}")
    assert response.status_code in (404, 422)
    assert "secret" not in response.text
    assert "root:" not in response.text


@pytest.mark.parametrize("session", ["..", "%2e%2e", "..%2f..", "a" * 65, "a/b", "%00", "é" * 22])
def test_names_of_sessions_lead_nowhere_else(local: TestClient, session: str) -> None:
    assert local.get(f"/v1/sessions/{session}/videos").status_code in (404, 422)
