"""An encoder of the controls that remembers where the wheel stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flashdreams.errors import FieldValueError
from flashdreams.infra.encoder.base import StreamingEncoder, StreamingEncoderConfig
from flashdreams_pocket.config import DriveControlEncoderConfig
from flashdreams_pocket.encoders import DriveControlEncoder


@dataclass(kw_only=True)
class SlowWheelEncoderConfig(StreamingEncoderConfig):
    """Steer, gas and brake, where the wheel turns no faster than a hand can turn it."""

    _target: type[SlowWheelEncoder] = field(default_factory=lambda: SlowWheelEncoder)

    turn: float = 0.15
    """How far the wheel turns within a pixel frame at most; from -1 to 1 it is 2."""

    def __post_init__(self) -> None:
        if self.turn <= 0:
            raise FieldValueError(
                f"turn is {self.turn}.", "A wheel that turns, turns by more than 0.", "Set turn to 0.15."
            )


class SlowWheelEncoder(StreamingEncoder):
    """Its state is where the wheel stands, ``[B or 1, 1]`` in [-1, 1]; before the first chunk, straight."""

    config: SlowWheelEncoderConfig

    def __init__(self, config: SlowWheelEncoderConfig) -> None:
        super().__init__(config)
        self.controls = DriveControlEncoder(DriveControlEncoderConfig())

    def forward(self, input: Any, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Turn the wheel towards where it should stand.

        Returns:
            Controls ``[B or 1, 3]`` (steer, gas, brake), float32, and where the wheel now stands.

        Raises:
            ControlError: The control is no (steer, gas, brake).
        """
        wanted, pedals = self.controls(input).split((1, 2), dim=-1)
        stands = torch.zeros_like(wanted) if state is None else state.to(wanted.device)
        wheel = stands + (wanted - stands).clamp(-self.config.turn, self.config.turn)
        return torch.cat([wheel, pedals], dim=-1), wheel
