"""Opens sessions, lets them wait, and ends them: the part of the host that any thread may use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from flashdreams_serve.host.admission import Admission
from flashdreams_serve.host.bell import Bell
from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.errors import (
    OrderRefusedError,
    draining,
    not_begun,
    session_ended,
    too_many_orders,
)
from flashdreams_serve.host.farewell import Farewell, refuse_waiting
from flashdreams_serve.host.observers import Observed
from flashdreams_serve.host.orders import Close, Order
from flashdreams_serve.host.recording import RecorderFactory, recorder_of
from flashdreams_serve.host.remembered import Remembered
from flashdreams_serve.host.session import Answer, Session
from flashdreams_serve.settings import Limits

_ORDERS = 64
"""Orders of a session that may wait."""


class Reception:
    """The sessions of a host, living and lately ended.

    Args:
        limits: How many there may be, and how long they wait.
        observed: Counts them.
        recorder: Makes a recorder for each; None records nothing.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        limits: Limits,
        observed: Observed,
        recorder: RecorderFactory | None,
        clock: Callable[[], float],
    ) -> None:
        self.admission: Admission[Session] = Admission(limits)
        self.is_stopping = False
        """Whether nothing is to be computed any more."""
        self._limits = limits
        self._observed = observed
        self._recorder = recorder
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._bell = Bell(self._changed)
        self._is_shut = False
        self._living: dict[str, Session] = {}
        self._ended: Remembered[Session] = Remembered(limits.grace_seconds)
        self._to_release: set[Session] = set()
        self.farewell = Farewell(self._said)

    @property
    def living(self) -> list[Session]:
        """Sessions that have not ended, oldest first."""
        with self._changed:
            return [*self._living.values()]

    @property
    def has_room(self) -> bool:
        """Whether a rollout could begin beside those that have begun and not been released."""
        with self._changed:
            begun = self._to_release | {each for each in self._living.values() if each.begun}
            return len(begun) < self.admission.limit

    def find(self, id: str) -> Session | None:
        """A session, living or lately ended."""
        with self._changed:
            return self._living.get(id) or self._ended.find(id, self._clock())

    def open(self, log: ControlLog, client: str) -> Session:
        """Open a session, to begin at once or to wait.

        Raises:
            DrainingError: All sessions are being ended.
            QueueFullError: As many wait as may wait.
            TooManySessionsError: The client has as many as it may have.
        """
        session = Session(log, client, self, self._clock)
        with self._changed:
            self._check_open()
            self.admission.admit(session, client)
            self._enter(session)
            position = self.admission.position(session)
            session.set_stage("queued" if position else "opening", position)
        return session

    def open_beside(self, other: Session, log: ControlLog) -> Session:
        """Open a session that has begun already, for the client of another.

        Raises:
            DrainingError: All sessions are being ended.
            TooManySessionsError: The client has as many as it may have.
            OrderRefusedError: No place is free.
        """
        session = Session(log, other.client, self, self._clock)
        session.begun = True
        with self._changed:
            self._check_open()
            self.admission.admit_now(session, other.client)
            self._enter(session)
        return session

    def order(self, session: Session, order: Order) -> Answer:
        """Have an order carried out between two chunks; a session that has not begun is closed at once."""
        answer: Answer = Future()
        with self._changed:
            refusal = self._refusal(session, order)
            if refusal is not None:
                answer.set_exception(refusal)
            elif isinstance(order, Close) and not session.begun:
                self.end(session, "closed")
                answer.set_result({})
            else:
                session.orders.append((order, answer))
                self.wake()
        return answer

    def next_order(self, session: Session) -> Order | None:
        """The order that a session which has begun would have carried out next."""
        with self._changed:
            is_ready = session.orders and not session.ending and session.work.dream is not None
            return session.orders[0][0] if is_ready else None

    def take_order(self, session: Session) -> tuple[Order, Answer] | None:
        """The order that waits longest, to be answered; None where none waits that is still wanted."""
        with self._changed:
            while session.orders and not session.ending:
                order, answer = session.orders.popleft()
                if answer.set_running_or_notify_cancel():
                    if session.orders:
                        self.wake()
                    return order, answer
        return None

    def end(self, session: Session, reason: str, detail: Mapping[str, Any] | None = None) -> None:
        """End a session. What it computes with is given back by the thread that computes. Twice is once."""
        with self._changed:
            if session.ending:
                return
            session.ending = reason
            control_log = self.farewell.log_of(session)
            if session.begun:
                self._to_release.add(session)
            else:
                self.release(session)
            self.wake()
        self.farewell.bid(session, detail, control_log)

    def end_all(self, reason: str) -> None:
        """Open no more sessions, and end those that live."""
        with self._changed:
            self._is_shut = True
        for session in self.living:
            self.end(session, reason)

    def begin(self, session: Session) -> bool:
        """The thread that computes takes a session up; whether it has not ended before."""
        with self._changed:
            if session.ending:
                return False
            session.begun = True
            return True

    def to_begin(self) -> Session | None:
        """Who has a place and has not begun, the one that came first."""
        with self._changed:
            waiting = self.admission.waiting
            here = (each for each in self._living.values() if not each.begun and not each.ending)
            return next((each for each in here if each not in waiting), None)

    def to_release(self) -> list[Session]:
        """Sessions that have ended and still hold what they computed with."""
        with self._changed:
            return [*self._to_release]

    def release(self, session: Session) -> None:
        """A session holds nothing any more: its place goes to whoever waits."""
        with self._changed:
            self._to_release.discard(session)
            for moved in self.admission.leave(session):
                moved.set_stage("opening")
            self._say_positions()

    def set_limit(self, limit: int) -> None:
        """Let so many dream at once; who has begun keeps its place."""
        with self._changed:
            self.admission.set_limit(limit, frozenset(s for s in self._living.values() if s.begun))
            self._say_positions()

    def let_go(self) -> None:
        """End sessions whose clients have gone."""
        now = self._clock()
        for session in self.living:
            if session.is_left(now, self._limits.grace_seconds):
                self.end(session, "left")
            elif session.unheard_for(now) > self._limits.idle_seconds:
                self.end(session, "idle")

    def wake(self) -> None:
        """Something has changed that the thread that computes should look at."""
        self._bell.ring()

    def wait(self, seconds: float) -> None:
        """Wait until woken, or for so long."""
        self._bell.wait(seconds)

    def wait_ended(self, seconds: float) -> bool:
        """Wait until every session has ended and said so, for so long at most; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._living, seconds)

    def stop(self) -> None:
        """Compute nothing any more."""
        with self._changed:
            self.is_stopping = True
            self.wake()

    def close(self) -> None:
        """Nothing more will end; what is being saved is saved to its end."""
        self.farewell.close()

    def _check_open(self) -> None:
        if self._is_shut:
            raise draining()

    def _enter(self, session: Session) -> None:
        self._living[session.id] = session
        session.recorder = recorder_of(session.id, self._recorder)
        session.audience.record_with(session.recorder)
        self._observed.session_opened()
        self._say_slots()
        self.wake()

    def _refusal(self, session: Session, order: Order) -> OrderRefusedError | None:
        if session.ending:
            return session_ended()
        if not isinstance(order, Close) and self.admission.position(session):
            return not_begun()
        if len(session.orders) >= _ORDERS:
            return too_many_orders(_ORDERS)
        return None

    def _said(self, session: Session) -> None:
        """A session has ended for everybody."""
        self._observed.session_ended(session.ending)
        with self._changed:
            refuse_waiting(session)
            self._living.pop(session.id, None)
            self._ended.add(session.id, session, self._clock())
            self._changed.notify_all()

    def _say_positions(self) -> None:
        for position, session in enumerate(self.admission.waiting, start=1):
            session.set_stage("queued", position)
        self._say_slots()
        self.wake()

    def _say_slots(self) -> None:
        self._observed.slots(self.admission.used, self.admission.limit, len(self.admission.waiting))
