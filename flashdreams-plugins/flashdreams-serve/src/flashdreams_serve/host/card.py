"""What a model is to those who use it: read from its config, before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.infra.runner.steering import Steering


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A slug as it is served."""

    slug: str
    description: str
    fps: float
    """Frames a second."""
    height: int
    """Pixels of a frame as the model makes it."""
    width: int
    scale: int
    """Whole number by which frames are enlarged to be looked at."""
    chunk_frames: int
    """Frames of a chunk; the first may have fewer."""
    steering: Steering
    has_pixels: bool
    """Whether it makes frames at all: without a decoder there are none."""

    @classmethod
    def of(cls, config: RunnerConfig) -> ModelCard:
        """The card of a config. No weights are read.

        Raises:
            FieldValueError: What the config names is no runner of FlashDreams, so that it cannot be steered.
        """
        runner: Any = config.setup()
        if not isinstance(runner, Runner):
            raise FieldValueError(
                f"{config.runner_name} is run by {type(runner).__name__}.",
                "What is served is made by a Runner of flashdreams.infra.runner.",
                "Make a video of it with flashdreams run, or ask its author for such a runner.",
            )
        pipeline = config.effective_pipeline
        transformer, decoder = pipeline.diffusion_model.transformer, pipeline.decoder
        return cls(
            slug=config.runner_name,
            description=config.description,
            fps=config.fps,
            height=pipeline.height,
            width=pipeline.width,
            scale=config.scale,
            chunk_frames=transformer.chunk * (decoder.temporal_compression if decoder else 1),
            steering=runner.steering(),
            has_pixels=decoder is not None,
        )

    @property
    def chunk_seconds(self) -> float:
        """How long a chunk is shown: the time in which the next is wanted."""
        return self.chunk_frames / self.fps

    def as_tree(self) -> dict[str, Any]:
        """All of it as plain values."""
        names = ("slug", "description", "fps", "height", "width", "scale", "chunk_frames", "chunk_seconds")
        return {**{name: getattr(self, name) for name in names}, "steering": self.steering.as_tree()}
