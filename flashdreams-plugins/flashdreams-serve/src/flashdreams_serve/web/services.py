"""What the endpoints share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flashdreams.client.messages import CODECS
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web.images import Images
from flashdreams_serve.web.messages import VERSION
from flashdreams_serve.web.rates import Rates

if TYPE_CHECKING:
    from flashdreams_serve.host.host import Host
    from flashdreams_serve.media.shelf import Shelf
    from flashdreams_serve.web.metrics import Metrics
    from flashdreams_serve.web.rtc import RtcDesk


class Seats:
    """One client for each session: whoever comes later has the seat, and the other is told to leave."""

    def __init__(self) -> None:
        self._taken: dict[str, asyncio.Event] = {}

    def take(self, session: str) -> asyncio.Event:
        """Sit down; the event is set when somebody else does. On the event loop only."""
        self.free(session)
        seat = self._taken[session] = asyncio.Event()
        return seat

    def leave(self, session: str, seat: asyncio.Event) -> None:
        """Stand up, unless somebody else sits there by now."""
        if self._taken.get(session) is seat:
            del self._taken[session]

    def free(self, session: str) -> None:
        """Tell whoever sits there to leave."""
        seat = self._taken.pop(session, None)
        if seat is not None:
            seat.set()


@dataclass
class Services:
    """What the endpoints share."""

    host: Host
    settings: ServeSettings
    shelf: Shelf
    metrics: Metrics
    rates: Rates
    images: Images = field(default_factory=Images)
    seats: Seats = field(default_factory=Seats)
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """How many images are decoded at once: a large one takes much memory."""
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """How many control logs are read at once: a long one takes the interpreter from those who dream."""
    rtc: RtcDesk | None = None
    """Answers WebRTC offers; None where WebRTC is switched off."""

    def model(self) -> dict[str, Any]:
        """What is served, as plain values: the model, how it is steered, what clients may use."""
        return self.host.card.as_tree() | {
            "protocol": VERSION,
            "transports": ["websocket"] if self.rtc is None else ["webrtc", "websocket"],
            "codecs": list(CODECS),
            "ice_servers": [
                {"urls": server.url, "username": server.username, "credential": server.credential}
                for server in self.settings.ice_servers
            ],
            "limits": limits_tree(self.settings.limits),
        }


def limits_tree(limits: Limits) -> dict[str, float]:
    """The limits that a client should know to keep them."""
    return {
        "sessions_per_client": limits.sessions_per_client,
        "message_bytes": limits.message_bytes,
        "messages_per_second": limits.messages_per_second,
        "requests_per_second": limits.requests_per_second,
        "upload_bytes": limits.upload_bytes,
        "upload_pixels": limits.upload_pixels,
        "prompt_characters": limits.prompt_characters,
        "snapshots": 0 if limits.snapshot_bytes == 0 else limits.snapshots,
        "idle_seconds": limits.idle_seconds,
        "grace_seconds": limits.grace_seconds,
        "keep_seconds": limits.keep_seconds,
    }
