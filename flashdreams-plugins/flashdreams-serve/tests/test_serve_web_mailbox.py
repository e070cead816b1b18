"""The mailbox: the newest frame wins, frames are paced, and nothing grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from flashdreams_serve.host.events import Receipt, ShownChunk, Standing
from flashdreams_serve.web.mailbox import WAITING_CHUNKS, WAITING_EVENTS, Mailbox, MailboxClosedError

SLOW, FAST = 1.0, 1e6  # frames a second: never over within a test, and over at once


def chunk(number: int, frames: int = 1, *, fps: float = FAST, epoch: int = 0, **about: Any) -> ShownChunk:
    now = time.monotonic()
    values: dict[str, Any] = dict(seq=0, sent_at=None, received_at=None, began_at=now - 0.02, made_at=now)
    return ShownChunk(
        chunk=number,
        frames=np.full((frames, 2, 2, 3), number, np.uint8),
        first_frame=number * frames,
        fps=fps,
        epoch=epoch,
        due_at=now,
        path="eager",
        **(values | about),
    )


def with_mailbox(test: Callable[[Mailbox], Awaitable[None]]) -> None:
    async def run() -> None:
        await test(Mailbox(asyncio.get_running_loop()))

    asyncio.run(run())


async def is_waiting(mailbox: Mailbox) -> bool:
    """Whether no frame is due for a good while."""
    try:
        async with asyncio.timeout(0.05):
            await mailbox.next_frame()
    except TimeoutError:
        return True
    return False


def test_frames_of_a_chunk_come_one_after_the_other() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.show(chunk(3, frames=3, fps=50))
        began = time.monotonic()
        frames = [await mailbox.next_frame() for _ in range(3)]
        assert [(frame.number, frame.index) for frame in frames] == [(9, 0), (10, 1), (11, 2)]
        assert time.monotonic() - began >= 2 / 50 * 0.8  # never faster than it may catch up
        assert (mailbox.dropped, mailbox.stale, mailbox.taken) == (0, 0, 3)

    with_mailbox(test)


def test_the_next_chunk_waits_until_its_predecessor_was_shown() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.show(chunk(0, fps=SLOW))
        mailbox.show(chunk(1, fps=SLOW))
        assert (await mailbox.next_frame()).number == 0
        assert await is_waiting(mailbox)

    with_mailbox(test)


def test_who_comes_late_gets_the_newest_frame_that_is_due() -> None:
    async def test(mailbox: Mailbox) -> None:
        for number in range(WAITING_CHUNKS + 1):
            mailbox.show(chunk(number))
        await asyncio.sleep(0.01)
        frame = await mailbox.next_frame()
        assert frame.number == WAITING_CHUNKS
        assert mailbox.dropped == frame.dropped == WAITING_CHUNKS
        assert await is_waiting(mailbox)

    with_mailbox(test)


def test_more_chunks_than_may_wait_push_the_oldest_out() -> None:
    async def test(mailbox: Mailbox) -> None:
        for number in range(10):
            mailbox.show(chunk(number, frames=4, fps=SLOW))
        assert mailbox.dropped == 4 * (10 - 1 - WAITING_CHUNKS)
        assert (await mailbox.next_frame()).chunk.chunk == 10 - 1 - WAITING_CHUNKS

    with_mailbox(test)


def test_frames_of_an_earlier_epoch_are_stale_and_what_obeys_is_shown_at_once() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.show(chunk(0, frames=4, fps=SLOW))
        await mailbox.next_frame()
        mailbox.show(chunk(1, frames=4, fps=SLOW))
        mailbox.show(chunk(2, frames=4, fps=SLOW, epoch=1))
        async with asyncio.timeout(0.5):
            frame = await mailbox.next_frame()
        assert (frame.chunk.chunk, frame.index) == (2, 0)
        assert mailbox.stale == frame.stale == 3 + 4
        assert mailbox.dropped == 0

    with_mailbox(test)


def test_told_to_drop_it_drops_what_is_earlier_and_keeps_the_rest() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.show(chunk(0, epoch=1))
        mailbox.drop(1)
        assert (await mailbox.next_frame()).number == 0
        mailbox.show(chunk(1, epoch=1))
        mailbox.drop(2)
        assert mailbox.stale == 1
        assert await is_waiting(mailbox)

    with_mailbox(test)


def test_a_delay_is_made_good() -> None:
    """Chunks that come on time after a late one are soon shown as they come."""

    async def test(mailbox: Mailbox) -> None:
        period = 0.05
        mailbox.show(chunk(0, fps=1 / period))
        await mailbox.next_frame()
        held = []
        for number in range(1, 8):  # each comes early by the delay of the first
            mailbox.show(chunk(number, fps=1 / period))
            shown = time.monotonic()
            frame = await mailbox.next_frame()
            held.append(frame.taken_at - shown)
            await asyncio.sleep(max(0.0, shown + period - time.monotonic()))
        assert held[0] > period / 2
        assert min(held) < period / 5

    with_mailbox(test)


def test_the_header_is_that_of_the_protocol() -> None:
    async def test(mailbox: Mailbox) -> None:
        now = time.monotonic()
        obeys = dict(seq=5, sent_at=123.5, received_at=now - 0.1, began_at=now - 0.06, made_at=now - 0.01)
        mailbox.show(chunk(4, frames=2, epoch=2, **obeys))
        header = (await mailbox.next_frame()).header(key=True, height=4, width=2, encoded_s=0.003)
        assert header["frame"] in (8, 9)
        about = ("chunk", "frames", "epoch", "seq", "sent_at", "key", "height", "width")
        assert [header[name] for name in about] == [4, 2, 2, 5, 123.5, True, 4, 2]
        assert header["waited_ms"] == pytest.approx(40, abs=0.1)
        assert header["made_ms"] == pytest.approx(50, abs=0.1)
        assert header["held_ms"] >= 10
        assert header["encoded_ms"] == 3.0

    with_mailbox(test)


def test_a_control_waited_only_for_the_first_chunk_that_obeyed_it() -> None:
    async def test(mailbox: Mailbox) -> None:
        now = time.monotonic()
        waits = []
        for number, began in enumerate((now, now + 1, now + 2)):
            mailbox.show(chunk(number, seq=7, received_at=now - 0.5, began_at=began))
            waits.append((await mailbox.next_frame()).waited_s)
        assert waits == pytest.approx([0.5] * 3)

    with_mailbox(test)


def test_events_come_in_order_and_only_so_many_wait() -> None:
    async def test(mailbox: Mailbox) -> None:
        for seq in range(WAITING_EVENTS + 5):
            mailbox.tell(Receipt(seq=seq, chunk=seq))
        mailbox.tell(Standing(state="ended", reason="closed"))
        events = [await mailbox.next_event() for _ in range(WAITING_EVENTS)]
        assert events[0] == Receipt(seq=6, chunk=6)
        assert events[-1] == Standing(state="ended", reason="closed")

    with_mailbox(test)


def test_it_is_written_from_another_thread() -> None:
    async def test(mailbox: Mailbox) -> None:
        waiting = asyncio.create_task(mailbox.next_frame())
        await asyncio.sleep(0)
        await asyncio.to_thread(mailbox.show, chunk(1))
        assert (await waiting).number == 1

    with_mailbox(test)


def test_closing_ends_whoever_waits() -> None:
    async def test(mailbox: Mailbox) -> None:
        waiting = [asyncio.create_task(mailbox.next_frame()), asyncio.create_task(mailbox.next_event())]
        await asyncio.sleep(0)
        mailbox.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, MailboxClosedError) for result in results)
        assert mailbox.closed

    with_mailbox(test)


def test_a_loop_that_has_ended_disturbs_nobody() -> None:
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()
    mailbox.show(chunk(0))
    mailbox.tell(Receipt(seq=1, chunk=1))
    assert mailbox.last is not None
