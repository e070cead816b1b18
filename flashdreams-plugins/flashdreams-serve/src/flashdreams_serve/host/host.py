"""The host: one model, one thread that computes with it, many sessions."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flashdreams.errors import FieldValueError, FlashDreamsError
from flashdreams.infra.config import derive_config
from flashdreams.infra.device import cpu_threads
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.memory import free_host_memory
from flashdreams_serve.host.budget import sessions_that_fit, snapshot_room
from flashdreams_serve.host.card import ModelCard
from flashdreams_serve.host.carrying_out import CarryingOut
from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.dreamer import Dreamer
from flashdreams_serve.host.errors import DrainingError, NotReadyError, draining
from flashdreams_serve.host.log_file import Scribe
from flashdreams_serve.host.made_with import made_with
from flashdreams_serve.host.observers import Observed
from flashdreams_serve.host.observing import HostObserver, Phase
from flashdreams_serve.host.openings import read_opening
from flashdreams_serve.host.orders import Opening
from flashdreams_serve.host.reception import Reception
from flashdreams_serve.host.recording import RecorderFactory
from flashdreams_serve.host.session import Session, SessionView
from flashdreams_serve.host.snapshots import Snapshots
from flashdreams_serve.host.turn_taking import TurnTaking
from flashdreams_serve.host.turns import Turns
from flashdreams_serve.settings import ServeSettings

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.together import Together

log = logging.getLogger(__name__)

_JOIN_SECONDS = 3.0
"""How long the end waits for a chunk, or for a model, that is on its way."""


class Host:
    """Serves a slug to many sessions, each a rollout of its own. Its methods may be called from any thread.

    Args:
        config: The slug, as it would be run.
        settings: How many sessions, how long they wait, what they may keep.
        observer: Is told what happens.
        recorder: Makes a recorder for each session; None records nothing.
        clock: Seconds that only go forward.

    Raises:
        FieldValueError: The slug makes no frames, or cannot be steered.
    """

    def __init__(
        self,
        config: RunnerConfig,
        settings: ServeSettings,
        *,
        observer: HostObserver | None = None,
        recorder: RecorderFactory | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.card = ModelCard.of(config)
        if not self.card.has_pixels:
            raise FieldValueError(
                f"{config.runner_name} has no decoder.",
                "What is served are frames, and without a decoder there are none.",
                "Give the pipeline a decoder: --use decoder=NAME.",
            )
        self.phase: Phase = "loading"
        self.failure: BaseException | None = None
        """Why the model could not be loaded, or why its thread has ended."""
        self.runner: Runner | None = None
        """What dreams, once it is loaded; only the host's own thread may compute with it."""
        self._config = config
        self._settings = settings
        self._clock = clock
        self._observed = Observed(observer)
        self._reception = Reception(settings.limits, self._observed, recorder, clock)
        self._phases = threading.Condition()
        # What holds around the caller (whether weights may be fetched, for which slug) holds in the thread.
        work = partial(contextvars.copy_context().run, self._work)
        self._thread = threading.Thread(target=work, name="dream", daemon=True)

    @property
    def sessions_limit(self) -> int:
        """Sessions that dream at once."""
        return self._reception.admission.limit

    def start(self) -> None:
        """Begin to load, and then to compute, in a thread of its own."""
        self._thread.start()

    def wait_ready(self, timeout: float) -> bool:
        """Wait until the model is loaded, for ``timeout`` seconds at most; whether it is."""
        with self._phases:
            self._phases.wait_for(lambda: self.phase != "loading", timeout)
            return self.phase == "ready"

    def wait_stopped(self) -> None:
        """Wait until nothing is computed any more; :attr:`failure` says why, where nobody has stopped it."""
        self._thread.join()

    def open(self, opening: Opening, client: str) -> Session:
        """Open a session, to begin at once or to wait in the queue.

        Args:
            opening: What its rollout begins with.
            client: The address of whoever opens it.

        Raises:
            InputError: The model does not begin with that.
            NotReadyError: The model could not be loaded, or fails.
            DrainingError: The host is about to end.
            QueueFullError: As many wait as may wait.
            TooManySessionsError: The client has as many sessions as it may have.
        """
        self._check_open()
        beginning = self.beginning(opening)
        try:
            return self._reception.open(beginning, client)
        except DrainingError:
            self._check_open()  # it may be shut since it has failed meanwhile
            raise

    def beginning(self, opening: Opening) -> ControlLog:
        """What a rollout begins with, read and checked; a long control log takes a while.

        Raises:
            InputError: The model does not begin with that.
        """
        return read_opening(opening, self.card, self._settings.limits)

    def session(self, id: str) -> Session | None:
        """A session, living or lately ended."""
        return self._reception.find(id)

    def sessions(self) -> list[SessionView]:
        """How the living sessions stand, oldest first."""
        return [session.view() for session in self._reception.living]

    def drain(self, seconds: float) -> None:
        """Begin no more sessions, and end all, saving what they keep; returns after ``seconds`` at most."""
        self._enter("draining")
        self._reception.end_all("drained")
        if not self._reception.wait_ended(seconds):
            log.warning("After %g seconds not all sessions had been saved.", seconds)

    def stop(self) -> bool:
        """End every session that lives, and the thread, once its chunk is made.

        Returns:
            Whether the thread has ended. Loading cannot be broken off, nor a chunk that takes long.
        """
        self._reception.end_all("drained")
        self._reception.stop()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)
        self._reception.close()
        self._enter("stopped")
        return not self._thread.is_alive()

    def _work(self) -> None:
        """Load, then compute until the host is stopped."""
        try:
            with cpu_threads(self._config.threads) as threads:
                self.runner = self._loaded()
                dreamer = self._dreamer(self.runner, threads)
                self._enter("ready")
                dreamer.run()
        except BaseException as error:  # whatever it is, nobody above could hear of it
            is_theirs = isinstance(error, FlashDreamsError)  # the three sentences of it say enough
            log.error("%s cannot be served.", self._config.runner_name, exc_info=not is_theirs)
            self.failure = error
            self._enter("failed")
            self._reception.end_all("failed")

    def _loaded(self) -> Runner:
        limit = sessions_that_fit(self._config, self._settings)
        self._reception.set_limit(limit)
        spare = 1 if self._config.hot_swap else 0  # where graphs are made behind
        runner = derive_config(self._config, pipeline=dict(slots=limit + spare)).setup()
        warms_up = runner.pipeline.execution.needs_warm_up and not self._config.hot_swap
        if warms_up and not self.card.steering.needs_image:  # nobody has given one yet
            runner.warm_up(limit)
        return runner

    def _dreamer(self, runner: Runner, threads: int) -> Dreamer:
        card, reception = self.card, self._reception
        together = self._together(runner) if self._settings.batch else None
        noted = made_with(self._config, threads=threads, batch=together is not None)
        limits = self._settings.limits
        room = snapshot_room(limits, free_host_memory())
        scribe = reception.farewell.scribe = Scribe(card.slug, noted)
        return Dreamer(
            runner,
            reception,
            Turns(card.chunk_seconds),
            TurnTaking(runner, self._observed, card.fps, self._clock, together),
            CarryingOut(runner, limits, reception, scribe, Snapshots(limits.snapshots, room)),
            on_health=lambda is_well: self._enter("ready" if is_well else "failed"),
            clock=self._clock,
        )

    def _together(self, runner: Runner) -> Together | None:
        """What computes several at once, where the model allows it."""
        from flashdreams.infra.pipeline.together import Together

        if runner.capabilities.batch:
            return Together(runner.pipeline)
        log.warning("%s is not computed in batches: its chunks would be others.", self._config.runner_name)
        return None

    def _check_open(self) -> None:
        if self.phase == "draining":
            raise draining()
        if self.phase in ("failed", "stopped"):
            raise NotReadyError(
                "The server cannot dream now.", "Sessions begin once it can.", "Try again in a while."
            )

    def _enter(self, phase: Phase) -> None:
        """Come into another phase; from draining there is no way back but to the end."""
        with self._phases:
            if self.phase == "stopped" or (self.phase == "draining" and phase != "stopped"):
                return
            self.phase = phase
            self._phases.notify_all()
        self._observed.phase(phase)
