"""What does not come out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from security_clients import NOBODY, app_of, client_of, code_of
from starlette.testclient import TestClient

from flashdreams_serve.host.host import Host


class Failing:
    """Whatever it is asked, it fails, and says what nobody should read."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("secret words from /root/secret/path.py")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/sessions", f"/v1/sessions/{NOBODY}", "/metrics"])
def test_an_error_of_the_server_is_told_by_number_alone(
    host: Host, tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(host, tmp_path)
    app.state.services.host = Failing()
    with caplog.at_level(logging.ERROR):
        response = client_of(app).get(path)
    assert (response.status_code, code_of(response)) == (500, "internal")
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    number = response.json()["error"]["what"].rstrip(".").rpartition(" ")[2]
    assert len(number) == 8
    assert number in caplog.text
    assert "secret words" in caplog.text
    assert NOBODY not in caplog.text


def test_what_is_refused_is_not_said_back_at_length(local: TestClient) -> None:
    body = {"seed": "x" * 30_000, "y" * 30_000: 1}
    response = local.post("/v1/sessions", json=body)
    assert response.status_code == 422
    assert len(response.content) < 1000


def test_every_answer_has_the_headers_that_browsers_obey(local: TestClient) -> None:
    for path in ("/healthz", "/v1/models", "/nothing", "/", "/metrics"):
        headers = local.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
    assert local.get("/v1/models").headers["cache-control"] == "no-store"
