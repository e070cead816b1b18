"""Captures, before the first chunk is asked for, every graph that chunks will need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from flashdreams.engine.first_chunks import make_first_chunks
from flashdreams.errors import FieldValueError, FlashDreamsError
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.pipeline.execution import Warming
from flashdreams.infra.pipeline.rollout import Rollout

if TYPE_CHECKING:
    from flashdreams.engine.graphs.executor import GraphExecution

ControlOf = Callable[[int], Any]
"""What the passes of a chunk are given, by its index."""


@torch.no_grad()
def capture_all(pipeline: StreamInferencePipeline, given: Warming, graphs: GraphExecution) -> None:
    """Let the pipeline's execution meet every stage of every kind of chunk, in every slot.

    A kind is a fill level of the window, a size, a control that looks different, and whether the decoder has
    a state. The largest come first, so that those after them fit into their memory.

    Raises:
        FieldValueError: The pipeline has too few slots.
        FlashDreamsError: The conditions, controls or sizes are none that the pipeline takes.
    """
    config = pipeline.config
    sizes = given.sizes or [(config.height, config.width)]
    slots = given.slots * len(sizes)
    if slots > config.slots:
        raise FieldValueError(
            f"{given.slots} rollouts of {len(sizes)} sizes are to be warmed up, in {config.slots} slots.",
            "A slot is of one size, and its graphs go with it.",
            f"Set the pipeline's slots to {slots} or more, or warm up fewer.",
        )
    with ExitStack() as rollouts:
        for height, width in sorted(sizes, key=lambda size: -size[0] * size[1]):
            for _ in range(given.slots):
                begin = pipeline.initialize_cache
                rollout = rollouts.enter_context(begin(**given.conditions, height=height, width=width))
                with graphs.paused():
                    make_first_chunks(rollout, given.controls[0])
                controls = [_taken_up(rollout, control) for control in given.controls]
                for _ in captures_of(rollout, controls, goes_on=rollout.next_index > 1):
                    pass


def captures_of(rollout: Rollout, controls: Sequence[ControlOf], *, goes_on: bool) -> Iterator[None]:
    """Run all kinds of stages in the slot of a rollout, which has made a chunk, one with each step.

    Args:
        rollout: Whose slot it is. What it has made is lost.
        controls: What passes are given, by the index of the chunk, one of each kind.
        goes_on: Whether a rollout has more than one chunk.
    """
    execution, stages, slot = rollout.pipeline.execution, rollout.pipeline.stages, rollout.slot
    transformer = rollout.pipeline.diffusion_model.transformer
    with execution.work(after_all=True):
        indices = _indices(rollout)
    for control_of in controls:
        for index in reversed(indices):
            for stage in (stages.denoise, stages.write_context):
                with execution.work(after_all=True):
                    slot.control = control_of(index)
                    transformer.begin_chunk(slot.transformer, index)
                    execution.run(stage, slot)
                execution.catch_up()
                yield
    later = [slot.decoder.state] if goes_on else []
    for state in (*later, None):
        with execution.work(after_all=True), execution.aside():
            slot.decoder.begin(state)
            execution.run(stages.decode, slot)
        execution.catch_up()
        yield


def _taken_up(rollout: Rollout, control: Any) -> ControlOf:
    """A control as passes are given it."""
    slot, pipeline = rollout.slot, rollout.pipeline
    with pipeline.execution.work(control):
        encoded = pipeline.stages.encode(slot, control)
    return partial(pipeline.diffusion_model.transformer.take_control, slot.transformer, control=encoded)


def _indices(rollout: Rollout) -> list[int]:
    """A chunk for each set of operators that passes run, in order of the chunks."""
    transformer, cache = rollout.pipeline.diffusion_model.transformer, rollout.slot.transformer
    config, found = transformer.config, dict[Any, int]()
    for index in range(config.window // config.chunk + 1):
        try:
            transformer.begin_chunk(cache, index)
        except FlashDreamsError:
            break  # a video of so many chunks is none that the model makes
        found.setdefault(transformer.graph_key(cache), index)
    return list(found.values())
