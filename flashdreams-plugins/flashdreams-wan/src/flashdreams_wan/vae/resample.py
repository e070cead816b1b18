"""From one resolution of the VAE to the next, in space and, where ``temporal``, in time.

The first frame of a video has no partner in time: it is passed by.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from flashdreams_wan.vae.layers import FrameConv, behind, conv3d
from flashdreams_wan.vae.past import Past


class Upsample(nn.Module):
    """Twice the height and width, half the channels; where ``temporal``, twice the frames."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": FrameConv(channels, channels // 2, 3, padding=1)})
        self.time_conv = nn.Conv3d(channels, 2 * channels, (3, 1, 1)) if temporal else None

    def forward(self, frames: Tensor, past: Past) -> Tensor:
        """``[B, T, H, W, C]`` to ``[B, T or 2T, 2H, 2W, C / 2]``."""
        if self.time_conv is not None:
            frames = self._doubled(self.time_conv, frames, past)
        return self.resample["1"](enlarged(frames))

    def _doubled(self, conv: nn.Conv3d, frames: Tensor, past: Past) -> Tensor:
        if past.is_first:
            past.keep(past.window(frames)[:, :2])  # zeros: what was passed by is not looked back at either
            return frames
        pairs = conv3d(behind(past, frames), conv).unflatten(-1, (2, -1))
        return pairs.movedim(4, 2).flatten(1, 2)


class Downsample(nn.Module):
    """Half the height and width; where ``temporal``, half the frames."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": FrameConv(channels, channels, 3, stride=2)})
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if temporal else None

    def forward(self, frames: Tensor, past: Past) -> Tensor:
        """``[B, T, H, W, C]`` to ``[B, T or T / 2, H / 2, W / 2, C]``."""
        padded = F.pad(frames, (0, 0, 0, 1, 0, 1))  # on the right and below alone, as published
        frames = self.resample["1"](padded)
        return frames if self.time_conv is None else self._halved(self.time_conv, frames, past)

    def _halved(self, conv: nn.Conv3d, frames: Tensor, past: Past) -> Tensor:
        window = behind(past, frames, depth=1)
        return frames if past.is_first else conv3d(window, conv)


def enlarged(frames: Tensor) -> Tensor:
    """Every place twice in height and in width: ``[B, T, H, W, C]`` to ``[B, T, 2H, 2W, C]``."""
    batch, count, height, width, channels = frames.shape
    repeated = frames[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2, -1)
    return repeated.reshape(batch, count, 2 * height, 2 * width, channels)
