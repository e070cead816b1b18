"""Who may not come in, and what does not come out."""

from __future__ import annotations

import io
import json
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient, WebSocketDenialResponse

from flashdreams.plugins.registry import installed_registry
from flashdreams_serve.host.host import Host
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web.access import COOKIE
from flashdreams_serve.web.app import make_app
from flashdreams_serve.web.metrics import Metrics
from flashdreams_serve.web.rates import Bucket, Rates

BASE = "http://127.0.0.1"
TOKEN = "correct-horse-battery"
BEARER = {"authorization": f"Bearer {TOKEN}"}
NOBODY = "x" * 22
OPEN = {"/healthz", "/readyz"}
INVITED, FOREIGN = "https://friend.example", "https://foe.example"
FOREIGN_ORIGINS = (
    FOREIGN,
    "null",
    "",
    "http://127.0.0.1:1",
    "http://127.0.0.1.foe.example",
    "file://127.0.0.1",
    "http://[",
)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    settings = ServeSettings(webrtc=False, limits=Limits(sessions=2, queue=50, sessions_per_client=1000))
    host = Host(installed_registry().runner_config("pocket-racer"), settings)
    host.start()
    assert host.wait_ready(60)
    yield host
    host.stop()


def app_of(dreaming: Host, folder: Path, limits: dict[str, Any] | None = None, **about: Any) -> FastAPI:
    bounds = Limits(**{"requests_per_second": 1e6, **(limits or {})})
    settings = ServeSettings(webrtc=False, limits=bounds, **about)
    return make_app(dreaming, settings, shelf=Shelf(folder, 10**8), metrics=Metrics())


def client_of(app: FastAPI, base: str = BASE, **about: Any) -> TestClient:
    return TestClient(app, base_url=base, raise_server_exceptions=False, follow_redirects=False, **about)


@pytest.fixture
def guarded(host: Host, tmp_path: Path) -> TestClient:
    """Reached from everywhere, with a token."""
    return client_of(app_of(host, tmp_path, host="0.0.0.0", token=TOKEN), "http://dreams.example")


@pytest.fixture
def local(host: Host, tmp_path: Path) -> TestClient:
    """On loopback, without a token, with one invited origin."""
    return client_of(app_of(host, tmp_path, origins=(INVITED,)))


def code_of(response: Any) -> str:
    return str(response.json()["error"]["code"])


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


# The token


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


# The token in a browser


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


# The WebSocket


def dialled(client: TestClient, path: str = f"/v1/sessions/{NOBODY}/stream", **about: Any) -> int:
    """The status with which a WebSocket is refused."""
    url = str(client.base_url).replace("http", "ws", 1).rstrip("/") + path
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(url, **about):
        pass
    return denied.value.status_code


def test_the_websocket_needs_the_token(guarded: TestClient) -> None:
    assert dialled(guarded) == 401
    assert dialled(guarded, headers={"authorization": "Bearer wrong"}) == 401
    assert dialled(guarded, subprotocols=["flashdreams.v1", "bearer.wrong"]) == 401
    assert dialled(guarded, "/v1/nothing") == 401


def test_the_websocket_takes_the_token_as_header_or_subprotocol(guarded: TestClient) -> None:
    assert dialled(guarded, headers=BEARER) == 404  # let in, and there is no such session
    assert dialled(guarded, subprotocols=["flashdreams.v1", f"bearer.{TOKEN}"]) == 404


def test_the_websocket_refuses_a_foreign_page(local: TestClient) -> None:
    assert dialled(local, headers={"origin": FOREIGN}) == 403
    assert dialled(local, headers={"origin": "null"}) == 403
    assert dialled(local, headers={"origin": BASE}) == 404
    assert dialled(local, headers={"origin": INVITED}) == 404
    assert dialled(local) == 404  # no browser


# Origins and names


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


# Files


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
    "0001-all.mp4.part",
    "....//secret.mp4",
    "%252e%252e%252fsecret.mp4",
]


@pytest.mark.parametrize("name", TRAVERSALS)
def test_names_of_videos_lead_nowhere_else(host: Host, tmp_path: Path, name: str) -> None:
    app = app_of(host, tmp_path / "shelf")
    (tmp_path / "secret.mp4").write_text("secret")
    app.state.services.shelf.store_log(NOBODY, {"secret": "secret"})
    response = client_of(app).get(f"/v1/sessions/{NOBODY}/videos/{name}")
    assert response.status_code in (404, 422)
    assert "secret" not in response.text
    assert "root:" not in response.text


@pytest.mark.parametrize("session", ["..", "%2e%2e", "..%2f..", "a" * 65, "a/b", "%00", "é" * 22])
def test_names_of_sessions_lead_nowhere_else(local: TestClient, session: str) -> None:
    assert local.get(f"/v1/sessions/{session}/videos").status_code in (404, 422)


# Sizes


def big(size: int) -> Iterator[bytes]:
    """A body whose size is not declared."""
    for _ in range(size // 1000):
        yield b" " * 1000


def test_a_body_that_says_it_is_too_large_is_not_read(host: Host, tmp_path: Path) -> None:
    client = client_of(app_of(host, tmp_path, dict(upload_bytes=5000)))
    headers = {"content-type": "image/png", "content-length": "5001"}
    response = client.post("/v1/images", content=b"", headers=headers)
    assert (response.status_code, code_of(response)) == (413, "too_large")


@pytest.mark.parametrize(
    ("path", "kind", "most"),
    [
        ("/v1/images", "image/png", 5000),
        ("/v1/sessions", "application/json", 20_000),
        (f"/v1/sessions/{NOBODY}/offer", "application/json", 250_000),
        ("/login", "application/x-www-form-urlencoded", 9000),
    ],
)
def test_a_body_that_does_not_say_so_is_cut_off(
    host: Host, tmp_path: Path, path: str, kind: str, most: int
) -> None:
    limits = dict(upload_bytes=5000, log_bytes=20_000, message_bytes=9000)
    client = client_of(app_of(host, tmp_path, limits, token=TOKEN))
    headers = {"content-type": kind, **BEARER}
    response = client.post(path, content=big(most + 3000), headers=headers)
    assert (response.status_code, code_of(response)) == (413, "too_large")


def test_only_a_control_log_may_fill_a_large_body(host: Host, tmp_path: Path) -> None:
    app = app_of(host, tmp_path, dict(message_bytes=2000))
    client = client_of(app)
    body = '{"seed": 1' + " " * 3000 + "}"
    response = client.post("/v1/sessions", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, code_of(response)) == (413, "too_large")
    client, body = client_of(app, client=("10.0.0.2", 1)), json.dumps({"log": {"padding": "x" * 3000}})
    response = client.post("/v1/sessions", content=body, headers={"content-type": "application/json"})
    assert code_of(response) == "bad_control"


@pytest.mark.parametrize("is_counted", [True, False])
def test_large_control_logs_are_taken_one_at_a_time(host: Host, tmp_path: Path, is_counted: bool) -> None:
    app = app_of(host, tmp_path, dict(message_bytes=2000))
    client, calm = client_of(app), client_of(app, client=("10.0.0.2", 1))
    body = json.dumps({"log": {"padding": "x" * 3000}}).encode()
    headers = {"content-type": "application/json"}
    sent = [body if is_counted else iter([body]) for _ in range(3)]
    first, second = (client.post("/v1/sessions", content=each, headers=headers) for each in sent[:2])
    assert (code_of(first), code_of(second)) == ("bad_control", "too_many_requests")
    assert 1 <= int(second.headers["retry-after"]) <= 6
    assert code_of(calm.post("/v1/sessions", content=sent[2], headers=headers)) == "bad_control"
    assert client.post("/v1/sessions", json={}).status_code in (201, 202)  # a small one costs little


def png_bomb(side: int) -> bytes:
    """A small PNG of very many pixels."""
    raw = zlib.compress(b"\0" * (1 + (side + 7) // 8) * side, 9)
    parts = (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", raw), (b"IEND", b"")
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_decompression_bomb_is_not_decoded(local: TestClient) -> None:
    bomb = png_bomb(8000)
    assert len(bomb) < 20_000
    response = local.post("/v1/images", content=bomb, headers={"content-type": "image/png"})
    assert (response.status_code, code_of(response)) == (409, "bad_image")
    assert len(local.app.state.services.images) == 0


@pytest.mark.parametrize("kind", ["image/svg+xml", "image/gif", "text/html", "application/octet-stream", ""])
def test_only_some_types_of_images_are_taken(local: TestClient, kind: str) -> None:
    response = local.post("/v1/images", content=b"GIF89a", headers={"content-type": kind})
    assert (response.status_code, code_of(response)) == (415, "wrong_type")


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_an_image_that_is_another_than_it_says_is_refused(local: TestClient, kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    response = local.post("/v1/images", content=file.getvalue(), headers={"content-type": "image/png"})
    assert (response.status_code, code_of(response)) == (409, "bad_image")


def test_only_a_few_images_are_kept(local: TestClient) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    for _ in range(10):
        sent = local.post("/v1/images", content=file.getvalue(), headers={"content-type": "image/png"})
        assert sent.status_code == 201
    assert len(local.app.state.services.images) == 4


# Rates


def test_a_client_that_asks_too_often_is_told_to_wait_and_others_are_not(host: Host, tmp_path: Path) -> None:
    app = app_of(host, tmp_path, dict(requests_per_second=2.0))
    eager, calm = client_of(app, client=("10.0.0.1", 1)), client_of(app, client=("10.0.0.2", 1))
    answers = [eager.get("/v1/models") for _ in range(8)]
    assert [answer.status_code for answer in answers[:4]] == [200] * 4
    assert answers[-1].status_code == 429
    assert code_of(answers[-1]) == "too_many_requests"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert calm.get("/v1/models").status_code == 200
    assert eager.get("/healthz").status_code == 200
    assert eager.get("/").status_code == 200  # the page is many files


def test_guessing_tokens_at_the_page_counts_too(host: Host, tmp_path: Path) -> None:
    client = client_of(app_of(host, tmp_path, dict(requests_per_second=2.0), token=TOKEN))
    statuses = [client.get("/", headers={"authorization": f"Bearer {i}"}).status_code for i in range(8)]
    assert statuses[:4] == [401] * 4
    assert statuses[-1] == 429


def test_a_bucket_lets_through_a_burst_and_then_its_rate() -> None:
    now = [0.0]
    bucket = Bucket(10.0, clock=lambda: now[0])
    assert sum(bucket.take() for _ in range(100)) == 20
    now[0] += 1.0
    assert sum(bucket.take() for _ in range(100)) == 10
    assert bucket.seconds_to_next == pytest.approx(0.1)


def test_only_so_many_addresses_are_remembered() -> None:
    rates = Rates(1.0, most=10)
    for number in range(100):
        rates.bucket(f"10.0.0.{number}")
    assert len(rates) == 10


# What does not come out


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
