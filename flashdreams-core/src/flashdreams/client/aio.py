"""A client of a server, for programs that wait with ``await``."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from flashdreams import environment
from flashdreams.client.http import Address, ask
from flashdreams.client.messages import Codec, Standing, foreign_answer
from flashdreams.client.pictures import read_picture
from flashdreams.client.session import AsyncSession, still_queued
from flashdreams.errors import NoServerError, ServerRefusedError, ServerTimeoutError

NEVER_MENDED = ("not_trusted", "no_tls")
"""Codes of what waiting for a server does not change."""
QUEUE_PATIENCE = 60.0
"""Seconds in the queue of a full server, where nothing else is said."""


class AsyncClient:
    """A client of a server of FlashDreams. It holds no connection of its own.

    In an ``async with`` block the sessions that it opened and that are still open are closed at the end.
    Its sessions give signs of life by themselves, so that a server does not end them as idle while this
    program runs: close those that are not used any more.

    Args:
        url: Of the server, such as ``http://127.0.0.1:8000``.
        token: What the server asks for; ``FLASHDREAMS_TOKEN`` where it is not given.
        certificate: A file with the certificate of the server, PEM, where the system does not trust it.

    Raises:
        NoServerError: The address is none, or the file holds no certificate.
    """

    def __init__(self, url: str, token: str | None = None, *, certificate: str | Path | None = None) -> None:
        self._address = Address(url, token or environment.token(), certificate)
        self._opened: weakref.WeakSet[AsyncSession] = weakref.WeakSet()
        self._attached: weakref.WeakSet[AsyncSession] = weakref.WeakSet()

    async def __aenter__(self) -> AsyncClient:
        """The client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its sessions."""
        await self.close()

    async def close(self) -> None:
        """Close the sessions that it opened or forked and that are still open, and leave the others."""
        closing = [session.close() for session in self._opened]
        await asyncio.gather(*closing, *(session.leave() for session in self._attached))

    async def is_ready(self) -> bool:
        """Whether sessions may begin.

        Raises:
            NoServerError: Nobody answers.
        """
        try:
            await self._ask("GET", "/readyz")
        except ServerRefusedError:
            return False
        return True

    async def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until sessions may begin, for a server that was just started, too.

        Raises:
            ServerTimeoutError: They may not within ``timeout`` seconds.
            NoServerError: It does not speak TLS as it should, which waiting does not change.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                if await self.is_ready():
                    return
            except NoServerError as error:
                if error.code in NEVER_MENDED:
                    raise
            await asyncio.sleep(0.05)
        raise ServerTimeoutError(
            f"The server at {self._address.url} was not ready within {timeout:g} seconds.",
            "A server is ready once its model is loaded.",
            f"See what it says: {self._address.of('/readyz')}",
            code="not_ready",
        )

    async def models(self) -> list[dict[str, Any]]:
        """What is served: size, frame rate, steering, limits, transports."""
        answer = await self._ask("GET", "/v1/models")
        if not isinstance(answer, dict) or not isinstance(answer.get("models"), list):
            raise foreign_answer(answer)
        return list(answer["models"])

    async def sessions(self) -> dict[str, Any]:
        """How many sessions there are, and how they stand."""
        return dict(await self._ask("GET", "/v1/sessions"))

    async def upload(self, image: bytes | str | Path) -> str:
        """Send an image that a session may begin with, and return its name.

        Args:
            image: The bytes of a PNG, JPEG or WebP file, or its path.

        Raises:
            ImageError: It is none of these, or there is no such file.
            ServerRefusedError: The server does not take it.
        """
        data, kind = await asyncio.to_thread(read_picture, image)
        answer = await asyncio.to_thread(ask, self._address, "POST", "/v1/images", data, kind)
        if not isinstance(answer, dict) or "image" not in answer:
            raise foreign_answer(answer)
        return str(answer["image"])

    async def open(
        self,
        *,
        seed: int | None = None,
        prompt: str | None = None,
        start: str | None = None,
        image: bytes | str | Path | None = None,
        log: Mapping[str, Any] | None = None,
        codec: Codec | Sequence[Codec] = "jpeg",
        tag: bool = False,
        hold: int = 2,
        timeout: float | None = QUEUE_PATIENCE,
    ) -> AsyncSession:
        """Open a session, and wait until it dreams.

        While it waits in the queue of a full server, its place there is logged (level INFO) when it changes.

        Args:
            seed: Of its rollout; None lets the server draw one.
            prompt: What it begins with, where the model takes one.
            start: One of the model's starts.
            image: A PNG, JPEG or WebP file to begin with, where the model takes one: its bytes or its path.
            log: A control log, which is replayed first; ``standing.detail`` says in ``differs`` what is other
                here than where it comes from.
            codec: How frames travel, or several ways, the best first. ``png`` and ``rgb`` lose nothing.
            tag: Whether frames carry their number in their pixels, too.
            hold: Frames that wait to be taken; beyond them the oldest are dropped.
            timeout: Seconds to wait in the queue, a minute where it is not said; 0 does not wait, and None
                waits as long as it takes.

        Raises:
            SessionQueuedError: It had no turn in time; it is closed again. ``position`` is its place.
            ImageError: The image is none, or there is no such file.
            ServerRefusedError: The server takes no more, or what the session is to begin with is wrong.
            NoServerError: Nobody answers.
        """
        name = None if image is None else await self.upload(image)
        asked = {"seed": seed, "prompt": prompt, "start": start, "image": name, "log": log}
        body = {key: value for key, value in asked.items() if value is not None}
        answer = await self._ask("POST", "/v1/sessions", body)
        session = self._session(answer, [codec] if isinstance(codec, str) else codec, tag, hold)
        try:
            if timeout == 0 and session.standing.state == "queued":
                raise still_queued(session.standing.position)
            await session.attach()
            await session.wait_live(timeout)
        except BaseException:
            await session.close()
            raise
        self._opened.add(session)
        return session

    async def attach(
        self, id: str, *, codec: Codec | Sequence[Codec] = "jpeg", tag: bool = False, hold: int = 2
    ) -> AsyncSession:
        """Connect to a session that exists, in the place of whoever is connected to it.

        It is left with the client, and not closed.

        Raises:
            ServerError: There is no such session, or nobody answers.
        """
        codecs = [codec] if isinstance(codec, str) else codec
        session = self._session_of(id, codecs, tag, hold)
        await session.attach()
        self._attached.add(session)
        return session

    def _session(self, answer: Any, codecs: Sequence[str], tag: bool, hold: int) -> AsyncSession:
        if not isinstance(answer, dict) or not isinstance(answer.get("session"), str):
            raise foreign_answer(answer)
        session = self._session_of(answer["session"], codecs, tag, hold)
        session.standing = Standing.read(answer.get("standing") or answer)
        return session

    def _session_of(self, id: str, codecs: Sequence[str], tag: bool, hold: int) -> AsyncSession:
        keep = self._opened.add
        return AsyncSession(self._address, id, codecs=codecs, tag=tag, hold=hold, opened=keep)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await asyncio.to_thread(ask, self._address, method, path, body)
