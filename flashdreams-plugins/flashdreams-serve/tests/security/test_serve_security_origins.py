"""Pages of others, and servers that are called by another name."""

from __future__ import annotations

import pytest
from security_clients import BASE, FOREIGN, INVITED, NOBODY, code_of, dialled
from starlette.testclient import TestClient


def test_the_websocket_refuses_a_foreign_page(local: TestClient) -> None:
    assert dialled(local, headers={"origin": FOREIGN}) == 403
    assert dialled(local, headers={"origin": "null"}) == 403
    assert dialled(local, headers={"origin": BASE}) == 404
    assert dialled(local, headers={"origin": INVITED}) == 404
    assert dialled(local) == 404  # no browser


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_foreign_page_changes_nothing(local: TestClient, method: str) -> None:
    for origin in (
        FOREIGN,
        "null",
        "http://127.0.0.1:1",
        "http://127.0.0.1.foe.example",
        "file://127.0.0.1",
        "http://[",
        "",
    ):
        response = local.request(method, f"/v1/sessions/{NOBODY}", headers={"origin": origin})
        assert (response.status_code, code_of(response)) == (403, "foreign_origin"), origin
    assert local.request("DELETE", f"/v1/sessions/{NOBODY}", headers={"origin": BASE}).status_code == 404


def test_a_foreign_page_reads_nothing(local: TestClient) -> None:
    response = local.get("/v1/models", headers={"origin": FOREIGN})
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    preflight = {"origin": FOREIGN, "access-control-request-method": "POST"}
    refused = local.options("/v1/sessions", headers=preflight)
    assert refused.status_code == 403
    assert "access-control-allow-methods" not in refused.headers


def test_an_invited_page_may(local: TestClient) -> None:
    preflight = {"origin": INVITED, "access-control-request-method": "POST"}
    allowed = local.options("/v1/sessions", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, INVITED)
    assert "access-control-allow-credentials" not in allowed.headers
    response = local.get("/v1/models", headers={"origin": INVITED})
    assert response.headers["access-control-allow-origin"] == INVITED
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize("name", ["foe.example", "127.0.0.1.foe.example", "", "localhost.foe.example", "[::"])
def test_a_server_on_loopback_is_not_called_by_another_name(local: TestClient, name: str) -> None:
    for path in ("/v1/models", "/", "/healthz"):
        response = local.get(path, headers={"host": name})
        assert (response.status_code, code_of(response)) == (403, "foreign_name")


@pytest.mark.parametrize("name", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST", "friend.example"])
def test_it_is_called_by_its_own(local: TestClient, name: str) -> None:
    assert local.get("/v1/models", headers={"host": name}).status_code == 200
