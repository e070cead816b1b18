"""Without the token, nobody comes in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from security_clients import BEARER, NOBODY, TOKEN, app_of, client_of, code_of, dialled
from starlette.testclient import TestClient

from flashdreams_serve.host.host import Host
from flashdreams_serve.web.access import COOKIE

OPEN = {"/healthz", "/readyz"}


def all_requests(app: FastAPI) -> set[tuple[str, str]]:
    """Every method and path that is described, and every one that is not, with names filled in."""
    described = {
        (method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods
    }
    known = {(method, route.path) for route in _routes(app) for method in getattr(route, "methods", ())}
    return {
        (method, path.replace("{session}", NOBODY).replace("{name}", "0001-all.mp4"))
        for method, path in described | known
    }


def _routes(router: Any) -> Iterator[Any]:
    for route in router.routes:
        included = getattr(route, "original_router", None)
        yield from [route] if included is None else _routes(included)


def test_every_request_but_health_needs_the_token(guarded: TestClient) -> None:
    requests = all_requests(guarded.app)
    assert {path for _, path in requests} >= {"/", "/docs", "/openapi.json", "/metrics", "/v1/models"}
    for method, path in sorted(requests):
        response = guarded.request(method, path)
        assert (response.status_code != 401) == (path in OPEN), (method, path)
        if method != "HEAD" and path not in OPEN:
            assert code_of(response) == "no_token"
            assert response.headers["www-authenticate"] == "Bearer"


def test_what_is_not_there_is_not_told_apart_without_the_token(guarded: TestClient) -> None:
    for path in ("/nothing", "/v1/nothing", "//healthz", "/healthz/", "/healthz/../v1/models", "/HEALTHZ"):
        assert guarded.get(path).status_code == 401, path


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        TOKEN,
        "Bearer \xff",
    ],
)
def test_a_wrong_token_is_refused(guarded: TestClient, shown: str) -> None:
    response = guarded.get("/v1/models", headers={"authorization": shown.encode("latin-1")})
    assert response.status_code == 401


def test_the_token_opens(guarded: TestClient) -> None:
    assert guarded.get("/v1/models", headers=BEARER).status_code == 200
    assert guarded.get("/v1/models", headers={"authorization": f"bearer  {TOKEN} "}).status_code == 200


def test_without_any_token_a_server_that_others_reach_opens_to_nobody(host: Host, tmp_path: Path) -> None:
    client = client_of(app_of(host, tmp_path, host="0.0.0.0"))
    assert client.get("/healthz").status_code == 200
    for headers in ({}, BEARER, {"authorization": "Bearer "}, {"cookie": f"{COOKIE}="}):
        assert client.get("/v1/models", headers=headers).status_code == 401


def test_a_server_on_loopback_may_have_a_token_too(host: Host, tmp_path: Path) -> None:
    client = client_of(app_of(host, tmp_path, token=TOKEN))
    assert client.get("/v1/models").status_code == 401
    assert client.get("/v1/models", headers=BEARER).status_code == 200


# In a browser


def test_a_browser_is_asked_for_the_token_and_keeps_a_cookie_instead(guarded: TestClient) -> None:
    asked = guarded.get("/", headers={"accept": "text/html,*/*"})
    assert asked.status_code == 401
    assert asked.headers["content-type"].startswith("text/html")
    assert 'action="/login"' in asked.text
    assert "unsafe" not in asked.headers["content-security-policy"]
    entered = guarded.post("/login", data={"token": TOKEN})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert guarded.get("/v1/models").status_code == 200  # the client keeps cookies, as a browser does


def test_a_link_with_the_token_does_not_stay_in_the_address_bar(guarded: TestClient) -> None:
    entered = guarded.get(f"/?token={TOKEN}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert guarded.get("/v1/models").status_code == 200


def test_the_cookie_is_secure_where_the_way_is(host: Host, tmp_path: Path) -> None:
    app = app_of(host, tmp_path, host="0.0.0.0", token=TOKEN)
    plain = client_of(app, "http://dreams.example").get(f"/?token={TOKEN}")
    assert "Secure" not in plain.headers["set-cookie"]
    safe = client_of(app, "https://dreams.example", client=("10.0.0.9", 1)).get(f"/?token={TOKEN}")
    assert "Secure" in safe.headers["set-cookie"]


def test_the_token_itself_is_no_cookie_and_a_foreign_cookie_does_not_open(guarded: TestClient) -> None:
    for value in (TOKEN, "", "0" * 64):
        response = guarded.get("/v1/models", headers={"cookie": f"{COOKIE}={value}"})
        assert response.status_code == 401


def test_trying_tokens_is_slow(guarded: TestClient) -> None:
    statuses = [guarded.post("/login", data={"token": f"guess-{i}"}).status_code for i in range(5)]
    assert statuses[0] == 401
    assert 429 in statuses
    refused = guarded.get("/?token=another-guess")
    assert (refused.status_code, code_of(refused)) == (429, "too_many_tries")
    assert "retry-after" in refused.headers


def test_a_form_without_a_token_is_refused(guarded: TestClient) -> None:
    response = guarded.post("/login", content=b"\xff%%%&&&==", headers={"content-type": "text/plain"})
    assert response.status_code == 401
    assert "set-cookie" not in response.headers


# At the WebSocket


def test_the_websocket_needs_the_token(guarded: TestClient) -> None:
    assert dialled(guarded) == 401
    assert dialled(guarded, headers={"authorization": "Bearer wrong"}) == 401
    assert dialled(guarded, subprotocols=["flashdreams.v1", "bearer.wrong"]) == 401
    assert dialled(guarded, "/v1/nothing") == 401


def test_the_websocket_takes_the_token_as_header_or_subprotocol(guarded: TestClient) -> None:
    assert dialled(guarded, headers=BEARER) == 404  # let in, and there is no such session
    assert dialled(guarded, subprotocols=["flashdreams.v1", f"bearer.{TOKEN}"]) == 404
