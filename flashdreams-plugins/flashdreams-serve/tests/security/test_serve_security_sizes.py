"""Bodies that are too large, and images that are too large, too many, or none."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from security_clients import BEARER, NOBODY, TOKEN, app_of, client_of, code_of
from starlette.testclient import TestClient

from flashdreams_serve.host.host import Host


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


# Images


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
