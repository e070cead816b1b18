"""The loop of the one thread that computes: orders between chunks, then a turn for whoever is due."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flashdreams.errors import InputError
from flashdreams_serve.host.carrying_out import CarryingOut
from flashdreams_serve.host.dream import Dream
from flashdreams_serve.host.failures import free_cached_memory, reason_of, reported
from flashdreams_serve.host.health import Health
from flashdreams_serve.host.reception import Reception
from flashdreams_serve.host.session import Session
from flashdreams_serve.host.trial import make_one_chunk
from flashdreams_serve.host.turn_taking import Turn, TurnTaking
from flashdreams_serve.host.turns import Turns

if TYPE_CHECKING:
    from flashdreams.infra.runner.base import Runner

_LONGEST_WAIT = 0.25
"""Seconds between two looks at who has left."""


class Dreamer:
    """Computes for all sessions, one chunk after another.

    Args:
        runner: What dreams.
        reception: The sessions.
        turns: Whose turn it is.
        taking: Takes the turns.
        carrying_out: Carries out orders.
        on_health: Is told when chunks cannot be made any more, and when they can again.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        runner: Runner,
        reception: Reception,
        turns: Turns[Session],
        taking: TurnTaking,
        carrying_out: CarryingOut,
        *,
        on_health: Callable[[bool], None],
        clock: Callable[[], float],
    ) -> None:
        self._runner = runner
        self._reception = reception
        self._turns = turns
        self._taking = taking
        self._carrying_out = carrying_out
        self._health = Health(on_health)
        self._clock = clock

    def run(self) -> None:
        """Compute until the reception stops."""
        for session in self._reception.living:
            session.heard()  # nobody could be shown anything while the model was loaded
        try:
            while not self._reception.is_stopping:
                self.look_after_sessions()
                due = self._turns.due(self._clock())
                if due:
                    self.take_turn(due)
                else:
                    self._reception.wait(self._until_next())
        finally:
            self._give_everything_back()

    def look_after_sessions(self) -> None:
        """Whatever happens between two chunks."""
        self._reception.let_go()
        for session in self._carrying_out.choose(self._reception.living):
            with self._ends(session):
                self._carrying_out.next_of(session)
        for session in self._reception.living:
            self._give_turns(session)
        for session in self._reception.to_release():
            self._release(session)
        if self._health.is_well:
            self._begin_next()
        elif self._health.wants_trial(self._clock()) and self._reception.has_room:
            self._try_out()

    def take_turn(self, due: Sequence[Session]) -> None:
        """Make a chunk for the first of those that are due, and for who can be computed with it."""
        first, *_ = due
        if first.work.past:
            self._turns.take(first, self._clock())
            with self._ends(first):
                self._make_again(first)
            return
        turns = [self._turn_of(session) for session in self._taking.joining(due)]
        self._taking.take(turns, self._ends)
        for session in (turn.session for turn in turns if not turn.session.ending):
            self._turns.shown_for(session, session.work.shown_seconds)
            self._health.succeeded()

    def _turn_of(self, session: Session) -> Turn:
        due_at, began_at = self._turns.due_at(session), self._clock()
        return Turn(session, due_at, began_at, missed=self._turns.take(session, began_at))

    def _make_again(self, session: Session) -> None:
        """Make a chunk of the past, which nobody is shown; with the last one the session goes live."""
        work, dream = session.work, session.work.dream_now
        news = work.past.news
        dream.make(news)
        dream.finish(news)
        work.past.advance()
        if not work.past:
            self._go_live(session)

    def _begin_next(self) -> None:
        session = self._reception.to_begin()
        if session is None or not self._reception.begin(session):
            return
        with self._ends(session, "it began"):
            self._carrying_out.compare(session)
            session.work.dream = Dream.begin(self._runner, session.work.start)
            if not session.work.past:
                self._go_live(session)
            self._give_turns(session)

    def _go_live(self, session: Session) -> None:
        session.inbox.model_holds(session.work.dream_now.log.held)
        self._turns.leave(session)  # on a level with the others, however much was made again
        session.set_stage("live")

    def _give_turns(self, session: Session) -> None:
        if not session.wants_chunks:
            self._turns.pause(session)
            return
        if session not in self._turns:
            self._turns.join(session, self._clock())
        self._turns.pace(session, is_paced=not session.work.past)

    def _release(self, session: Session) -> None:
        """Give back what an ended session computed with."""
        self._turns.leave(session)
        dream, session.work.dream = session.work.dream, None
        self._carrying_out.forget(session)
        try:
            if dream is not None:
                dream.close()
        except Exception as error:
            reported(error, "it ended")
        self._reception.release(session)

    @contextmanager
    def _ends(self, session: Session, doing: str = "it dreamt") -> Iterator[None]:
        """End the session, and it alone, with whatever goes wrong inside."""
        try:
            yield
        except InputError as error:
            self._end(session, error, doing)  # the model does not take what it was given: others go on
        except Exception as error:
            self._end(session, error, doing)
            self._health.failed(self._clock())

    def _end(self, session: Session, error: Exception, doing: str) -> None:
        self._turns.leave(session)
        self._reception.end(session, reason_of(error), reported(error, doing))
        free_cached_memory(error)

    def _try_out(self) -> None:
        """Make a chunk that nobody sees, to learn whether that works again."""
        try:
            make_one_chunk(self._runner)
        except Exception as error:
            reported(error, "chunks were tried out")
            self._health.failed(self._clock())
        else:
            self._health.succeeded()

    def _until_next(self) -> float:
        due = self._turns.next_due()
        return _LONGEST_WAIT if due is None else min(_LONGEST_WAIT, max(0.0, due - self._clock()))

    def _give_everything_back(self) -> None:
        for session in self._reception.living:
            self._reception.end(session, "drained" if self._reception.is_stopping else "failed")
        for session in self._reception.to_release():
            self._release(session)
        self._carrying_out.close()
