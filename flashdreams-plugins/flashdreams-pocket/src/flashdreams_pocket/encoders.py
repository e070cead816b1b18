"""What steers a dream (the controls of each frame) and what it starts from (a short clip)."""

from __future__ import annotations

from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor

from flashdreams.errors import ControlError, ImageError
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.encoder.base import Encoder
from flashdreams_pocket.autoencoder import FrameEncoder
from flashdreams_pocket.config import FRAME_SIZE, DriveControlEncoderConfig, StartClipEncoderConfig
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
            controls = torch.tensor(input.tolist() if hasattr(input, "tolist") else input)
            controls = controls.to(torch.float32)
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
    takes = frozenset({"first_frame", "first_controls"})

    def __init__(self, config: StartClipEncoderConfig) -> None:
        super().__init__(config)
        self.frames = load_part(FrameEncoder, "encoder", config.weights)

    def forward(self, conditions: Conditions) -> dict[str, Tensor]:
        """Latents and controls of the frames a rollout starts from.

        ``first_frame`` is the name of a shipped clip, or pixels ``[B, 3, T, 64, 64]`` in [-1, 1]; with
        pixels, ``first_controls`` ``[B, T, 3]`` may say what led to each frame (0 where left out). B may
        be 1 where all videos of a batch start alike.

        Returns:
            ``latents`` ``[B, 8, T, 8, 8]`` and ``controls`` ``[B, T, 3]``.

        Raises:
            ImageError: There is no such clip, or the pixels have another shape.
            ControlError: The controls have another shape, or cannot steer.
        """
        pixels, controls = self._start(conditions)
        weight = next(self.parameters())
        frames = rearrange(pixels.to(weight), "b c t h w -> (b t) c h w")
        latents = rearrange(self.frames(frames), "(b t) c h w -> b c t h w", t=pixels.shape[2])
        batch = conditions.batch_size
        return {
            "latents": latents.expand(batch, -1, -1, -1, -1),
            "controls": controls.expand(batch, -1, -1),
        }

    def _start(self, conditions: Conditions) -> tuple[Tensor, Tensor]:
        first, given = conditions.first_frame, conditions.inputs.get("first_controls")
        if first is None or isinstance(first, str):
            clip = load_start(first or self.config.start)
            pixels = rearrange(clip.frames, "t h w c -> 1 c t h w").float() / 127.5 - 1
            controls: Any = clip.controls[None] if given is None else given
        else:
            pixels = _checked_pixels(first, conditions.batch_size)
            controls = torch.zeros(1, pixels.shape[2], 3) if given is None else given
        return pixels, _checked_controls(controls, conditions.batch_size, pixels.shape[2])


def _checked_pixels(pixels: Any, batch_size: int) -> Tensor:
    shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else ()
    frame = (3, FRAME_SIZE, FRAME_SIZE)
    whole = len(shape) == 5 and (shape[1], *shape[3:]) == frame and shape[2] > 0
    if not whole or shape[0] not in (1, batch_size):
        raise ImageError(
            f"first_frame is {list(shape) if shape else type(pixels).__name__}.",
            f"It is the name of a start clip, or pixels [B, 3, T, {FRAME_SIZE}, {FRAME_SIZE}].",
            "Read an image with flashdreams.io.images.read_image(path, size=(64, 64)).",
        )
    return cast(Tensor, pixels)


def _checked_controls(controls: Any, batch_size: int, frames: int) -> Tensor:
    checked = torch.as_tensor(controls, dtype=torch.float32, device="cpu")
    if checked.dim() != 3 or len(checked) not in (1, batch_size) or tuple(checked.shape[1:]) != (frames, 3):
        raise ControlError(
            f"first_controls is {list(checked.shape)}.",
            f"It says what led to each first frame: [B, {frames}, 3].",
            "Correct its shape, or leave it out.",
        )
    check_controls(checked.reshape(-1, 3).numpy(), "first_controls")
    return checked
