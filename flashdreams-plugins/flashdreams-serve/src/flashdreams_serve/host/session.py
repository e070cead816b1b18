"""A session: one client's rollout, as the client sees it."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from flashdreams_serve.host.audience import Audience
from flashdreams_serve.host.control_log import ControlLog, Past
from flashdreams_serve.host.events import Outlet, Standing, State
from flashdreams_serve.host.inbox import Inbox
from flashdreams_serve.host.orders import Control, Order
from flashdreams_serve.host.recording import Recorder

if TYPE_CHECKING:
    from flashdreams_serve.host.dream import Dream

Answer: TypeAlias = "Future[Mapping[str, Any]]"
Stage: TypeAlias = Literal["queued", "opening", "live", "ended"]
"""How far a session is, whoever watches it and whether it is paused."""


AWAY_SECONDS = 10.0
"""How long a session waits for a page that was closed on purpose, or is loaded again."""


@dataclass(frozen=True, kw_only=True)
class SessionView:
    """How a session stands, and what it has had."""

    state: State
    reason: str
    position: int
    seed: int
    age_s: float
    chunks: int
    """Chunks that were shown, those of earlier rollouts included."""
    frames: int
    missed: int
    """Chunks that were begun more than one chunk too late."""
    viewers: int

    def as_tree(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


class Desk(Protocol):
    """Whoever carries out what sessions are asked."""

    def order(self, session: Session, order: Order) -> Answer:
        """Have an order carried out."""

    def wake(self) -> None:
        """Something has changed."""


@dataclass
class Work:
    """What the thread that computes knows of a session, and nobody else touches."""

    start: ControlLog
    """The empty log with which its rollout begins."""
    past: Past
    """Chunks that are to be made again before it goes live."""
    dream: Dream | None = None
    epoch: int = 0
    chunks: int = 0
    frames: int = 0
    missed: int = 0
    served_at: int = 0
    """Number, over all sessions, of its last order that was computed with the model."""
    shown_seconds: float = 0.0
    """How long the chunk made last is shown."""

    @property
    def dream_now(self) -> Dream:
        """The rollout, of a session that has begun and not ended.

        Raises:
            RuntimeError: There is none.
        """
        if self.dream is None:
            raise RuntimeError("Only a session that has begun is computed with.")
        return self.dream


class Session:
    """One client's rollout. Every method may be called from any thread, and returns at once.

    Args:
        log: What its rollout begins with, and the chunks that are made again first.
        client: The address of whoever opened it.
        desk: Carries out what it is asked.
        clock: Seconds that only go forward.
    """

    def __init__(self, log: ControlLog, client: str, desk: Desk, clock: Callable[[], float]) -> None:
        self.id = secrets.token_urlsafe(16)
        self.client = client
        self.seed = log.opening.seed or 0
        """Seed of its rollout."""
        self.inbox = Inbox(log.texts, log.begun_again().held)
        self.audience = Audience(Standing(state="opening"))
        self.orders: deque[tuple[Order, Answer]] = deque()
        """Waits to be carried out between two chunks."""
        self.work = Work(log.begun_again(), log.past())
        self.recorder: Recorder | None = None
        self.begun = False
        """Whether the thread that computes has taken it up."""
        self.ending = ""
        """Why it ends, once it does."""
        self.differs: tuple[str, ...] = ()
        """What is other than where the control log comes from that it began with; a line each."""
        self._desk = desk
        self._clock = clock
        self._opened_at = self._heard_at = self._unwatched_since = clock()
        self._stage: Stage = "opening"
        self._is_paused = self._is_away = False

    @property
    def standing(self) -> Standing:
        """How it stands."""
        return self.audience.standing

    @property
    def wants_chunks(self) -> bool:
        """Whether it dreams on: it is live, somebody watches, and it is not paused."""
        if self.ending or self.work.dream is None:
            return False
        return bool(self.work.past) or (self.audience.viewers > 0 and not self._is_paused)

    def attach(self, outlet: Outlet) -> None:
        """Let somebody watch, who is told at once how it stands and whose controls count from here on."""
        with self.audience.lock:
            self._is_away = False
            self.inbox.begin_anew()
            self.audience.attach(outlet)
            self.restate()
        self.heard()
        self._desk.wake()

    def detach(self, outlet: Outlet) -> None:
        """Show and tell somebody nothing any more. Without anybody it waits for the grace period."""
        with self.audience.lock:
            self.audience.detach(outlet)
            self._unwatched_since = self._clock()
            self.restate()

    def expect_back_soon(self) -> None:
        """Whoever watches goes on purpose, and comes back within :data:`AWAY_SECONDS` or not at all."""
        self._is_away = True

    def heard(self) -> None:
        """Its client has said something, so it is not left."""
        self._heard_at = self._clock()

    def control(self, control: Control) -> None:
        """Set controls; the next chunk obeys them."""
        self.heard()
        self.inbox.put(control)

    def order(self, order: Order) -> Answer:
        """Have an order carried out between two chunks.

        Returns:
            Its answer, as plain values; or an ``OrderRefusedError``, whose text is safe to show.
        """
        self.heard()
        return self._desk.order(self, order)

    def view(self) -> SessionView:
        """How it stands, and what it has had."""
        standing, work = self.standing, self.work
        return SessionView(
            state=standing.state,
            reason=standing.reason,
            position=standing.position,
            seed=self.seed,
            age_s=self._clock() - self._opened_at,
            chunks=work.chunks,
            frames=work.frames,
            missed=work.missed,
            viewers=self.audience.viewers,
        )

    def unheard_for(self, now: float) -> float:
        """Seconds since its client said anything."""
        return now - self._heard_at

    def is_left(self, now: float, grace: float) -> bool:
        """Whether nobody has watched or asked for it for longer than it waits: ``grace`` seconds at most."""
        if self.audience.viewers:
            return False
        patience = min(grace, AWAY_SECONDS) if self._is_away else grace
        return now - max(self._unwatched_since, self._heard_at) > patience

    def set_stage(self, stage: Stage, position: int = 0) -> None:
        """It has come to another stage, and its watchers are told."""
        with self.audience.lock:
            if self._stage != "ended":
                self._stage = stage
                self.restate(position)

    def set_paused(self, is_paused: bool) -> None:
        """It is paused, or goes on, and its watchers are told."""
        with self.audience.lock:
            self._is_paused = is_paused
            self.restate()

    def end(self, detail: dict[str, Any] | None) -> None:
        """It is over, and its watchers are told why."""
        with self.audience.lock:
            self._stage = "ended"
            self.audience.stand(Standing(state="ended", reason=self.ending, detail=detail))

    def restate(self, position: int | None = None) -> None:
        """Tell watchers how it stands, where that has changed."""
        with self.audience.lock:
            if self._stage == "ended":
                return
            place = self.standing.position if position is None else position
            queued = self._stage == "queued"
            detail = {"differs": [*self.differs]} if self.differs else None
            self.audience.stand(Standing(state=self._state, position=place if queued else 0, detail=detail))

    @property
    def _state(self) -> State:
        if self._stage != "live":
            return self._stage
        if not self.audience.viewers:
            return "detached"
        return "paused" if self._is_paused else "live"
