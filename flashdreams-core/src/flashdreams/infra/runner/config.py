"""Config of the runner: what a slug names. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flashdreams.errors import FieldValueError
from flashdreams.infra.config import InstantiateConfig, derive_config
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.io.writer import check_fps

if TYPE_CHECKING:
    from flashdreams.infra.runner.base import Runner


@dataclass(kw_only=True)
class RunnerConfig(InstantiateConfig):
    """A pipeline, its inputs and its output."""

    _target: Any = "flashdreams.infra.runner.base:Runner"

    runner_name: str
    """The slug, equal to the name of its entry point."""
    description: str = ""
    """What it makes, in one line."""
    pipeline: StreamInferencePipelineConfig
    """The pipeline that is run."""
    output_dir: Path = Path("outputs")
    """Folder for outputs whose name is not given."""
    output: Path | None = None
    """File to write: .mp4, .gif, .npz (latents), or a folder of PNG frames where there is no suffix."""
    overwrite: bool = False
    """Replace the output where it exists already."""
    device: str = "auto"
    """Where to run: auto, cpu, cuda, cuda:N or mps."""
    total_blocks: int = 7
    """Chunks to generate."""
    seed: int = 0
    """Seed of the noise; the same seed makes the same video."""
    fps: float = 16.0
    """Pixel frames per second of the output, 0.1 to 1000."""
    scale: int = 1
    """Whole number by which the output is enlarged, each pixel becoming a crisp square."""
    threads: int | None = None
    """CPU threads to compute with; None leaves the number to torch."""
    progress: Literal["auto", "bar", "lines", "off"] = "auto"
    """How progress is shown on stderr; "auto" shows a bar on a terminal and lines elsewhere."""
    compile: bool = False
    """Compile the transformer's repeated parts before the first chunk; what was compiled once is kept."""
    hot_swap: bool = False
    """Start without waiting: compile behind, and go over to what is fast at a boundary between chunks."""
    swap_at: int | Literal["never"] | None = None
    """With hot_swap: the chunk at which compiled code takes over, or never, to repeat a run exactly."""
    profile: Path | None = None
    """JSON file to write a trace to: how long each part of each chunk took; a table goes to stderr."""

    @property
    def effective_pipeline(self) -> StreamInferencePipelineConfig:
        """The pipeline that is really built: subclasses apply what their own fields say about it.

        A runner with a ``checkpoint`` of its own, for instance, puts it where the weights are read.
        """
        return self.pipeline

    def setup(self, device: str | None = None) -> Runner:
        """Build the runner; ``device`` takes the place of the config's own.

        Raises:
            TargetError: ``_target`` cannot be imported or is not a class.
        """
        config = self if device is None else derive_config(self, device=str(device))
        runner: Runner = InstantiateConfig.setup(config)
        return runner

    def __post_init__(self) -> None:
        if self.total_blocks < 1:
            raise FieldValueError(
                f"total_blocks is {self.total_blocks}.",
                "A video has at least one chunk.",
                "Set --total-blocks to 1 or more.",
            )
        check_fps(self.fps)
        if self.scale < 1 or (self.threads is not None and self.threads < 1):
            name = "scale" if self.scale < 1 else "threads"
            raise FieldValueError(
                f"{name} is {getattr(self, name)}.",
                f"{name} is a whole number, 1 or more.",
                f"Set --{name} to 1, for instance.",
            )
        if self.swap_at is not None:
            self._check_swap(self.swap_at)
        if not 0 <= self.seed < 2**63:
            raise FieldValueError(
                f"seed is {self.seed}.",
                "A seed is a whole number from 0 to 2**63 - 1.",
                "Set --seed to 0, for instance.",
            )

    def _check_swap(self, swap_at: int | str) -> None:
        if not self.hot_swap:
            raise FieldValueError(
                f"swap_at is {swap_at}, and hot_swap is {self.hot_swap}.",
                "Only a run that is hot-swapped goes over to compiled code on its way.",
                "Set --hot-swap with it, or leave it out.",
            )
        if isinstance(swap_at, int) and not 0 <= swap_at < self.total_blocks:
            raise FieldValueError(
                f"swap_at is {swap_at}, of {self.total_blocks} chunks.",
                f"It is the index of a chunk that is made, 0 to {self.total_blocks - 1}, or never.",
                "Choose another, or leave it out: the first chunk that can be compiled then is.",
            )
