"""What is said where there is no graph."""

from __future__ import annotations

from flashdreams.errors import FlashDreamsError, GraphCaptureError, GraphFaultError

_REMEDIES = (
    "1. If memory is short, keep fewer rollouts (the pipeline's slots), a smaller window or smaller videos.",
    "2. If an operator is named, `flashdreams warm SLUG --check` names the line that calls it.",
    "3. If an attention backend or kernel is new, try --pipeline.diffusion-model.transformer"
    ".attention-backend sdpa.",
    "4. Run without graphs: --pipeline.diffusion-model.transformer.use-cuda-graph False.",
)


def no_capture(stage: str, error: Exception, memory: str) -> GraphCaptureError:
    """A stage that cannot be captured: why, how much memory there was, and what can be done."""
    reason = error.what if isinstance(error, FlashDreamsError) else " ".join(str(error).split())[:400]
    name = "" if isinstance(error, FlashDreamsError) else f"{type(error).__name__}: "
    return GraphCaptureError(
        f"No graph of the stage {stage!r} could be captured: {name}{reason}",
        f"A captured stage makes the host wait for nothing, and its memory is there (it is {memory}).",
        "\n".join(_REMEDIES),
    )


def not_warmed(stage: str, difference: str) -> GraphFaultError:
    """A graph that is captured while chunks are made, although all were to be there."""
    return GraphFaultError(
        f"A graph of the stage {stage!r} is captured after the warm-up: {difference}.",
        "The warm-up captures the graphs of all kinds of rollouts and controls that it is told of.",
        "Give it an example of each, by warmup(controls=..., sizes=...); or see why the slot's memory moves.",
    )
