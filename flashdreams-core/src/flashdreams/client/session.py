"""A session of a server, for programs that wait with ``await``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from flashdreams.client.http import Address, ask
from flashdreams.client.line import Line, left
from flashdreams.client.messages import Frame, Receipt, Refusal, SavedVideo
from flashdreams.client.state import SessionState
from flashdreams.errors import (
    ConnectionLostError,
    ServerError,
    ServerTimeoutError,
    SessionQueuedError,
)


class AsyncSession(SessionState):
    """A session: steer it, take its frames, give it orders. Made by :meth:`AsyncClient.open`.

    Use it in an ``async with`` block, or call :meth:`close`. When the connection is lost, it is made again
    to the same session. Signs of life go by themselves, so that no server ends it as idle. An order that is
    refused raises ``ServerRefusedError``, one whose answer does not come another ``ServerError``.
    """

    def __init__(
        self,
        address: Address,
        id: str,
        *,
        codecs: Sequence[str],
        tag: bool = False,
        hold: int = 2,
        opened: Callable[[AsyncSession], None],
    ) -> None:
        super().__init__(id, hold)
        self._opened = opened
        self._address = address
        self._codecs, self._tag, self._hold = codecs, tag, hold
        wishes = {"codecs": list(codecs), "tag": tag}
        self._line = Line(address, id, wishes, hear=self._hear, greeted=self._say_again, over=self._end)
        self._seq = 0
        self._unconfirmed: dict[str, float | str] = {}

    async def __aenter__(self) -> AsyncSession:
        """The session."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def attach(self) -> None:
        """Connect to it. :meth:`AsyncClient.open` does that.

        Raises:
            ServerError: There is no such session, or nobody answers.
        """
        await self._line.begin()

    async def wait_live(self, timeout: float | None = None) -> None:
        """Wait until it dreams.

        Args:
            timeout: Seconds to wait in the queue; None waits as long as it takes.

        Raises:
            SessionQueuedError: It has no turn by then.
            SessionEndedError: It ended.
        """
        try:
            await self._until(lambda: self.standing.state != "queued", timeout)
        except ServerTimeoutError as error:
            raise still_queued(self.standing.position) from error
        await self._until(lambda: self.standing.state not in ("queued", "opening"))
        if self.standing.state == "ended":
            raise self._end_error()

    async def set(self, **values: float | str) -> int:
        """Set controls by name. They hold until they are set again.

        Returns:
            The number of this setting, which the frames that obey it carry as ``seq``.

        Raises:
            ServerError: The session is over. A wrong name or value is told later, in ``refusals``.
        """
        self._seq += 1
        seq = self._seq
        self._unconfirmed.update(values)
        control = {"type": "control", "seq": seq, "values": values, "sent_at": time.monotonic()}
        with suppress(ConnectionLostError):  # said again once there is another connection
            await self._line.send(control)
        if self._error is not None:
            raise self._end_error()
        return seq

    async def wait_receipt(self, seq: int, timeout: float | None = 10.0) -> Receipt:
        """Wait until a setting of controls takes effect.

        Raises:
            ServerRefusedError: It was refused.
            ServerTimeoutError: It does not within ``timeout`` seconds, for instance because of a pause.
        """
        found: list[Receipt | Refusal] = []

        def is_there() -> bool:
            found.extend(each for each in self.refusals if each.seq == seq)
            found.extend(each for each in self.receipts if each.seq >= seq)
            return bool(found)

        await self._until(is_there, timeout)
        if isinstance(found[0], Refusal):
            raise found[0].error
        return found[0]

    async def frames(self, limit: int | None = None, timeout: float | None = None) -> AsyncGenerator[Frame]:
        """The frames as they come, until the session is over.

        Of frames that wait, the last ``hold`` are kept: the newest win.

        Args:
            limit: Frames after which to stop.
            timeout: Seconds to wait for each.

        Raises:
            ServerTimeoutError: No frame came in time.
            SessionEndedError: The session ended otherwise than by being closed, or with its inputs.
            ServerError: The connection is lost and cannot be made again.
        """
        taken = 0
        while limit is None or taken < limit:
            try:
                await self._until(lambda: bool(self._frames), timeout)
            except ServerTimeoutError:
                raise
            except ServerError:
                if self._ended_as_wished:
                    return
                raise
            taken += 1
            yield self._frames.popleft()

    async def pause(self) -> None:
        """Dream no further until :meth:`resume`."""
        await self._line.ask("pause")

    async def resume(self) -> None:
        """Dream on."""
        await self._line.ask("resume")

    async def reset(self, **opening: Any) -> tuple[str, ...]:
        """Begin another rollout in the same session.

        Args:
            **opening: ``seed``, ``prompt``, ``start``, ``log``, ``image`` (of :meth:`AsyncClient.upload`).

        Returns:
            What is other than where a control log comes from, one line each: then its video may differ.
        """
        answer = await self._line.ask("reset", **opening)
        self.seed = int(answer["seed"])
        return (*map(str, answer.get("differs") or ()),)

    async def keep(self, name: str) -> None:
        """Take a snapshot under a name."""
        await self._line.ask("keep", name=name)

    async def back_to(self, name: str) -> None:
        """Go back to a snapshot."""
        await self._line.ask("return", name=name)

    async def fork(self) -> AsyncSession:
        """A second session that has seen the same, connected and live."""
        answer = await self._line.ask("fork")
        forked = AsyncSession(
            self._address,
            str(answer["session"]),
            codecs=self._codecs,
            tag=self._tag,
            hold=self._hold,
            opened=self._opened,
        )
        try:
            await forked.attach()
            await forked.wait_live()
        except BaseException:
            await forked.close()
            raise
        self._opened(forked)
        return forked

    async def save(self, seconds: float = 30.0) -> SavedVideo:
        """Save the last seconds as MP4 on the server; :meth:`video` fetches it."""
        answer = await self._line.ask("save", seconds=seconds)
        return SavedVideo(str(answer["video"]), float(answer["seconds"]), int(answer["bytes"]))

    async def video(self, name: str) -> bytes:
        """A saved video, as the bytes of an MP4 file. It is there when the session is over, too."""
        return bytes(await self._request("GET", f"/videos/{name}"))

    async def log(self) -> dict[str, Any]:
        """The control log, from which the rollout can be made again."""
        return dict((await self._line.ask("log"))["log"])

    async def report(self, latencies: Sequence[float]) -> None:
        """Tell the server latencies from key to pixel, in seconds, for its metrics."""
        await self._line.send({"type": "report", "latency_ms": [1e3 * each for each in latencies]})

    async def close(self) -> None:
        """End the session. Nothing happens where it is over already."""
        with suppress(ServerError):
            if self._line.stands:
                await self._line.ask("close")
            elif self.standing.state != "ended":
                await self._request("DELETE", "")
        await self.leave()

    async def leave(self) -> None:
        """Hang up and leave the session to itself; it ends after the server's grace period."""
        await self._line.close()
        await self._end(self._error or left())

    def abort(self) -> None:
        """Drop the connection without a word, as a network does that fails; it is then made again."""
        self._line.abort()

    async def _say_again(self) -> None:
        """On another connection: the controls that may have been lost with the last one."""
        if self._unconfirmed and self.connections > 1:
            await self.set(**self._unconfirmed)

    def _hear_receipt(self, message: Any) -> None:
        super()._hear_receipt(message)
        if self.receipts[-1].seq >= self._seq:
            self._unconfirmed.clear()

    def _hear_refused(self, message: Any) -> None:
        super()._hear_refused(message)
        if self.refusals[-1].seq >= self._seq:
            self._unconfirmed.clear()

    async def _request(self, method: str, path: str) -> Any:
        return await asyncio.to_thread(ask, self._address, method, f"/v1/sessions/{self.id}{path}")


def still_queued(position: int) -> SessionQueuedError:
    """The error of a session whose client waits no longer."""
    error = SessionQueuedError(
        f"The session is number {position} in the queue of the server.",
        "It begins when those ahead of it have ended.",
        "Wait longer with timeout=SECONDS; timeout=None waits for ever.",
        code="queued",
    )
    error.position = position
    return error
