"""Where a server takes part, and by way of which ICE servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Any

import pytest
from rtc_ends import HERE, Client, Desk

from flashdreams_serve.settings import IceServer, ServeSettings
from flashdreams_serve.web.problems import ProblemError
from flashdreams_serve.web.rtc_seams import addresses_of, check_listens_only_at, listen_only_at
from flashdreams_serve.web.rtc_terms import configuration


def udp_addresses() -> set[str]:
    """Addresses that the UDP sockets of this process are bound to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as each:
            if each.type == socket.SOCK_DGRAM:
                found.add(each.getsockname()[0])
    return found


def has_loopback(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as each:
            each.bind((address, 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("bound", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1")]
)
def test_a_server_at_loopback_is_reached_at_loopback_only(host, tmp_path, bound, address):
    if address == "::1" and not has_loopback(address):
        pytest.skip("this machine has no IPv6")

    async def test() -> None:
        desk, client = Desk(host, tmp_path, bound), Client(addresses=[address])
        await client.connect(desk, desk.open())
        assert udp_addresses() == {address}
        answer = client.connection.remoteDescription.sdp
        hosts = {line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate:")}
        assert hosts == {address}
        assert (await client.frame()).shape == (396, 384, 3)
        await client.close()
        await desk.close()

    asyncio.run(test())


def test_addresses_follow_from_where_the_server_is_bound():
    assert addresses_of("127.0.0.1") == ("127.0.0.1",)
    assert addresses_of("localhost") == ("127.0.0.1",)
    assert addresses_of("::1") == ("::1",)
    assert addresses_of("0.0.0.0") is None
    assert addresses_of("::") is None


def test_ice_servers_are_those_of_the_settings_and_none_by_default():
    turn = IceServer(url="turn:turn.example.org?transport=udp", username="name", credential="word")
    assert configuration(ServeSettings(host="0.0.0.0")).iceServers == []
    [server] = configuration(ServeSettings(host="0.0.0.0", ice_servers=(turn,))).iceServers
    assert (server.urls, server.username, server.credential) == (turn.url, "name", "word")
    assert configuration(ServeSettings(ice_servers=(turn,))).iceServers == []


def test_a_library_that_does_not_fit_is_told_and_not_used():
    class Other:
        def getLocalCandidates(self) -> list[Any]:
            return []

    for seam in (listen_only_at, check_listens_only_at):
        with pytest.raises(ProblemError) as caught:
            seam(Other(), HERE)
        assert caught.value.problem.code == "no_webrtc"
