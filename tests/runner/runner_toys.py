"""Slugs of toys for the runner's tests, found through FLASHDREAMS_RUNNER_CONFIGS."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdreams.errors import ControlError
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner import Runner, RunnerConfig
from flashdreams.testing.toy import toy_pipeline_config


@dataclass(kw_only=True)
class ToyRunnerConfig(RunnerConfig):
    """A toy video, steered by one number per chunk."""

    _target: Any = "runner_toys:ToyRunner"

    steer: list[float] | None = None
    """The number for each chunk, over and over; None takes them from `steer_file`."""
    steer_file: Path | None = None
    """A text file with one number."""
    prompt: str = ""
    """What is to be seen."""
    pause: float = 0.0
    """Seconds that each control takes."""
    fail_at: int | None = None
    """Chunk whose control raises."""


class ToyRunner(Runner):
    config: ToyRunnerConfig

    def conditions(self) -> dict[str, Any]:
        return {"prompts": [self.config.prompt]}

    def control(self, index, last_chunk):
        time.sleep(self.config.pause)
        if index == self.config.fail_at:
            raise RuntimeError("the wheel came off")
        return self._numbers[index % len(self._numbers)]

    def record(self) -> dict[str, Any]:
        return {"controls": self._numbers}

    @property
    def _numbers(self) -> list[float]:
        config = self.config
        if config.steer is None and config.steer_file is None:
            raise ControlError("Nothing steers.", "Give numbers.", "Set --steer 0.")
        return [float(config.steer_file.read_text())] if config.steer is None else config.steer


TOY = ToyRunnerConfig(
    runner_name="toy",
    description="A toy of 8 x 8 pixels.",
    pipeline=toy_pipeline_config(),
    steer=[0.0, 1.0, -1.0],
    total_blocks=6,
    device="cpu",
    scale=4,
)

PLAIN = RunnerConfig(runner_name="plain", pipeline=toy_pipeline_config(), device="cpu", progress="off")

LATENTS = derive_config(PLAIN, runner_name="latents", pipeline={"decoder": None, "height": 4, "width": 4})
