"""Bad input of every kind, drawn at random: messages, bodies, images, offers, logs."""

from __future__ import annotations

import json
import random
import struct
import zlib
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, 10**40, 0.5, -1e308, "", "x", "\0", "\ud800", "é" * 300),
    *([], {}, [[]], {"a": {"b": {}}}, [None] * 100, "../../etc/passwd", "<script>", "%s%n", "NaN"),
)

GOOD: tuple[dict[str, Any], ...] = (
    {"type": "control", "seq": 1, "values": {"steer": 0.1}, "sent_at": 1.0},
    {"type": "pause", "ask": 1},
    {"type": "resume", "ask": 1},
    {"type": "keep", "ask": 1, "name": "a"},
    {"type": "return", "ask": 1, "name": "a"},
    {"type": "save", "ask": 1, "seconds": 1.0},
    {"type": "reset", "ask": 1, "seed": 3},
    {"type": "log", "ask": 1},
    {"type": "report", "latency_ms": [1.0, 2.0]},
    {"type": "ping", "sent_at": 1.0},
    {"type": "hello", "version": 1, "codecs": ["jpeg"], "tag": False},
)

BAD: tuple[dict[str, Any], ...] = (
    {"type": "nothing"},
    {"type": "control"},
    {"type": "control", "seq": -1, "values": {}},
    {"type": "control", "seq": 1.5, "values": {}},
    {"type": "control", "seq": 1, "values": {"steer": [1]}},
    {"type": "control", "seq": 1, "values": {str(n): 0.0 for n in range(200)}},
    {"type": "keep", "ask": 7},
    {"type": "keep", "ask": 7, "name": ""},
    {"type": "keep", "ask": 7, "name": "n" * 500},
    {"type": "return", "ask": 7, "name": "no such snapshot"},
    {"type": "save", "ask": 7, "seconds": -3},
    {"type": "save", "ask": 7, "seconds": "ten"},
    {"type": "reset", "ask": 7, "seed": "one"},
    {"type": "reset", "ask": 7, "start": "../../etc/passwd"},
    {"type": "reset", "ask": 7, "log": {"format": "pickle"}},
    {"type": "report", "latency_ms": [-1.0]},
    {"type": "report", "latency_ms": [0.0] * 500},
    {"type": "close"},
)
"""Messages that are to be answered by a typed error."""

TEXTS = (
    *("", " ", "{", "null", "[]", "7", '"hello"', "{}", '{"type": 3}', '{"type": "ping"', "\0", "[" * 5000),
    *('{"type": "control", "seq": 1, "values": {"steer": NaN}}', '{"type": "ping", "sent_at": 1e999}'),
)
"""Texts that are no messages; the server may answer, or close the connection with a code of the protocol."""


def mutated(draw: random.Random) -> dict[str, Any]:
    """A good message with something about it changed; it may still be good."""
    message = dict(draw.choice(GOOD))
    for _ in range(draw.randint(1, 3)):
        kind, name = draw.random(), draw.choice(list(message))
        if kind < 0.3 and len(message) > 1 and name != "type":
            del message[name]
        elif kind < 0.8:
            message[name if name != "type" or kind < 0.4 else "ask"] = draw.choice(VALUES)
        else:
            message[draw.choice(("extra", "__class__", "ask", "seq"))] = draw.choice(VALUES)
    return message


def openings(draw: random.Random) -> tuple[bytes, str]:
    """A body for ``POST /v1/sessions`` that is wrong, and its media type."""
    kind = "application/json"
    tree: Any = draw.choice(
        (
            {"seed": draw.choice(("one", -1, 2**80, 0.5, [1]))},
            {"start": draw.choice(("the moon", 3, "", "x" * 5000))},
            {"prompt": draw.choice(("a road", "x" * 50_000, 3))},
            {"image": draw.choice(("none", "../../etc/passwd", 7))},
            {"log": _log(draw)},
            {"unknown": 1},
            *([], 7, "text"),
        )
    )
    if draw.random() < 0.2:
        return draw.randbytes(draw.choice((1, 100, 5000))), kind
    if draw.random() < 0.1:
        return b"{" + b" " * draw.choice((100_000, 6_000_000)) + b"}", kind
    if draw.random() < 0.1:
        return json.dumps(tree).encode(), draw.choice(("text/plain", "application/octet-stream", ""))
    return json.dumps(tree).encode(), kind


def _log(draw: random.Random) -> Any:
    good: dict[str, Any] = {
        "format": "flashdreams-control-log",
        "version": 1,
        "slug": "pocket-racer",
        "opening": {"seed": 1},
        "chunks": 5,
        "controls": [[1, {"steer": 0.5}]],
    }
    name = draw.choice((*good, "versions"))
    good[name] = draw.choice((*VALUES, 10**9, [[10**9, {}]], [[1, {"stear": 1}]], [[3, {}], [1, {}]]))
    return draw.choice((good, draw.choice(VALUES)))


def images(draw: random.Random) -> tuple[bytes, str]:
    """A body for ``POST /v1/images`` that is wrong, and its media type."""
    kind = draw.choice(("image/png", "image/jpeg", "image/webp", "image/gif", "text/html", "image/svg+xml"))
    data = draw.choice(
        (
            b"",
            draw.randbytes(2000),
            b"\x89PNG\r\n\x1a\n" + draw.randbytes(500),
            b"\xff\xd8\xff\xe0" + draw.randbytes(500),
            b"RIFF\x00\x10\x00\x00WEBP" + draw.randbytes(500),
            _bomb(),
            b"\x89PNG" + bytes(9 * 1024 * 1024),
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        )
    )
    return data, kind


def _bomb() -> bytes:
    """A small PNG that says it is 60000 x 60000 pixels."""
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    blocks = ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in blocks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


_SDP = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"


def offers(draw: random.Random) -> bytes:
    """A body for an offer that is wrong."""
    sdp = draw.choice(
        (
            *("", "v=0", "x" * 2000, "v=0\r\n" * 3000, "\0\r\n"),
            f"{_SDP}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
            f"{_SDP}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n",
            f"{_SDP}m=application 9 UDP/DTLS/SCTP web\r\na=mid:0\r\n",
        )
    )
    body = draw.choice(({"type": "offer", "sdp": sdp}, {"type": "answer", "sdp": sdp}, {"sdp": 7}, [], sdp))
    return json.dumps(body).encode()


PATHS = (
    *("/v1/nothing", "/v1/sessions/none", "/v1/sessions/%2e%2e%2f", "/page/../server.py", "/page/%2e%2e/x"),
    *("/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA", "/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/log"),
    *("/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/videos/..%2f..%2fetc%2fpasswd", "/v1/images", "/%00", "//"),
)
METHODS = ("GET", "DELETE", "PUT", "PATCH", "OPTIONS", "POST")
