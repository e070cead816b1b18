"""What tests of the host share: a toy that is steered, watchers, a clock that is turned by hand."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from flashdreams.errors import ControlError
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.infra.runner.steering import Axis, Choice, Steering, Text
from flashdreams.io.pixels import to_uint8
from flashdreams.plugins.registry import installed_registry
from flashdreams.testing import toy
from flashdreams_serve.host.errors import OrderRefusedError
from flashdreams_serve.host.events import Receipt, Refused, Standing
from flashdreams_serve.host.host import Host
from flashdreams_serve.host.orders import Control, Opening
from flashdreams_serve.host.recording import Saved
from flashdreams_serve.settings import Limits, ServeSettings

PATIENCE = 60.0
"""Seconds that a test waits for what must come, however busy the machine is."""


class Tape:
    """A recorder that remembers how much it was shown."""

    def __init__(self):
        self.chunks, self.is_closed = 0, False
        self.logs = []

    def show(self, chunk):
        self.chunks += 1

    def drop(self, before_epoch):
        pass

    def tell(self, event):
        pass

    def save(self, seconds, control_log):
        self.logs.append(control_log())
        saved = Future()
        if seconds > 100:
            saved.set_exception(OSError("/secret/path is full"))
        else:
            saved.set_result(Saved("a.mp4", seconds, 100))
        return saved

    def save_at_end(self, control_log):
        self.logs.append(control_log())
        return Saved("end.mp4", 1.0, self.chunks)

    def close(self):
        self.is_closed = True


class Watcher:
    """An outlet that keeps everything, and waits for more."""

    def __init__(self) -> None:
        self.chunks: list[Any] = []
        self.events: list[Any] = []
        self.dropped: list[int] = []
        self._changed = threading.Condition()

    def show(self, chunk):
        self._note(self.chunks, chunk)

    def drop(self, before_epoch):
        self._note(self.dropped, before_epoch)

    def tell(self, event):
        self._note(self.events, event)

    def until(self, is_so: Callable[[Watcher], Any]) -> Watcher:
        with self._changed:
            assert self._changed.wait_for(lambda: is_so(self), PATIENCE), (self.events, len(self.chunks))
        return self

    def until_state(self, state: str) -> Watcher:
        return self.until(lambda self: self.standings and self.standings[-1].state == state)

    @property
    def standings(self) -> list[Standing]:
        return [event for event in self.events if isinstance(event, Standing)]

    @property
    def receipts(self) -> list[Receipt]:
        return [event for event in self.events if isinstance(event, Receipt)]

    @property
    def refusals(self) -> list[Refused]:
        return [event for event in self.events if isinstance(event, Refused)]

    @property
    def frames(self) -> list[bytes]:
        return [chunk.frames.tobytes() for chunk in self.chunks]

    def _note(self, things, thing):
        with self._changed:
            things.append(thing)
            self._changed.notify_all()


class HandClock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Faults:
    """Raises in the middle of things, where a test has said so."""

    def __init__(self) -> None:
        self._armed: dict[str, list[Any]] = {}

    def arm(self, place: str, *, call: int = 1, times: int = 1, error: Callable[[], Exception] | None = None):
        self._armed[place] = [call, times, error or (lambda: RuntimeError(f"broken at /secret/{place}"))]

    def disarm(self):
        self._armed.clear()

    def check(self, place: str) -> None:
        if place in self._armed:
            armed = self._armed[place]
            armed[0] -= 1
            if armed[0] <= 0 < armed[1]:
                armed[1] -= 1
                raise armed[2]()


FAULTS = Faults()
RUNNERS: list[Runner] = []


@dataclass(kw_only=True)
class FaultyPromptsConfig(toy.ToyPromptEncoderConfig):
    _target: Any = field(default_factory=lambda: FaultyPrompts)


class FaultyPrompts(toy.ToyPromptEncoder):
    def forward(self, conditions):
        FAULTS.check("initialize")
        if conditions.prompts == ["refused"]:
            raise ControlError("The file /secret/prompts is not there.", "No.", "No.")
        return super().forward(conditions)


@dataclass(kw_only=True)
class PushEncoderConfig(toy.ToyControlEncoderConfig):
    _target: Any = field(default_factory=lambda: PushEncoder)


class PushEncoder(toy.ToyControlEncoder):
    """The toy's, with a row for each video of a batch."""

    def forward(self, input, state):
        control, state = super().forward(input, None if state is None else state[0])
        return control[None], state[None]


@dataclass(kw_only=True)
class FaultyTransformerConfig(toy.ToyTransformerConfig):
    _target: Any = field(default_factory=lambda: FaultyTransformer)
    context_encoder: Any = field(default_factory=FaultyPromptsConfig)


class FaultyTransformer(toy.ToyTransformer):
    def predict_flow(self, latents, timestep, cache, control):
        FAULTS.check("flow")
        return super().predict_flow(latents, timestep, cache, control)


@dataclass(kw_only=True)
class FaultyDecoderConfig(toy.ToyDecoderConfig):
    _target: Any = field(default_factory=lambda: FaultyDecoder)


class FaultyDecoder(toy.ToyDecoder):
    def forward(self, latents, state):
        FAULTS.check("decode")
        return super().forward(latents, state)


class ToyRunner(Runner):
    """Pushed along an axis, in a gear, and told words: "bad" ones are refused."""

    def __init__(self, config):
        super().__init__(config)
        RUNNERS.append(self)

    def steering(self):
        return Steering(
            axes=(Axis(name="push", low=-4.0, high=4.0),),
            choices=(Choice(name="gear", options=("low", "high")),),
            texts=(Text(name="say", longest=40),),
            prompt=Text(name="prompt", longest=200),
        )

    def steered(self, values):
        FAULTS.check("steered")
        if values.get("say") == "bad":
            raise ControlError("The word is bad.", "Good words are taken.", "Say another.")
        if values["push"] == 4.0:
            raise ControlError("It is pushed too hard.", "Push less.", "Push less.")
        return values["push"] * (1 + (values["gear"] == "high")) + len(values.get("say", ""))

    def showing(self, chunk):
        FAULTS.check("showing")
        return super().showing(chunk)


@dataclass(kw_only=True)
class ToyRunnerConfig(RunnerConfig):
    _target: Any = field(default_factory=lambda: ToyRunner)


@pytest.fixture
def toy_config() -> RunnerConfig:
    """A toy of 8 x 8 pixels; chunks of 2 frames, 100 a second."""
    pipeline = toy.toy_pipeline_config()
    pipeline.diffusion_model.transformer = FaultyTransformerConfig()
    pipeline.encoder = PushEncoderConfig()
    pipeline.decoder = FaultyDecoderConfig()
    return ToyRunnerConfig(runner_name="toy", pipeline=pipeline, fps=200.0, threads=1, device="cpu")


@pytest.fixture
def racer_config() -> RunnerConfig:
    config = copy.deepcopy(installed_registry().runner_config("pocket-racer"))
    config.device = "cpu"
    return config


@pytest.fixture
def faults():
    FAULTS.disarm()
    yield FAULTS
    FAULTS.disarm()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def host_of():
    """Starts hosts, and stops them; no slot of theirs may be lent then."""
    hosts, first = [], len(RUNNERS)

    def start(config, *, batch=False, observer=None, recorder=None, clock=time.monotonic, **limits) -> Host:
        settings = ServeSettings(batch=batch, limits=Limits(**{"sessions": 4, **limits}))
        host = Host(config, settings, observer=observer, recorder=recorder, clock=clock)
        hosts.append(host)
        host.start()
        return host

    yield start
    for host in hosts:
        host.stop()
    for runner in RUNNERS[first:]:
        if "pipeline" in vars(runner):
            assert runner.pipeline.slots.lent == 0
    del RUNNERS[first:]
    assert not [thread for thread in threading.enumerate() if thread.name == "dream"]


@pytest.fixture
def watched():
    """Opens a session that is watched."""

    def open_and_watch(host, opening=None, client="somebody"):
        session, watcher = host.open(opening or Opening(seed=1), client), Watcher()
        session.attach(watcher)
        return session, watcher

    return open_and_watch


@pytest.fixture
def new_watcher():
    return Watcher


@pytest.fixture
def eventually():
    """Waits until something is so."""

    def wait(is_so: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := is_so()):
            assert time.monotonic() < end
            time.sleep(0.005)
        return found

    return wait


@pytest.fixture
def pushes():
    return 0.0, 1.0, 1.0, -2.0, 0.5, 0.0, 3.0, -1.0


@pytest.fixture
def done():
    """Has an order carried out, and gives its answer."""
    return lambda session, order: session.order(order).result(PATIENCE)


@pytest.fixture
def refusal():
    """The code with which an order is refused."""

    def code_of(session, order) -> str:
        error = session.order(order).exception(PATIENCE)
        assert isinstance(error, OrderRefusedError), error
        return error.code

    return code_of


@pytest.fixture
def step():
    """Lets one chunk period pass, and waits until each has seen a chunk more."""

    def one(clock, host, *watchers):
        before = [len(watcher.chunks) for watcher in watchers]
        clock.now += host.card.chunk_seconds
        for watcher, seen in zip(watchers, before, strict=True):
            watcher.until(lambda self, seen=seen: len(self.chunks) > seen)

    return one


@pytest.fixture
def drive(step):
    """Pushes, one chunk after another."""

    def along(clock, host, session, watcher, values, first_seq=1):
        for seq, push in enumerate(values, start=first_seq):
            session.control(Control(seq=seq, values={"push": push}))
            step(clock, host, watcher)

    return along


@pytest.fixture
def by_hand():
    """The frames that the pipeline makes without any host."""

    def made(config, values, seed=1):
        pipeline, runner, frames = config.pipeline.setup(), Runner(config), []
        with pipeline.initialize_cache(seed=seed) as rollout:
            for index, push in enumerate(values):
                chunk = pipeline.generate(index, rollout, input=push)
                frames.append(runner.frames(to_uint8(chunk)).tobytes())
                pipeline.finalize(index, rollout)
        return frames

    return made


@pytest.fixture
def ready(host_of, toy_config, clock, watched):
    """A host on a clock turned by hand, and a watched session that has made its first chunk."""
    host = host_of(toy_config, clock=clock)
    session, watcher = watched(host)
    watcher.until(lambda self: self.chunks)
    return host, session, watcher


@pytest.fixture
def tape():
    return Tape
