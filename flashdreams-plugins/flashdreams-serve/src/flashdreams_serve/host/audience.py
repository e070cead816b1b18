"""Those who watch a session. No torch here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from flashdreams_serve.host.events import Event, Outlet, ShownChunk, Standing

log = logging.getLogger(__name__)


class Audience:
    """Passes on what happens to whoever watches. An outlet that raises is dropped, and nobody else notices.

    Args:
        standing: How the session stands.
    """

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        """What everybody was told last."""
        self.lock = threading.RLock()
        self._viewers: tuple[Outlet, ...] = ()
        self._recorder: Outlet | None = None

    @property
    def viewers(self) -> int:
        """How many watch; a recorder is none of them."""
        return len(self._viewers)

    def attach(self, outlet: Outlet) -> None:
        """Let somebody watch, who is told first of all how the session stands. Twice is once."""
        with self.lock:
            if outlet not in self._viewers:
                self._viewers = (*self._viewers, outlet)
                self._pass_on(lambda each: each.tell(self.standing), (outlet,))

    def detach(self, outlet: Outlet) -> None:
        """Tell somebody nothing any more."""
        with self.lock:
            self._viewers = tuple(each for each in self._viewers if each is not outlet)
            self._recorder = None if self._recorder is outlet else self._recorder

    def record_with(self, recorder: Outlet | None) -> None:
        """Let a recorder see everything too."""
        self._recorder = recorder

    def stand(self, standing: Standing) -> None:
        """Say how the session stands, where that has changed."""
        with self.lock:
            if standing != self.standing:
                self.standing = standing
                self.tell(standing)

    def tell(self, event: Event) -> None:
        """Tell everybody."""
        self._pass_on(lambda each: each.tell(event))

    def show(self, chunk: ShownChunk) -> None:
        """Show everybody a chunk."""
        self._pass_on(lambda each: each.show(chunk))

    def drop(self, before_epoch: int) -> None:
        """Tell everybody that frames of earlier epochs are stale."""
        self._pass_on(lambda each: each.drop(before_epoch))

    def _pass_on(self, call: Callable[[Outlet], None], outlets: tuple[Outlet, ...] | None = None) -> None:
        recorder = () if self._recorder is None else (self._recorder,)
        for outlet in (*recorder, *self._viewers) if outlets is None else outlets:
            try:
                call(outlet)
            except Exception:
                log.exception("%s raised, and is told nothing more.", type(outlet).__name__)
                self.detach(outlet)
