"""Carries out the orders of sessions, between two chunks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from flashdreams.errors import InputError
from flashdreams_serve.host.control_log import NO_PAST, ControlLog
from flashdreams_serve.host.dream import Dream
from flashdreams_serve.host.errors import HostError, OrderRefusedError, as_refusal
from flashdreams_serve.host.log_file import Scribe
from flashdreams_serve.host.orders import (
    Close,
    Fork,
    GiveLog,
    Keep,
    Order,
    Pause,
    Reset,
    Resume,
    Return,
    Save,
)
from flashdreams_serve.host.reception import Reception
from flashdreams_serve.host.recording import Saved
from flashdreams_serve.host.session import Answer, Session
from flashdreams_serve.host.snapshots import Snapshots
from flashdreams_serve.settings import Limits

if TYPE_CHECKING:
    from flashdreams.infra.runner.base import Runner

log = logging.getLogger(__name__)

_COMPUTED = (Reset, Keep, Return, Fork)
"""Orders that are computed with the model, and may take as long as a chunk."""
_Result = Mapping[str, Any]


class CarryingOut:
    """What each order does. Only the thread that computes may use it.

    Args:
        runner: What dreams.
        limits: How long control logs become.
        reception: Where sessions begin and end.
        scribe: Writes control logs.
        snapshots: What sessions keep.
    """

    def __init__(
        self,
        runner: Runner,
        limits: Limits,
        reception: Reception,
        scribe: Scribe,
        snapshots: Snapshots,
    ) -> None:
        self._runner = runner
        self._limits = limits
        self._reception = reception
        self._scribe = scribe
        self._snapshots = snapshots
        self._served = 0
        self._answering = ThreadPoolExecutor(max_workers=1, thread_name_prefix="answers")
        self._ways: dict[type[Any], Callable[[Session, Any], _Result | Future[Any]]] = {
            Pause: self._pause,
            Resume: self._resume,
            Reset: self._reset,
            Keep: self._keep,
            Return: self._return,
            Fork: self._fork,
            Save: self._save,
            GiveLog: self._give_log,
            Close: self._close,
        }

    def choose(self, sessions: Sequence[Session]) -> list[Session]:
        """Of these sessions, those whose next order is carried out between this chunk and the next.

        Of orders that are computed with the model it is one, of whoever was served longest ago: so there are
        as many chunks as such orders, however many sessions ask.
        """
        asked = {session: self._reception.next_order(session) for session in sessions}
        computed = [each for each, order in asked.items() if isinstance(order, _COMPUTED)]
        chosen = [each for each, order in asked.items() if order is not None and each not in computed]
        if computed:
            self._served += 1
            first = min(computed, key=lambda each: each.work.served_at)
            first.work.served_at = self._served
            chosen.append(first)
        if len(computed) > 1:
            self._reception.wake()
        return chosen

    def next_of(self, session: Session) -> None:
        """Carry out what a session asked first; one order at a time, so that nobody holds up the others.

        Raises:
            Exception: The order failed otherwise than by being refused; it was answered so.
        """
        taken = self._reception.take_order(session)
        if taken is not None:
            self._answer(session, *taken)

    def compare(self, session: Session) -> None:
        """Tell a session what is other here than where the control log comes from with which it begins."""
        session.differs = self._scribe.differs(session.work.start)
        session.restate()

    def forget(self, session: Session) -> None:
        """Drop what a session keeps, which has ended."""
        self._snapshots.forget(session)

    def close(self) -> None:
        """Carry out nothing more; what is being answered is answered."""
        self._answering.shutdown(wait=False)

    def _answer(self, session: Session, order: Order, answer: Answer) -> None:
        try:
            result = self._ways[type(order)](session, order)
        except HostError as error:
            answer.set_exception(as_refusal(error))
        except BaseException:
            answer.set_exception(_failed())
            raise
        else:
            if isinstance(result, Future):
                result.add_done_callback(lambda done: _pass_on(done, answer))
            else:
                answer.set_result(result)

    def _pause(self, session: Session, order: Pause) -> _Result:
        session.set_paused(True)
        return {}

    def _resume(self, session: Session, order: Resume) -> _Result:
        session.set_paused(False)
        return {}

    def _reset(self, session: Session, order: Reset) -> _Result:
        given = order.beginning
        before = session.work.dream_now
        before.close()
        try:
            session.work.dream = Dream.begin(self._runner, given.begun_again())
        except InputError as error:
            session.work.dream = Dream.begin(self._runner, before.log.begun_again())
            session.work.past = NO_PAST
            raise _not_taken() from error
        else:
            session.work.past = given.past()
        finally:
            self._another_rollout(session)
        return {"seed": session.seed, **({"differs": [*session.differs]} if session.differs else {})}

    def _keep(self, session: Session, order: Keep) -> _Result:
        dream = session.work.dream_now
        self._snapshots.keep(session, order.name, dream)
        return {"name": order.name, "chunk": dream.next_chunk}

    def _return(self, session: Session, order: Return) -> _Result:
        kept = self._snapshots.find(session, order.name)
        session.work.dream_now.close()
        dream = session.work.dream = Dream.back_to(self._runner, kept)
        session.work.past = NO_PAST
        self._another_rollout(session)
        return {"chunk": dream.next_chunk, "seed": session.seed}

    def _fork(self, session: Session, order: Fork) -> _Result:
        dream = session.work.dream_now
        second = self._reception.open_beside(session, dream.log)
        try:
            second.work.dream = dream.fork()
        except BaseException:
            self._reception.end(second, "failed")
            raise
        second.work.past, second.differs = session.work.past.rest(), session.differs
        second.set_stage("opening" if second.work.past else "live")
        return {"session": second.id}

    def _save(self, session: Session, order: Save) -> Future[Saved]:
        if session.recorder is None:
            raise OrderRefusedError(
                "not_recorded",
                "This session is not recorded.",
                "Only what is recorded can be saved.",
                "Make the video from the control log, with flashdreams serve-replay.",
            )
        return session.recorder.save(order.seconds, self._scribe.as_it_stands(session.work.dream_now.log))

    def _give_log(self, session: Session, order: GiveLog) -> Future[_Result]:
        log = session.work.dream_now.log
        if not log.is_whole:
            raise OrderRefusedError(
                "log_too_long",
                "The control log has become too long, and was not kept to its end.",
                f"It has at most {self._limits.log_bytes} bytes.",
                "Reset the session: with that another log begins.",
            )
        return self._answering.submit(self._log_answer, log.copy())

    def _log_answer(self, log: ControlLog) -> _Result:
        return {"log": self._scribe.written(log)}

    def _close(self, session: Session, order: Close) -> _Result:
        self._reception.end(session, "closed")
        return {}

    def _another_rollout(self, session: Session) -> None:
        """Frames of the one before are stale from here on."""
        dream = session.work.dream_now
        session.seed = dream.log.opening.seed or 0
        session.inbox.model_holds(dream.log.held)
        session.work.epoch += 1
        session.audience.drop(session.work.epoch)
        session.differs = self._scribe.differs(dream.log)
        session.set_stage("opening" if session.work.past else "live")


def _pass_on(done: Future[Any], answer: Answer) -> None:
    """Answer with what was made in another thread."""
    error = done.exception()
    if error is None:
        result = done.result()
        answer.set_result(result.as_tree() if isinstance(result, Saved) else result)
        return
    if not isinstance(error, OrderRefusedError):
        log.error("An order could not be carried out.", exc_info=error)
        error = OrderRefusedError(
            "not_saved",
            "What was asked for could not be written.",
            "The session goes on.",
            "Try again, or make the video from the control log, with flashdreams serve-replay.",
        )
    answer.set_exception(error)


def _not_taken() -> OrderRefusedError:
    return OrderRefusedError(
        "bad_opening",
        "The model does not begin with what was asked for.",
        "The rollout has begun again as it had begun before.",
        "Ask for something else.",
    )


def _failed() -> OrderRefusedError:
    return OrderRefusedError(
        "failed", "The order failed, and the session ends.", "That is no fault of yours.", "Open another one."
    )
