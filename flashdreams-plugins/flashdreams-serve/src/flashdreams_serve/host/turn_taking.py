"""One turn: a chunk is made, shown, and made final, for one session or for several together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flashdreams.errors import InputError, RolloutError
from flashdreams_serve.host.dream import Dream
from flashdreams_serve.host.events import Receipt, ShownChunk
from flashdreams_serve.host.inbox import News
from flashdreams_serve.host.making import make_obeying, values_of
from flashdreams_serve.host.observers import Observed
from flashdreams_serve.host.session import Session

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.infra.pipeline.together import Together
    from flashdreams.infra.runner.base import Runner
    from flashdreams.infra.runner.recording import Leaving

log = logging.getLogger(__name__)

_FAILURES = 3
"""Batches that fail in a row before no more are tried."""

Ends = Callable[[Session], AbstractContextManager[None]]
"""Inside, whatever goes wrong ends that session alone."""


@dataclass(frozen=True)
class Turn:
    """A session whose turn it is."""

    session: Session
    due_at: float
    began_at: float
    missed: bool
    """Whether it begins more than one chunk too late."""

    @property
    def dream(self) -> Dream:
        """What it goes on with."""
        return self.session.work.dream_now


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """A chunk whose pixels have set out."""

    turn: Turn
    news: News
    """What it obeys."""
    leaving: Leaving
    chunk: int
    path: str
    """How it was computed."""


class TurnTaking:
    """Takes turns. Only the thread that computes may use it.

    Args:
        runner: What dreams.
        observed: Is told of each chunk.
        fps: Frames a second.
        clock: Seconds that only go forward.
        together: Computes several at once; None where each is computed alone.
    """

    def __init__(
        self,
        runner: Runner,
        observed: Observed,
        fps: float,
        clock: Callable[[], float],
        together: Together | None,
    ) -> None:
        self._runner = runner
        self._observed = observed
        self._fps = fps
        self._clock = clock
        self._together = together
        self._failures = 0

    def joining(self, sessions: Sequence[Session]) -> list[Session]:
        """Of sessions that are due, those whose turn it is: the first, and who can be computed with it."""
        first, *others = sessions
        if self._together is None or first.work.past:
            return [first]
        joined = [first]
        for other in others:
            rollouts = [each.work.dream_now.rollout for each in (*joined, other)]
            if not other.work.past and self._together.can_join(rollouts):
                joined.append(other)
        return joined

    def take(self, turns: Sequence[Turn], ends: Ends) -> None:
        """Make, show and finish a chunk of each session."""
        if len(turns) > 1 and self._together is not None:
            self._take_together(turns, self._together, ends)
            return
        for turn in turns:
            with ends(turn.session):
                self._take_alone(turn, turn.session.inbox.take())

    def _take_alone(self, turn: Turn, news: News) -> None:
        news, chunk = make_obeying(turn.session, turn.dream, news)
        sent = self._send(turn, news, chunk)
        if not sent.leaving.is_here:
            turn.dream.finalize()
        self._show(sent)
        turn.dream.finish(values_of(news))

    def _take_together(self, turns: Sequence[Turn], together: Together, ends: Ends) -> None:
        """As one batch; where that fails, each alone, which then shows whose fault it is."""
        news = [turn.session.inbox.take() for turn in turns]
        rollouts = [turn.dream.rollout for turn in turns]
        try:
            chunks: list[Tensor] = together.generate(rollouts, _inputs(turns, news))
        except Exception as error:
            self._note_failure(error)
            for turn, each in zip(turns, news, strict=True):
                with ends(turn.session):
                    self._take_alone(turn, each)
            return
        self._failures = 0
        sent = []
        for turn, each, chunk in zip(turns, news, chunks, strict=True):
            with ends(turn.session):
                sent.append(self._send(turn, each, chunk))
        self._show_together(sent, together, ends)

    def _show_together(self, sent: Sequence[_Sent], together: Together, ends: Ends) -> None:
        """Show what was sent, and finish it: as one batch, begun before pixels are waited for."""
        if not all(one.leaving.is_here for one in sent):
            _finalize_together(sent, together)
        shown = []
        for one in sent:
            with ends(one.turn.session):
                self._show(one)
                shown.append(one)
        _finalize_together(shown, together)
        for one in shown:
            with ends(one.turn.session):
                one.turn.dream.finish(values_of(one.news))

    def _note_failure(self, error: Exception) -> None:
        """Compute each alone from here on, where it fails again and again and no control keeps them apart."""
        log.info("Sessions could not be computed together.", exc_info=error)
        self._failures += not isinstance(error, InputError | RolloutError)
        if self._failures >= _FAILURES:
            log.warning("The model cannot be computed in batches: each session is computed alone.")
            self._together = None

    def _send(self, turn: Turn, news: News, chunk: Tensor) -> _Sent:
        """Let the pixels of a chunk set out; nothing is waited for."""
        turn.session.work.epoch += bool(turn.dream.log.news(values_of(news)))
        return _Sent(
            turn=turn,
            news=news,
            leaving=self._runner.showing(chunk),
            chunk=turn.dream.next_chunk,
            path=turn.dream.rollout.path,
        )

    def _show(self, sent: _Sent) -> None:
        """Wait until the pixels of a chunk are here, and publish them."""
        turn, session, work = sent.turn, sent.turn.session, sent.turn.session.work
        obeyed = session.inbox.obey(*(each.last for each in sent.news))
        made = ShownChunk(
            chunk=sent.chunk,
            frames=sent.leaving.arrived(),
            first_frame=work.frames,
            fps=self._fps,
            epoch=work.epoch,
            seq=obeyed.seq,
            sent_at=obeyed.sent_at,
            received_at=obeyed.received_at,
            due_at=turn.due_at,
            began_at=turn.began_at,
            made_at=self._clock(),
            path=sent.path,
        )
        work.chunks, work.frames = work.chunks + 1, work.frames + len(made.frames)
        work.missed += turn.missed
        work.shown_seconds = len(made.frames) / self._fps
        self._publish(session, made, sent.news)
        self._observed.chunk_made(made, turn.missed)

    def _publish(self, session: Session, made: ShownChunk, news: News) -> None:
        if session.ending:
            return
        seq = max(each.last.seq if each.last else 0 for each in news)
        if seq:
            session.audience.tell(Receipt(seq=seq, chunk=made.chunk))
        _, said = news
        if said.values:
            session.audience.drop(made.epoch)
        session.audience.show(made)


def _finalize_together(sent: Sequence[_Sent], together: Together) -> None:
    """Finalize those that are not yet final, where there are several; who is left is finalized alone."""
    waiting = [one.turn.dream.rollout for one in sent if one.turn.dream.rollout.pending is not None]
    if len(waiting) < 2:
        return
    try:
        together.finalize(waiting)
    except Exception:
        log.info("%d sessions are not finished together.", len(waiting), exc_info=True)


def _inputs(turns: Sequence[Turn], news: Sequence[News]) -> list[Any]:
    """What steers the chunk of each."""
    return [
        turn.dream.input(turn.dream.log.news(values_of(each))) for turn, each in zip(turns, news, strict=True)
    ]
