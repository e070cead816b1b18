"""Runs a dreamt drive: where it starts, who drives, and how large it is shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from einops import rearrange
from torch import Tensor

from flashdreams.errors import ControlError
from flashdreams.infra.runner.base import Capabilities, Runner
from flashdreams.infra.runner.steering import Axis, Steering
from flashdreams.io.images import read_image
from flashdreams.io.video import to_uint8
from flashdreams_pocket.config import FRAME_SIZE, RacerRunnerConfig, StartClipEncoderConfig
from flashdreams_pocket.controls import LIMITS, WORDS, as_record, is_control_file, read_controls
from flashdreams_pocket.drivers import Driver, driver
from flashdreams_pocket.shipped import load_start, start_names

Frame = np.ndarray[Any, np.dtype[np.uint8]]
POLICY = "policy:"
NO_FILE = ("shipped", "random")  # weights that are named otherwise than by their file
KEYS = {
    "steer": {"ArrowLeft": "left", "KeyA": "left", "ArrowRight": "right", "KeyD": "right"},
    "gas": {"ArrowUp": "gas", "KeyW": "gas"},
    "brake": {"ArrowDown": "brake", "KeyS": "brake", "Space": "brake"},
}
"""The word of a script that each key of an axis stands for."""
PAD = {"steer": "left-x", "gas": "right-trigger", "brake": "left-trigger"}


class RacerRunner(Runner):
    """A drive by script, by file, or by a driver that watches the dreamt road."""

    config: RacerRunnerConfig
    capabilities: ClassVar[Capabilities] = Capabilities(controls=True)

    def conditions(self) -> dict[str, Any]:
        """The pixel frames that the dream starts from: a shipped clip, or an image."""
        return {} if self._start is None else {"first_frame": self._start}

    def control(self, index: int, last_chunk: Tensor | None) -> np.ndarray:
        """Steer, gas and brake of pixel frame ``index``; a script's last value holds."""
        if self._driver is None:
            last = min(index, len(self._script) - 1)
            return self._script[last : last + 1]
        frame = self._start_frame if last_chunk is None else to_uint8(last_chunk)[0, -1]
        return np.array([self._driver(frame)], dtype=np.float32)

    def control_examples(self) -> Sequence[tuple[float, float, float]]:
        """Straight ahead, and to either side."""
        return [(0.0, 0.5, 0.0), (-0.8, 0.3, 0.0), (0.8, 0.3, 0.0)]

    def steering(self) -> Steering:
        """Wheel and pedals, held as hard as the words of a script hold them, and the shipped start clips."""
        axes = tuple(
            Axis(
                name=name,
                low=low,
                high=high,
                keys={key: WORDS[word][name] for key, word in KEYS[name].items()},
                pad=PAD[name],
            )
            for name, (low, high) in LIMITS.items()
        )
        return Steering(axes=axes, starts=self._starts, image=bool(self._starts))

    def record(self) -> dict[str, Any]:
        """The controls as they were understood, so that a reader need not have their file."""
        return {} if self._driver is not None else {"controls": as_record(self._script)}

    def input_files(self) -> list[str]:
        """A control file, an image that the dream starts from, and weights that are not the shipped ones."""
        transformer = self.config.pipeline.diffusion_model.transformer
        parts = (transformer, transformer.context_encoder, self.config.pipeline.decoder)
        files = {str(getattr(part, "weights", NO_FILE[0])) for part in parts}.difference(NO_FILE)
        if is_control_file(self.config.controls):
            files.add(self.config.controls)
        if self.config.first_frame is not None and isinstance(self._start, Tensor):
            files.add(self.config.first_frame)
        return sorted(files)

    def check(self) -> None:
        """Refuse what could not be run, a driver without eyes included. Nothing is built or written."""
        super().check()
        if self._driver is not None:
            _ = self._start_frame

    @cached_property
    def _driver(self) -> Driver | None:
        if not self.config.controls.startswith(POLICY):
            return None
        if self.config.pipeline.decoder is None:
            raise ControlError(
                f"The controls are {self.config.controls}, and the pipeline has no decoder.",
                "A driver looks at the dreamt pixels, and without a decoder there are none.",
                'Give the pipeline a decoder, or a script: --controls "gas*20, gas+left*10, straight*30".',
            )
        return driver(self.config.controls.removeprefix(POLICY))

    @cached_property
    def _script(self) -> np.ndarray:
        return read_controls(self.config.controls)

    @property
    def _own_start(self) -> str | None:
        """Name of a shipped clip or path of an image; None where another context encoder decides."""
        encoder = self.config.pipeline.diffusion_model.transformer.context_encoder
        if self.config.first_frame is None and isinstance(encoder, StartClipEncoderConfig):
            return encoder.start
        return self.config.first_frame

    @cached_property
    def _starts(self) -> tuple[str, ...]:
        """Names of the shipped clips, its own first; none where another context encoder decides."""
        own = self._own_start
        return () if own is None else tuple(sorted(start_names(), key=lambda name: name != own))

    @cached_property
    def _start(self) -> str | Tensor | None:
        """Name of a shipped clip, pixels of an image, or None where another context encoder decides."""
        first = self._own_start
        if first is None or first in start_names():
            return first
        if not os.path.exists(first):
            load_start(first)  # says which clips there are
        return read_image(first, size=(FRAME_SIZE, FRAME_SIZE))

    @cached_property
    def _start_frame(self) -> Frame:
        if self._start is None:
            raise ControlError(
                f"The controls are {self.config.controls}, and no start is named.",
                "A driver looks at the pixel frame before its first control.",
                "Name a start clip or an image with --first-frame.",
            )
        if isinstance(self._start, str):
            return load_start(self._start).frames[-1].numpy()
        frame: Frame = rearrange(to_uint8(self._start), "1 1 h w c -> h w c")
        return frame
