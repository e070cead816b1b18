"""The requests about models, sessions, images and videos, with a host that dreams."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from flashdreams.io.mp4 import Mp4Writer
from flashdreams.plugins.registry import installed_registry
from flashdreams_serve.host.host import Host
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web.app import make_app
from flashdreams_serve.web.metrics import Metrics

BASE = "http://127.0.0.1"
NOBODY = "x" * 22


class Served:
    """A host with an application in front of it."""

    def __init__(self, folder: Path, settings: ServeSettings, host: Host | None = None) -> None:
        self.metrics = Metrics()
        self.shelf = Shelf(folder, 10**8)
        config = installed_registry().runner_config("pocket-racer")
        self.host = host or Host(config, settings, observer=self.metrics)
        self.settings = settings
        self.app: FastAPI = make_app(self.host, settings, shelf=self.shelf, metrics=self.metrics)

    def client(self, **about: Any) -> TestClient:
        return TestClient(self.app, base_url=BASE, raise_server_exceptions=False, **about)


def generous(**limits: Any) -> Limits:
    return Limits(**dict(sessions=2, queue=2, requests_per_second=1e6) | limits)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = generous(upload_bytes=100_000, upload_pixels=250_000)
    settings = ServeSettings(webrtc=False, limits=limits)
    served = Served(tmp_path_factory.mktemp("saved"), settings)
    served.host.start()
    assert served.host.wait_ready(60)
    yield served
    served.host.stop()


@pytest.fixture
def client(served: Served) -> Iterator[TestClient]:
    client = served.client()
    yield client
    for session in list(served.host._reception.living):
        client.delete(f"/v1/sessions/{session.id}")


def picture(kind: str, size: tuple[int, int] = (80, 60)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(file, kind)
    return file.getvalue()


def code_of(response: Any) -> str:
    error = response.json()["error"]
    assert set(error) == {"code", "what", "right", "next"}
    assert all(error.values())
    return str(error["code"])


def test_it_lives_and_is_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"phase": "ready"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/", "/metrics"])
def test_whatever_can_be_read_can_be_asked_for_without_its_body(client: TestClient, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert head.status_code == whole.status_code == 200
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_before_the_model_is_loaded_it_lives_and_is_not_ready(tmp_path: Path) -> None:
    client = Served(tmp_path, ServeSettings(webrtc=False)).client()
    assert client.get("/healthz").status_code == 200
    response = client.get("/readyz")
    assert (response.status_code, response.json()["phase"]) == (503, "loading")
    assert code_of(response) == "not_ready"
    assert int(response.headers["retry-after"]) >= 1


def test_the_model_tells_how_it_is_steered(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["slug"], model["height"], model["width"]) == ("pocket-racer", 64, 64)
    assert model["transports"] == ["websocket"]
    steer = next(axis for axis in model["steering"]["axes"] if axis["name"] == "steer")
    assert steer["keys"]["ArrowLeft"] < steer["rest"] < steer["keys"]["ArrowRight"]
    assert model["limits"]["upload_bytes"] == 100_000


def test_a_session_is_opened_shown_and_closed(client: TestClient) -> None:
    opened = client.post("/v1/sessions", json={"seed": 7})
    assert opened.status_code == 201
    body = opened.json()
    assert body["seed"] == 7
    assert opened.headers["location"] == f"/v1/sessions/{body['session']}"
    shown = client.get(opened.headers["location"])
    assert (shown.status_code, shown.json()["session"]) == (200, body["session"])
    assert client.delete(opened.headers["location"]).status_code == 204
    ended = client.get(opened.headers["location"]).json()
    assert (ended["state"], ended["reason"]) == ("ended", "closed")
    assert client.delete(opened.headers["location"]).status_code == 204


def test_a_session_needs_no_body(client: TestClient) -> None:
    assert client.post("/v1/sessions").status_code == 201


def test_a_full_server_answers_with_the_place_in_the_queue_and_then_refuses(client: TestClient) -> None:
    answers = [client.post("/v1/sessions", json={}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 202, 202, 429]
    assert [answer.json()["position"] for answer in answers[2:4]] == [1, 2]
    assert code_of(answers[4]) == "queue_full"
    assert "retry-after" in answers[4].headers


def test_the_list_of_sessions_names_nobody(client: TestClient) -> None:
    names = [client.post("/v1/sessions").json()["session"] for _ in range(2)]
    listing = client.get("/v1/sessions")
    assert len(listing.json()["sessions"]) == listing.json()["limit"] == 2
    assert not any(name in listing.text for name in names)
    assert "seed" not in listing.text


def test_the_log_of_a_session_opens_another_like_it(client: TestClient) -> None:
    name = client.post("/v1/sessions", json={"seed": 5}).json()["session"]
    log = _eventually(client, f"/v1/sessions/{name}/log")["log"]
    again = client.post("/v1/sessions", json={"log": log})
    assert (again.status_code, again.json()["seed"]) == (201, 5)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"log": {"no": "log"}}, 409, "bad_control"),
        ({"prompt": "a road"}, 409, "bad_opening"),
        ({"start": "nowhere"}, 409, "bad_opening"),
        ({"image": "never-sent"}, 404, "no_such_image"),
        ({"seed": -1}, 422, "bad_request"),
        ({"seed": "7"}, 422, "bad_request"),
        ({"seed": True}, 422, "bad_request"),
        ({"seed": 2**80}, 422, "bad_request"),
        ({"unknown": 1}, 422, "bad_request"),
        ([], 422, "bad_request"),
    ],
)
def test_a_session_does_not_begin_with_anything(
    client: TestClient, body: Any, status: int, code: str
) -> None:
    response = client.post("/v1/sessions", json=body)
    assert (response.status_code, code_of(response)) == (status, code)


@pytest.mark.parametrize("body", ["{", "nonsense", "NaN", '{"seed": NaN}', "[" * 50_000, '{"seed": 1e999}'])
def test_a_body_that_is_no_json_is_refused(client: TestClient, body: str) -> None:
    response = client.post("/v1/sessions", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert code_of(response) == "bad_request"


def test_a_body_of_another_type_is_refused(client: TestClient) -> None:
    response = client.post("/v1/sessions", content="seed=1", headers={"content-type": "text/plain"})
    assert (response.status_code, code_of(response)) == (415, "wrong_type")
    untyped = client.post("/v1/sessions", content=b"seed=1")
    assert (untyped.status_code, code_of(untyped)) == (415, "wrong_type")


@pytest.mark.parametrize("rest", ["", "/log", "/videos", "/videos/0001-all.mp4"])
def test_who_names_no_session_finds_nothing(client: TestClient, rest: str) -> None:
    response = client.get(f"/v1/sessions/{NOBODY}{rest}")
    assert response.status_code == 404
    assert code_of(response).startswith("no_such_")


def test_what_is_not_there_and_what_cannot_be_done_is_said_so(client: TestClient) -> None:
    assert code_of(client.get("/v2/models")) == "not_found"
    wrong = client.put("/v1/models")
    assert (wrong.status_code, code_of(wrong)) == (405, "wrong_method")
    assert "GET" in wrong.headers["allow"]


def test_without_webrtc_an_offer_is_refused(client: TestClient) -> None:
    name = client.post("/v1/sessions").json()["session"]
    offer = {"type": "offer", "sdp": "v=0"}
    response = client.post(f"/v1/sessions/{name}/offer", json=offer)
    assert (response.status_code, code_of(response)) == (409, "no_webrtc")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_taken_and_kept_for_who_sent_it(served: Served, kind: str) -> None:
    headers = {"content-type": f"image/{kind.lower()}"}
    sent = served.client(client=("10.0.0.1", 1)).post("/v1/images", content=picture(kind), headers=headers)
    assert sent.status_code == 201
    images = served.app.state.services.images
    found = images.find(sent.json()["image"], "10.0.0.1")
    assert (found.shape, found.dtype) == ((64, 64, 3), np.uint8)
    assert images.find(sent.json()["image"], "10.0.0.2") is None


def test_saved_videos_are_given_in_parts(served: Served, client: TestClient, tmp_path: Path) -> None:
    name = client.post("/v1/sessions").json()["session"]
    with Mp4Writer(tmp_path / "video.mp4", fps=10, height=16, width=16) as writer:
        writer.write(np.zeros((4, 16, 16, 3), np.uint8))
    video = (tmp_path / "video.mp4").read_bytes()
    saved = served.shelf.put(name, "last-1s", video)
    (listed,) = client.get(f"/v1/sessions/{name}/videos").json()["videos"]
    assert (listed["name"], listed["bytes"]) == (saved, len(video))
    whole = client.get(f"/v1/sessions/{name}/videos/{saved}")
    assert (whole.content, whole.headers["content-type"]) == (video, "video/mp4")
    part = client.get(f"/v1/sessions/{name}/videos/{saved}", headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    beyond = client.get(f"/v1/sessions/{name}/videos/{saved}", headers={"range": "bytes=999999-"})
    assert beyond.status_code == 416


def test_the_figures_tell_of_sessions_and_refusals(client: TestClient) -> None:
    client.post("/v1/sessions", json={"seed": -1})
    client.post("/v1/sessions")
    figures = client.get("/metrics")
    assert figures.headers["content-type"].startswith("text/plain")
    lines = figures.text.splitlines()
    assert 'flashdreams_phase{phase="ready"} 1.0' in lines
    assert any(line.startswith('flashdreams_refused_total{code="bad_request"}') for line in lines)
    assert any(line.startswith("flashdreams_sessions_opened_total") for line in lines)


@pytest.mark.parametrize("path", ["/", "/page/favicon.svg", "/docs", "/docs/reference.js"])
def test_a_page_is_served_with_strict_headers_and_not_twice(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    again = client.get(path, headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/page/../web/app.py", "/page/%2e%2e/settings.py", "/page/nothing.js"])
def test_only_the_files_of_the_page_are_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_pages_ask_nobody_else_for_anything(client: TestClient) -> None:
    for path in ("/", "/docs", "/docs/reference.js", "/docs/reference.css"):
        assert "http://" not in client.get(path).text.replace("http://www.w3.org", "")
        assert "https://" not in client.get(path).text


def _eventually(client: TestClient, path: str) -> Any:
    """The answer, once a session that has just been opened has begun."""
    for _ in range(500):
        response = client.get(path)
        if response.status_code == 200:
            return response.json()
        assert code_of(response) == "not_begun"
    raise TimeoutError
