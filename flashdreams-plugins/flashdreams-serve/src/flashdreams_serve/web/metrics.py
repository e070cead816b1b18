"""Figures for Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from flashdreams_serve.host.events import ShownChunk, State
from flashdreams_serve.host.observing import HostObserver, Phase

PHASES: tuple[Phase, ...] = get_args(Phase)
STATES: tuple[State, ...] = get_args(State)
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)


class Metrics(HostObserver):
    """Counts what happens, in a registry of its own. Every method is thread-safe."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._phase = Gauge("flashdreams_phase", "1 for the phase it is in", ["phase"], registry=registry)
        self._sessions = Gauge("flashdreams_sessions", "Sessions by state", ["state"], registry=registry)
        self._opened = Counter("flashdreams_sessions_opened", "Sessions that began", registry=registry)
        self._ended = Counter("flashdreams_sessions_ended", "Why they ended", ["reason"], registry=registry)
        self._used = Gauge("flashdreams_slots_used", "Sessions that hold a slot", registry=registry)
        self._slots = Gauge("flashdreams_slots", "Sessions that may hold one", registry=registry)
        self._waiting = Gauge("flashdreams_queue", "Sessions that wait for a slot", registry=registry)
        self._chunks = Counter("flashdreams_chunks", "Chunks made", registry=registry)
        self._missed = Counter(
            "flashdreams_deadlines_missed", "Chunks that were made too late", registry=registry
        )
        self._making = Histogram(
            "flashdreams_chunk_seconds", "Time to make a chunk", buckets=SECONDS, registry=registry
        )
        self._obeying = Histogram(
            "flashdreams_control_to_chunk_seconds",
            "From a control's arrival to the first chunk that obeys it",
            buckets=SECONDS,
            registry=registry,
        )
        self._seen = Histogram(
            "flashdreams_key_to_pixel_seconds", "As clients saw it", buckets=SECONDS, registry=registry
        )
        frames = ["transport", "fate"]
        self._frames = Counter("flashdreams_frames", "Sent, dropped or stale", frames, registry=registry)
        self._bytes = Counter("flashdreams_sent_bytes", "Bytes of frames", ["transport"], registry=registry)
        self._refused = Counter(
            "flashdreams_refused", "What clients were refused", ["code"], registry=registry
        )
        self._encoding = Histogram(
            "flashdreams_encode_seconds", "Time to encode a frame", buckets=SECONDS, registry=registry
        )
        self._obeyed: dict[float, None] = {}

    def phase(self, phase: Phase) -> None:
        """The host is in another phase."""
        for each in PHASES:
            self._phase.labels(each).set(each == phase)

    def session_opened(self) -> None:
        """A session is there."""
        self._opened.inc()

    def session_ended(self, reason: str) -> None:
        """A session is over."""
        self._ended.labels(reason).inc()

    def sessions(self, states: Iterable[State]) -> None:
        """So the sessions stand now."""
        tally = Tally(states)
        for state in STATES:
            self._sessions.labels(state).set(tally[state])

    def slots(self, used: int, limit: int, waiting: int) -> None:
        """How full it is."""
        self._used.set(used)
        self._slots.set(limit)
        self._waiting.set(waiting)

    def chunk_made(self, made: ShownChunk, missed: bool) -> None:
        """A chunk was made."""
        self._chunks.inc()
        self._missed.inc(missed)
        self._making.observe(made.made_at - made.began_at)
        if made.received_at is not None and self._is_new(made.received_at):
            self._obeying.observe(made.made_at - made.received_at)

    def frame_sent(self, transport: str, size: int, seconds: float) -> None:
        """A frame left, so many bytes that took so long to encode."""
        self._frames.labels(transport, "sent").inc()
        self._bytes.labels(transport).inc(size)
        self._encoding.observe(seconds)

    def frames_left_out(self, transport: str, dropped: int, stale: int) -> None:
        """A connection ended that had left out so many frames."""
        self._frames.labels(transport, "dropped").inc(dropped)
        self._frames.labels(transport, "stale").inc(stale)

    def latencies_reported(self, milliseconds: Iterable[float]) -> None:
        """A client says what it saw."""
        for each in milliseconds:
            self._seen.observe(each / 1000)

    def refused(self, code: str) -> None:
        """A client was refused something."""
        self._refused.labels(code).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _is_new(self, received_at: float) -> bool:
        """Whether no earlier chunk obeyed the control that came in then."""
        if received_at in self._obeyed:
            return False
        self._obeyed[received_at] = None
        while len(self._obeyed) > 256:
            self._obeyed.pop(next(iter(self._obeyed)))
        return True
