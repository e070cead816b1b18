"""How the stages of a chunk are run. The pipeline names the stages; an engine may run them its own way."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from flashdreams.infra.pipeline.slots import Slot

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout

Run = Callable[["Stage", Slot], "Tensor | None"]
"""Runs a stage on a slot and returns what it returns."""
InPasses = Callable[[Slot, Run], None]
"""Does the work of a stage, the passes in it by the runner that it is given."""


def _all_of_it(slot: Slot) -> Any:
    return slot


@dataclass(frozen=True)
class Warming:
    """What rollouts will be given: an example of each kind."""

    conditions: Mapping[str, Any] = field(default_factory=dict)
    """What ``initialize_cache`` will be given; values matter only as far as shapes depend on them."""
    controls: Sequence[Any] = (None,)
    """Inputs of ``generate``, one of each kind that looks different to the network."""
    sizes: Sequence[tuple[int, int]] = ()
    """Heights and widths in pixels; the config's where there are none."""
    slots: int = 1
    """Rollouts of each size that will live at once."""


@dataclass(frozen=True)
class Stage:
    """A part of a chunk that reads and writes its slot alone, so that a graph of it can be replayed.

    It may be run again until the chunk is final, with the same result.
    """

    name: str
    """"denoise", "decode" or "write_context"; "flow" is one pass of the network within "denoise"."""
    function: Callable[[Slot], Tensor | None]
    """Does the work; what it returns is the caller's to keep."""
    key: Callable[[Slot], Hashable]
    """Values on the host that decide which operators ``function`` runs, beside what tensors look like."""
    memory: Callable[[Slot], Any] = _all_of_it
    """The part of the slot that ``function`` reads and writes, as a tree: its tensors are at their places
    whenever the same graph of the stage is replayed."""
    in_passes: InPasses | None = None
    """The same work with each pass of the network run as a stage; None where one graph may hold all of it."""
    overlaps: bool = False
    """Whether it may be running while stages of the next chunk run: a graph of it may not share its memory
    pool with graphs of stages that do not overlap."""


class Execution:
    """Runs every stage as it is written: eagerly. An engine's subclass replays graphs, or overlaps stages."""

    @property
    def needs_warm_up(self) -> bool:
        """Whether the first chunks are slow without :meth:`warm_up`."""
        return False

    @property
    def goes_on(self) -> str:
        """What is still being done behind, for people who end the process now."""
        return ""

    def begin_chunk(self, rollout: Rollout, index: int) -> str:
        """Chunk ``index`` is about to be generated, maybe again: what may change between chunks changes here.

        Returns:
            The path that the chunk takes, for people: "eager", "compiled", "graph", "compiled graph".
        """
        return "eager"

    def run(self, stage: Stage, slot: Slot) -> Tensor | None:
        """Run one stage on a slot, and return what it returns."""
        return stage.function(slot)

    def chunk_final(self, rollout: Rollout, index: int) -> None:
        """Chunk ``index`` is final, and the next has not been asked for: the time for work between chunks."""

    def rollout_closed(self, rollout: Rollout) -> None:
        """The rollout is about to give its slot back: what is kept for it alone is of no more use."""

    def work(self, given: Any = None, *, after_all: bool = False) -> AbstractContextManager[None]:
        """Inside, the pipeline works on slots, in the order in which it is told to.

        That may be elsewhere than where the caller's own operators run, and need not wait for them.

        Args:
            given: What the work reads of the caller's: where that is on the device, it is waited for.
            after_all: Whether to wait for all that the caller has begun.
        """
        return nullcontext()

    def aside(self) -> AbstractContextManager[None]:
        """Inside :meth:`work`: what is run inside comes after what went before, and may overlap what follows.

        So decoding overlaps the next chunk. What is run aside keeps its own order. It reads memory that
        lives on, or that is dropped after :meth:`rejoin`.
        """
        return nullcontext()

    def rejoin(self) -> None:
        """Inside :meth:`work`: what follows comes after all that was run aside, whose memory it may write."""

    def catch_up(self, results: Any = None) -> None:
        """Outside: what the caller does next comes after all work so far, whose results it may read."""

    def warm_up(self, pipeline: StreamInferencePipeline, given: Warming) -> list[Any]:
        """Make ready what chunks will need, before the first is asked for; see the pipeline's ``warmup``.

        Returns:
            What was made ready, each of it a line for people as ``str``; nothing where that is nothing.
        """
        return []

    def forget(self) -> None:
        """The memory of slots is about to be dropped, or weights to move: nothing kept of them is right."""
