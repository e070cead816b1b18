"""Who is told about rollouts while they run. Never called inside the denoising loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout


class Observers:
    """Tells nobody. Plugins are told by a subclass of this."""

    def rollout_started(self, rollout: Rollout) -> None:
        """A rollout has begun, or goes on from a snapshot."""

    def chunk_generated(self, rollout: Rollout, index: int, chunk: Tensor) -> None:
        """Chunk ``index`` has been made: pixels (or latents) ``[B, C, T, H, W]``, not to be changed."""

    def rollout_finished(self, rollout: Rollout) -> None:
        """The rollout was closed."""


@contextmanager
def unobserved(pipeline: StreamInferencePipeline) -> Iterator[None]:
    """Inside, nobody is told of the pipeline's rollouts."""
    told, pipeline.observers = pipeline.observers, Observers()
    try:
        yield
    finally:
        pipeline.observers = told
