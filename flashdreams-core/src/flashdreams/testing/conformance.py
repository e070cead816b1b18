"""One question for authors of models: would CUDA graphs make of a pipeline what its code makes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flashdreams.errors import GraphCaptureError, GraphFaultError
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.testing.fake_gpu import host_syncs_on_fake_gpu
from flashdreams.testing.graph_replay import replay_rollouts


def graph_problems(
    pipeline: StreamInferencePipeline,
    chunks: Sequence[int],
    controls: Callable[[int], Any] = lambda index: None,
    *,
    examples: Sequence[Any] | None = None,
    **conditions: Any,
) -> list[str]:
    """What CUDA graphs would get wrong about a pipeline, found out on the CPU; nothing where all is well.

    Where :func:`replay_problems` finds none, one chunk is run on a GPU that exists only as shapes, which
    shows what a tensor on the CPU gives away unnoticed. The arguments are the same.
    """
    problems = replay_problems(pipeline, chunks, controls, examples=examples, **conditions)
    if problems:
        return problems
    with pipeline.initialize_cache(**conditions) as rollout:
        pipeline.generate(0, rollout, input=controls(0))
        pipeline.finalize(0, rollout)
        syncs = host_syncs_on_fake_gpu(pipeline, rollout)
    return [f"The host waits for {name} on a GPU." for name in dict.fromkeys(syncs)]


def replay_problems(
    pipeline: StreamInferencePipeline,
    chunks: Sequence[int],
    controls: Callable[[int], Any] = lambda index: None,
    *,
    examples: Sequence[Any] | None = None,
    **conditions: Any,
) -> list[str]:
    """What differs between chunks from graphs and from the code, on the CPU; nothing where all is well.

    Graphs are captured ahead by :meth:`StreamInferencePipeline.warmup` and replayed for every chunk of a few
    rollouts, each replay beside the code itself; see :func:`replay_rollouts`.

    Args:
        pipeline: On the CPU.
        chunks: Chunks of each rollout; the first has more than the window holds, if it can.
        controls: Input of each chunk.
        examples: Inputs for the warm-up, one of each kind that looks different to the network.
        **conditions: Of all rollouts.
    """
    try:
        return replay_rollouts(pipeline, chunks, controls, examples=examples, **conditions).problems
    except (GraphFaultError, GraphCaptureError) as fault:
        return [str(fault)]
