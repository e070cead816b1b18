"""A client and its sessions for programs that do not wait with ``await``: the same, run in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from flashdreams.client.aio import QUEUE_PATIENCE, AsyncClient
from flashdreams.client.messages import Codec, Frame, Receipt, Refusal, SavedVideo, Standing
from flashdreams.client.session import AsyncSession

T = TypeVar("T")


class _Background:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="flashdreams-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there, and wait for it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C interrupts the waiting; the work is to end, too
            raise

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be done there any more."""
        return self._loop.is_closed()

    def close(self) -> None:
        """End the thread."""
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Client:
    """A client of a server of FlashDreams. Use it in a ``with`` block, or call :meth:`close`.

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
        self._client = AsyncClient(url, token, certificate=certificate)
        self._background = _Background()

    def __enter__(self) -> Client:
        """The client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close its sessions as :meth:`AsyncClient.close` does, and end its thread. Twice is once."""
        if not self._background.has_ended:
            try:
                self._background.run(self._client.close())
            finally:
                self._background.close()

    def is_ready(self) -> bool:
        """Whether sessions may begin; see :meth:`AsyncClient.is_ready`."""
        return self._background.run(self._client.is_ready())

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until sessions may begin; see :meth:`AsyncClient.wait_ready`."""
        self._background.run(self._client.wait_ready(timeout))

    def models(self) -> list[dict[str, Any]]:
        """What is served: size, frame rate, steering, limits, transports."""
        return self._background.run(self._client.models())

    def sessions(self) -> dict[str, Any]:
        """How many sessions there are, and how they stand."""
        return self._background.run(self._client.sessions())

    def upload(self, image: bytes | str | Path) -> str:
        """Send an image and return its name; see :meth:`AsyncClient.upload`."""
        return self._background.run(self._client.upload(image))

    def open(
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
    ) -> Session:
        """Open a session, and wait until it dreams: a minute in the queue, where no ``timeout`` is given.

        See :meth:`AsyncClient.open`.
        """
        opening = self._client.open(
            seed=seed,
            prompt=prompt,
            start=start,
            image=image,
            log=log,
            codec=codec,
            tag=tag,
            hold=hold,
            timeout=timeout,
        )
        return Session(self._background.run(opening), self._background)

    def attach(
        self, id: str, *, codec: Codec | Sequence[Codec] = "jpeg", tag: bool = False, hold: int = 2
    ) -> Session:
        """Connect to a session that exists; see :meth:`AsyncClient.attach`."""
        attaching = self._client.attach(id, codec=codec, tag=tag, hold=hold)
        return Session(self._background.run(attaching), self._background)


class Session:
    """A session: :class:`AsyncSession` without ``await``. Made by :meth:`Client.open`.

    Use it in a ``with`` block, or call :meth:`close`.
    """

    def __init__(self, session: AsyncSession, background: _Background) -> None:
        self._session = session
        self._background = background

    def __enter__(self) -> Session:
        """The session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def id(self) -> str:
        """Its name, which is its key: whoever has it may steer it."""
        return self._session.id

    @property
    def seed(self) -> int:
        """Of its rollout."""
        return self._session.seed

    @property
    def model(self) -> Mapping[str, Any]:
        """What is served: size, frame rate, steering."""
        return self._session.model

    @property
    def codec(self) -> str:
        """How its frames travel."""
        return self._session.codec

    @property
    def standing(self) -> Standing:
        """How it stands."""
        return self._session.standing

    @property
    def receipts(self) -> deque[Receipt]:
        """Controls that took effect, the last ones."""
        return self._session.receipts

    @property
    def refusals(self) -> deque[Refusal]:
        """Controls that were not taken, the last ones."""
        return self._session.refusals

    @property
    def stats(self) -> Mapping[str, Any]:
        """What the server said last of its work."""
        return self._session.stats

    @property
    def dropped(self) -> int:
        """Frames that were here and that nobody took in time."""
        return self._session.dropped

    def set(self, **values: float | str) -> int:
        """Set controls by name, and return the number of this; see :meth:`AsyncSession.set`."""
        return self._background.run(self._session.set(**values))

    def wait_receipt(self, seq: int, timeout: float | None = 10.0) -> Receipt:
        """Wait until a setting takes effect; see :meth:`AsyncSession.wait_receipt`."""
        return self._background.run(self._session.wait_receipt(seq, timeout))

    def frames(self, limit: int | None = None, timeout: float | None = None) -> Iterator[Frame]:
        """The frames as they come, until the session is over; see :meth:`AsyncSession.frames`."""
        frames = self._session.frames(limit, timeout)
        try:
            while (frame := self._background.run(_next(frames))) is not None:
                yield frame
        finally:
            if not self._background.has_ended:
                self._background.run(frames.aclose())

    def pause(self) -> None:
        """Dream no further until :meth:`resume`."""
        self._background.run(self._session.pause())

    def resume(self) -> None:
        """Dream on."""
        self._background.run(self._session.resume())

    def reset(self, **opening: Any) -> tuple[str, ...]:
        """Begin another rollout in the same session; see :meth:`AsyncSession.reset`."""
        return self._background.run(self._session.reset(**opening))

    def keep(self, name: str) -> None:
        """Take a snapshot under a name."""
        self._background.run(self._session.keep(name))

    def back_to(self, name: str) -> None:
        """Go back to a snapshot."""
        self._background.run(self._session.back_to(name))

    def fork(self) -> Session:
        """A second session that has seen the same, connected and live."""
        return Session(self._background.run(self._session.fork()), self._background)

    def save(self, seconds: float = 30.0) -> SavedVideo:
        """Save the last seconds as MP4 on the server; :meth:`video` fetches it."""
        return self._background.run(self._session.save(seconds))

    def video(self, name: str) -> bytes:
        """A saved video, as the bytes of an MP4 file. It is there when the session is over, too."""
        return self._background.run(self._session.video(name))

    def log(self) -> dict[str, Any]:
        """The control log, from which the rollout can be made again."""
        return self._background.run(self._session.log())

    def report(self, latencies: Sequence[float]) -> None:
        """Tell the server latencies from key to pixel, in seconds, for its metrics."""
        self._background.run(self._session.report(latencies))

    def close(self) -> None:
        """End the session. Nothing happens where it is over already."""
        self._background.run(self._session.close())

    def leave(self) -> None:
        """Hang up and leave the session to itself; it ends after the server's grace period."""
        self._background.run(self._session.leave())


async def _next(frames: Any) -> Frame | None:
    frame: Frame | None = await anext(frames, None)
    return frame
