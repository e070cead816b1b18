"""Runs a dreamt drive: where it starts, who drives, and how large it is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from einops import rearrange
from torch import Tensor

from flashdreams.errors import ControlError, did_you_mean
from flashdreams.infra.runner.base import Runner
from flashdreams.io.images import read_image
from flashdreams.io.video import to_uint8
from flashdreams_pocket.config import FRAME_SIZE, RacerRunnerConfig
from flashdreams_pocket.controls import as_record, read_controls
from flashdreams_pocket.drivers import DRIVERS
from flashdreams_pocket.shipped import load_start, start_names

Frame = np.ndarray[Any, np.dtype[np.uint8]]
POLICY = "policy:"


class RacerRunner(Runner):
    """A drive by script, by file, or by a driver that watches the dreamt road."""

    config: RacerRunnerConfig

    def conditions(self) -> dict[str, Any]:
        """The frames that the dream starts from: a shipped clip, or an image."""
        if self.config.first_frame in start_names():
            return {"first_frame": self.config.first_frame}
        return {"first_frame": self._first_image}

    def control(self, index: int, last_chunk: Tensor | None) -> np.ndarray:
        """Steer, gas and brake of pixel frame ``index``; a script's last value holds."""
        if self._driver is None:
            last = min(index, len(self._script) - 1)
            return self._script[last : last + 1]
        frame = self._start_frame if last_chunk is None else to_uint8(last_chunk)[0, -1]
        return np.array([self._driver(frame)], dtype=np.float32)

    def record(self) -> dict[str, Any]:
        """The controls as they were understood, so that the record does not depend on a file."""
        if self._driver is not None:
            return {}
        return {"controls": as_record(self._script)}

    @cached_property
    def _driver(self) -> Callable[[Frame], tuple[float, float, float]] | None:
        if not self.config.controls.startswith(POLICY):
            return None
        name = self.config.controls.removeprefix(POLICY)
        if name not in DRIVERS:
            raise ControlError(
                f"There is no driver {name!r}.",
                did_you_mean(name, DRIVERS),
                f"Set --controls to {POLICY}{next(iter(DRIVERS))}, for instance.",
            )
        return DRIVERS[name]

    @cached_property
    def _script(self) -> np.ndarray:
        return read_controls(self.config.controls)

    @cached_property
    def _first_image(self) -> Tensor:
        return read_image(self.config.first_frame, size=(FRAME_SIZE, FRAME_SIZE))

    @property
    def _start_frame(self) -> Frame:
        first = self.conditions()["first_frame"]
        if isinstance(first, str):
            return load_start(first).frames[-1].numpy()
        frame: Frame = rearrange(to_uint8(first), "1 1 h w c -> h w c")
        return frame
