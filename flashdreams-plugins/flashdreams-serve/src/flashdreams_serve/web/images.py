"""Images that clients have sent, kept until a session begins with them."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from flashdreams.io.writer import Frames

KEPT_SECONDS = 300.0
MOST_IMAGES = 64
MOST_PER_CLIENT = 4


@dataclass(frozen=True)
class _Kept:
    client: str
    image: Frames
    until: float


class Images:
    """A few images, each for the client that sent it, for a few minutes. Beyond that the oldest gives way."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, image: Frames, client: str) -> str:
        """Keep an image, uint8 ``[H, W, 3]``; answers its name."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._forget_old()
            self._make_room(client)
            self._kept[name] = _Kept(client, image, self._clock() + KEPT_SECONDS)
        return name

    def find(self, name: str, client: str) -> Frames | None:
        """The image of this name, where this client sent it a short while ago."""
        with self._lock:
            self._forget_old()
            kept = self._kept.get(name)
        return kept.image if kept is not None and kept.client == client else None

    def _forget_old(self) -> None:
        now = self._clock()
        for name in [name for name, kept in self._kept.items() if kept.until <= now]:
            del self._kept[name]

    def _make_room(self, client: str) -> None:
        own = [name for name, kept in self._kept.items() if kept.client == client]
        if len(own) >= MOST_PER_CLIENT:
            del self._kept[own[0]]
        elif len(self._kept) >= MOST_IMAGES:
            self._kept.popitem(last=False)
