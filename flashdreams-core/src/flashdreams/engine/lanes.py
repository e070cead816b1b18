"""Lanes: where operators queue on a device. Decoding overlaps the next chunk on a lane of its own.

Three lanes take part. The caller's is where the caller's own operators run. On the *work* lane the pipeline
encodes, denoises and remembers; on the lane *aside* it decodes. Lanes wait for each other at marks in their
queues, and the host waits for none of them:

- work waits for the caller where it reads what the caller made on the device;
- aside waits for work when it is entered, so decoding begins once the chunk is clean;
- work waits for aside before it overwrites what the decoder reads, which is a chunk later;
- the caller waits for both whenever it is given something, so pixels are right wherever they are used.

The finalize of a chunk and the steps of the next so run while its pixels are decoded, converted and copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from flashdreams.infra import state_tree
from flashdreams.infra.pipeline.execution import Execution


class Mark(Protocol):
    """A place in the queue of a lane."""

    def synchronize(self) -> None:
        """Let the host wait until the lane has come to it."""
        ...


class Lane(Protocol):
    """A queue of operators, run in order."""

    def mark(self) -> Any:
        """A mark behind all that is queued here now."""
        ...

    def wait(self, mark: Any) -> None:
        """Let what is queued here from now on run after ``mark`` of another lane."""
        ...

    def entered(self) -> AbstractContextManager[Any]:
        """Inside, operators queue here."""
        ...

    def keep(self, tensor: Tensor) -> None:
        """Use the memory of a dropped tensor again only after all that was queued here by then."""
        ...


class LaneSource(Protocol):
    """What lanes of a device come from."""

    def new_lane(self, *, urgent: bool = False) -> Lane:
        """A lane of its own; the device prefers what queues on an ``urgent`` one."""
        ...

    def current(self) -> Lane:
        """The lane where operators queue now."""
        ...

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor lies on the device, where operators on it may be queued still."""
        ...


class Lanes(Execution):
    """Runs stages as they are written, on the lanes of ``source``; an engine uses it for the lanes alone."""

    def __init__(self, source: LaneSource) -> None:
        self._source = source
        self._work = source.new_lane()
        self._aside = source.new_lane(urgent=True)  # pixels leave before the next chunk is paid for
        self._work.wait(source.current().mark())

    @contextmanager
    def work(self, given: Any = None, *, after_all: bool = False) -> Iterator[None]:
        """Inside, operators queue on the work lane."""
        if after_all or self._may_be_unfinished(given):
            self._work.wait(self._source.current().mark())
        with self._work.entered():
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, operators queue on the lane aside, after what work has queued so far."""
        self._aside.wait(self._work.mark())
        with self._aside.entered():
            yield

    def rejoin(self) -> None:
        """Let work go on after all that was queued aside."""
        self._work.wait(self._aside.mark())

    def catch_up(self, results: Any = None) -> None:
        """Let the caller go on after both lanes, and have ``results`` outlive what it queues."""
        caller = self._source.current()
        for lane in (self._work, self._aside):
            caller.wait(lane.mark())
        for tensor in state_tree.tensors(results):
            caller.keep(tensor)

    def forget(self) -> None:
        """What is freed now may be used again by the caller: let it come after all that reads it."""
        self.catch_up()

    def _may_be_unfinished(self, given: Any) -> bool:
        """Whether what the caller gives holds tensors of the device, or something that may."""
        try:
            return any(self._source.holds(tensor) for tensor in state_tree.tensors(given))
        except TypeError:
            return True


class CudaLane:
    """A CUDA stream."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream

    def mark(self) -> torch.cuda.Event:
        """Record an event; a host that waits for it sleeps, so that its core is free for the video."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event

    def wait(self, mark: torch.cuda.Event) -> None:
        """Wait on the device."""
        self._stream.wait_event(mark)

    def entered(self) -> AbstractContextManager[Any]:
        """Make the stream the current one of this thread."""
        return torch.cuda.stream(self._stream)

    def keep(self, tensor: Tensor) -> None:
        """Tell torch's allocator of the second stream."""
        tensor.record_stream(self._stream)


class CudaLanes:
    """The streams of one card."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def new_lane(self, *, urgent: bool = False) -> CudaLane:
        """A stream from torch's pool."""
        priority = -1 if urgent else 0
        return CudaLane(torch.cuda.Stream(self._device, priority))  # type: ignore[no-untyped-call]

    def current(self) -> CudaLane:
        """The current stream of this thread."""
        return CudaLane(torch.cuda.current_stream(self._device))

    def holds(self, tensor: Tensor) -> bool:
        """Whether it lies on a card."""
        return tensor.is_cuda


def lanes_on(device: torch.device) -> Execution:
    """Lanes on a device that has them; elsewhere operators run at once, or one after another anyway."""
    return Lanes(CudaLanes(device)) if device.type == "cuda" else Execution()
