"""What steers a dream (the controls of each frame) and what it starts from (a short clip)."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from flashdreams.errors import ControlError, ImageError
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.encoder.base import Encoder
from flashdreams_pocket.autoencoder import FRAME_SIZE, FrameEncoder
from flashdreams_pocket.config import DriveControlEncoderConfig, StartClipEncoderConfig
from flashdreams_pocket.controls import check_controls
from flashdreams_pocket.shipped import load_part, load_start


class DriveControlEncoder(Encoder):
    """Checks the controls of one frame and hands them on."""

    config: DriveControlEncoderConfig

    def forward(self, input: Any) -> Tensor:
        """Controls ``[3]`` or ``[B, 3]`` (steer, gas, brake; None is 0, 0, 0) as float32 ``[B or 1, 3]``.

        Raises:
            ControlError: Another width, a number that is none, or one out of range.
        """
        if input is None:
            return torch.zeros(1, 3)
        try:
            controls = torch.as_tensor(input, dtype=torch.float32, device="cpu")
        except (TypeError, ValueError, RuntimeError) as error:
            raise ControlError(
                f"The control {input!r} is no list of numbers.",
                "A control is (steer, gas, brake).",
                "Give three numbers, such as (0.0, 0.5, 0.0).",
            ) from error
        controls = controls[None] if controls.dim() == 1 else controls
        check_controls(controls.numpy(), "The control")
        return controls


class StartClipEncoder(Encoder):
    """Encodes the frames that a dream starts from."""

    config: StartClipEncoderConfig

    def __init__(self, config: StartClipEncoderConfig) -> None:
        super().__init__(config)
        self.frames = FrameEncoder()
        load_part(self.frames, "encoder", config.weights)

    def forward(self, conditions: Conditions) -> dict[str, Tensor]:
        """Latents and controls of the frames a rollout starts from.

        ``first_frame`` is the name of a shipped clip, or pixels ``[B, 3, T, 64, 64]`` in [-1, 1]; with
        pixels, ``first_controls`` ``[B, T, 3]`` may say what led to each frame (0 where it is left out).

        Returns:
            ``latents`` ``[B, 8, T, 8, 8]`` and ``controls`` ``[B, T, 3]``.
        """
        pixels, controls = self._start(conditions)
        pixels = pixels.expand(conditions.batch_size, -1, -1, -1, -1)
        controls = controls.expand(conditions.batch_size, -1, -1)
        weight = next(self.parameters())
        frames = rearrange(pixels.to(weight), "b c t h w -> (b t) c h w")
        latents = rearrange(self.frames(frames), "(b t) c h w -> b c t h w", t=pixels.shape[2])
        return {"latents": latents, "controls": controls}

    def _start(self, conditions: Conditions) -> tuple[Tensor, Tensor]:
        first = conditions.first_frame
        if first is None or isinstance(first, str):
            clip = load_start(first or self.config.start)
            pixels = rearrange(clip.frames, "t h w c -> 1 c t h w").float() / 127.5 - 1
            return pixels, clip.controls[None]
        if not isinstance(first, Tensor) or first.dim() != 5 or first.shape[-2:] != (FRAME_SIZE, FRAME_SIZE):
            shape = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
            raise ImageError(
                f"first_frame is {shape}.",
                f"It is the name of a start clip, or pixels [B, 3, T, {FRAME_SIZE}, {FRAME_SIZE}].",
                "Read an image with flashdreams.io.images.read_image(path, size=(64, 64)).",
            )
        controls = conditions.inputs.get("first_controls")
        if controls is None:
            controls = torch.zeros(1, first.shape[2], 3)
        return first, torch.as_tensor(controls, dtype=torch.float32)
