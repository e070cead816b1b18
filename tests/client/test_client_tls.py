"""The client and a server with a certificate that signs itself."""

import asyncio

import pytest

from flashdreams.client import AsyncClient, Client
from flashdreams.errors import NoServerError


def test_a_certificate_that_is_given_is_trusted_for_requests_and_sessions(tls_url, certificate):
    with Client(tls_url, certificate=certificate) as client:
        client.wait_ready()
        with client.open(seed=1) as session:
            assert len(list(session.frames(limit=3, timeout=10))) == 3


def test_a_certificate_that_is_not_given_is_not_trusted(tls_url):
    with Client(tls_url) as client, pytest.raises(NoServerError, match="not trusted") as caught:
        client.models()
    assert caught.value.code == "not_trusted"
    assert "certificate=" in caught.value.next


def test_websockets_say_the_same(tls_url):
    async def attach():
        async with AsyncClient(tls_url) as client:
            await client.attach("AAAAAAAAAAAAAAAAAAAAAA")

    with pytest.raises(NoServerError) as caught:
        asyncio.run(attach())
    assert caught.value.code == "not_trusted"


def test_http_to_a_server_with_tls_and_the_reverse_are_told_apart(tls_url, server):
    for url, code, other in (
        (tls_url.replace("https:", "http:"), "no_http", "https://"),
        (server.url.replace("http:", "https:"), "no_tls", "http://"),
    ):
        with Client(url) as client, pytest.raises(NoServerError, match="Somebody answers") as caught:
            client.models()
        assert caught.value.code == code
        assert f"Try {other}" in caught.value.next


def test_a_file_that_holds_no_certificate_is_refused_at_once(tmp_path):
    (tmp_path / "none.pem").write_text("none")
    for name in ("none.pem", "nowhere.pem"):
        with pytest.raises(NoServerError, match="no certificate") as caught:
            Client("https://127.0.0.1:1", certificate=tmp_path / name)
        assert caught.value.code == "no_certificate"
