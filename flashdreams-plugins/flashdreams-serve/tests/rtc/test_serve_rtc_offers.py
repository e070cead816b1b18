"""Offers: good ones are answered, all others are refused and leave nothing behind."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection
from rtc_ends import Desk, descriptors, nothing_left

from flashdreams_serve.web.problems import ProblemError
from flashdreams_serve.web.rtc_offer import MOST_CANDIDATES, read_offer


def offered(*, video: bool = True, channel: bool = True, audio: bool = False) -> str:
    async def make() -> str:
        connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        if video:
            connection.addTransceiver("video", direction="recvonly")
        if audio:
            connection.addTransceiver("audio", direction="recvonly")
        if channel:
            connection.createDataChannel("control")
        await connection.setLocalDescription(await connection.createOffer())
        sdp = str(connection.localDescription.sdp)
        await connection.close()
        return sdp

    return asyncio.run(make())


GOOD = offered()

BAD = {
    "empty": "",
    "garbage": "hello\nworld\n",
    "huge": GOOD + "a=x:" + "y" * 70_000,
    "many lines": GOOD + "a=x\r\n" * 20_000,
    "no video": offered(video=False),
    "no channel": offered(channel=False),
    "audio too": offered(audio=True),
    "two videos": GOOD + GOOD[GOOD.index("m=video") : GOOD.index("m=application")],
    "sends only": GOOD.replace("a=recvonly", "a=sendonly"),
    "inactive": GOOD.replace("a=recvonly", "a=inactive"),
    "no codec": GOOD.replace("H264", "H999").replace("VP8", "VP0"),
    **{
        f"hidden by {space!r}": GOOD + f"{space}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:2\r\na=sendonly\r\n"
        for space in (" ", "\t", "\x1f")
    },
    "an empty bundle too": GOOD.replace("a=group:BUNDLE", "a=group:BUNDLE\r\na=group:BUNDLE", 1),
    "a foreign bundle too": GOOD.replace("a=group:BUNDLE", "a=group:BUNDLE 7\r\na=group:BUNDLE", 1),
    "no bundle": GOOD.replace("a=group:BUNDLE", "a=group:LS"),
    "no ufrag": "\r\n".join(line for line in GOOD.splitlines() if not line.startswith("a=ice-ufrag")),
    "no fingerprint": "\r\n".join(line for line in GOOD.splitlines() if "fingerprint" not in line),
    "no mids": "\r\n".join(line for line in GOOD.splitlines() if not line.startswith("a=mid")),
    "bad port": GOOD.replace("m=video ", "m=video x"),
    "bad setup": GOOD.replace("a=setup:actpass", "a=setup:\0"),
    "bad rtpmap": GOOD.replace("a=rtpmap:", "a=rtpmap:?"),
    "bad fmtp": GOOD.replace("profile-level-id=", "profile-level-id=zz").replace("VP8", "VP0"),
    "bad candidate": GOOD.replace("a=ice-ufrag", "a=candidate:1 1 udp\r\na=ice-ufrag"),
    "no lines": GOOD.replace("\r\n", " "),
    "half": GOOD[: len(GOOD) // 3],
}


def test_bad_offers_are_refused_and_leave_nothing_behind(at_desk):
    async def test(desk: Desk) -> None:
        session, before = desk.open(), descriptors()
        for name, sdp in BAD.items():
            with pytest.raises(ProblemError) as caught:
                await desk.desk.answer(session, sdp)
            assert (caught.value.problem.code, name) == ("bad_sdp", name)
            assert caught.value.problem.status == 409
            assert (desk.desk._peers, name) == ({}, name)
            await nothing_left()
        assert descriptors() <= before

    at_desk(test)


def test_offers_with_their_lines_in_disorder_are_answered_or_refused(at_desk):
    async def test(desk: Desk) -> None:
        session, rng, lines = desk.open(), np.random.default_rng(6), GOOD.splitlines()
        codes = []
        for _ in range(60):
            changed = [*lines]
            for place in rng.integers(0, len(lines), 3):
                other = int(rng.integers(0, len(lines)))
                changed[place] = [changed[other], changed[place][: other % 7], changed[place] + "x9"][
                    other % 3
                ]
            try:
                await desk.desk.answer(session, "\r\n".join([*changed, ""]))
                codes.append("answered")
            except ProblemError as error:
                codes.append(error.problem.code)
        assert {*codes} == {"answered", "bad_sdp"}

    at_desk(test)


@pytest.mark.parametrize("end", ["\r", "\u2028", "\n", "\x0b"])
def test_lines_end_where_the_library_says_so(end):
    candidate = "a=candidate:1 1 udp 1 127.0.0.1 5000 typ host"
    bare = [line for line in GOOD.splitlines() if not line.startswith(("a=candidate", "a=end-of"))]
    sdp = end.join([*bare[: bare.index("a=mid:0")], candidate, *bare[bare.index("a=mid:0") :], ""])
    assert candidates_of(read_offer(sdp).sdp) == [[candidate], [candidate]]


def test_candidates_that_cannot_be_tried_are_left_out():
    candidate = "a=candidate:{} {} {} 2113937151 {} 50000 typ host\r\n"
    lines = [
        candidate.format("mdns", 1, "udp", "7bf26909-43b4-4592-b168-2bc2aea4a954.local"),
        candidate.format("tcp", 1, "tcp", "127.0.0.1"),
        candidate.format("rtcp", 2, "udp", "127.0.0.1"),
        "a=candidate:short 1 udp 1 127.0.0.1 1 typ host\r\n",
        *[candidate.format(f"kept{number}", 1, "udp", "127.0.0.1") for number in range(40)],
    ]
    sdp = read_offer(GOOD.replace("a=ice-ufrag", "".join(lines) + "a=ice-ufrag", 1)).sdp
    video, channel = candidates_of(sdp)
    assert len(video) == MOST_CANDIDATES
    assert not any(word in "".join(video + channel) for word in ("mdns", "tcp ", "rtcp"))
    assert "a=end-of-candidates" not in sdp


def candidates_of(sdp: str) -> list[list[str]]:
    """The candidates in each section of an offer."""
    sections = sdp.split("m=")[1:]
    return [
        [line for line in section.splitlines() if line.startswith("a=candidate:")] for section in sections
    ]


def test_candidates_count_that_are_in_the_section_whose_transport_carries_all():
    """Browsers that bundle from the start name none in the others; Firefox may name some that it drops."""
    bare = "".join(
        line for line in GOOD.splitlines(keepends=True) if not line.startswith(("a=candidate", "a=end-of"))
    )
    video, channel = (f"a=candidate:{name} 1 udp 1 127.0.0.1 5000 typ host" for name in ("video", "channel"))
    parts = bare.split("a=ice-ufrag")
    for dropped in ("", f"{channel}\r\n"):
        sdp = "a=ice-ufrag".join([f"{parts[0]}{video}\r\n", f"{parts[1]}{dropped}", parts[2]])
        assert candidates_of(read_offer(sdp).sdp) == [[video], [video]]
