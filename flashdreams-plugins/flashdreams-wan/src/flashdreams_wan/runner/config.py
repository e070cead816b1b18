"""Config of the family's runner. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.runner.config import RunnerConfig

DEFAULT_PROMPT = (
    "A red fox trots along a snowy ridge at sunrise, its breath steaming in the cold air. The camera "
    "follows from the side, close to the ground; loose snow glitters as it falls from the fox's paws."
)


@dataclass(kw_only=True)
class WanRunnerConfig(RunnerConfig):
    """A video from a prompt, or from a prompt and an image."""

    _target: Any = "flashdreams_wan.runner.runner:WanRunner"

    prompt: str = DEFAULT_PROMPT
    """What the video shows: text, or @FILE with the text in it."""
    negative_prompt: str | None = None
    """What guidance leads away from: text, or @FILE; None takes the slug's own."""
    prompt_switches: list[str] = field(default_factory=list)
    """Prompts that take over on the way, CHUNK:TEXT each (or CHUNK:@FILE), such as "4:It begins to rain"."""
    image: Path | None = None
    """Image that the video starts from; scaled to cover the frame, and cut about its centre."""
    height: int | None = None
    """Height in pixels; None takes the pipeline's."""
    width: int | None = None
    """Width in pixels; None takes the pipeline's."""
    checkpoint: Path | None = None
    """Weights of the transformer, in place of the slug's: a file, or a folder as diffusers saves it."""
    lora: list[str] = field(default_factory=list)
    """LoRA files that are merged into the transformer's weights, PATH or PATH:SCALE each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        chunks = [self._chunk_of(switch) for switch in self.prompt_switches]
        twice = next((chunk for chunk in chunks if chunks.count(chunk) > 1), None)
        if twice is not None:
            raise FieldValueError(
                f"Two prompts take over at chunk {twice}.",
                "One prompt takes over at a chunk.",
                "Leave one of --prompt-switches out, or give it another chunk.",
            )

    @property
    def effective_pipeline(self) -> StreamInferencePipelineConfig:
        """The pipeline with the size, checkpoint and LoRA files that the runner's own fields ask for.

        Raises:
            ConfigError: They do not fit the pipeline.
        """
        size = {name: value for name in ("height", "width") if (value := getattr(self, name)) is not None}
        transformer: dict[str, Any] = {}
        if self.checkpoint is not None:
            transformer["weights"] = str(self.checkpoint)
        if self.lora:
            own = getattr(self.pipeline.diffusion_model.transformer, "lora", ())
            transformer["lora"] = [*own, *self.lora]
        changes = {**size, **({"diffusion_model": {"transformer": transformer}} if transformer else {})}
        return derive_config(self.pipeline, **changes) if changes else self.pipeline

    def _chunk_of(self, switch: str) -> int:
        chunk, colon, text = switch.partition(":")
        if colon and text.strip() and chunk.strip().isdecimal() and 0 < int(chunk) < self.total_blocks:
            return int(chunk)
        last = self.total_blocks - 1
        raise FieldValueError(
            f"A prompt switch is {switch!r}.",
            "It reads CHUNK:TEXT. Chunks count from 0, the first has its prompt already, "
            + (f"and the last is {last} here." if last else "and this run has no other."),
            'Write --prompt-switches "1:It begins to rain", for instance, or raise --total-blocks.',
        )
