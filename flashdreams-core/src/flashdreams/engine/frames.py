"""Frames on their way off the device: as bytes, through pinned memory, waited for at a mark."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flashdreams.core.kernels.pixels import pixels_to_bytes
from flashdreams.engine.lanes import CudaLanes, LaneSource, Mark


@dataclass(frozen=True)
class Departure:
    """A tensor that has left the device, and will be here."""

    _here: Tensor
    _mark: Mark | None

    @property
    def is_here(self) -> bool:
        """Whether nothing is to be waited for."""
        return self._mark is None

    def arrived(self) -> Tensor:
        """Wait for it: on the host, the caller's to keep."""
        if self._mark is not None:
            self._mark.synchronize()
        return self._here


class FrameExit:
    """Where tensors leave the device, pixels as bytes.

    Nothing is waited for until they are asked for. The host's memory comes from torch's cache of
    pinned memory: two buffers in turn, where frames are dropped before those of the next chunk but one leave.

    Args:
        source: The lanes of the device; None where there are none.
        pinned: Whether the host's memory is pinned, as copies beside other work need it.
    """

    def __init__(self, source: LaneSource | None, *, pinned: bool = True) -> None:
        self._source = source
        self._pinned = pinned

    def send_pixels(self, pixels: Tensor) -> Departure:
        """Send pixels ``[B, 3, T, H, W]`` in [-1, 1] off as bytes, uint8 ``[B, T, H, W, 3]``."""
        return self.send(pixels_to_bytes(pixels))

    def send(self, tensor: Tensor) -> Departure:
        """Send a tensor off, on the lane where the caller is."""
        if self._source is None or not self._source.holds(tensor):
            return Departure(tensor.cpu(), None)
        here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self._pinned)
        here.copy_(tensor, non_blocking=True)
        return Departure(here, self._source.current().mark())

    def settle(self) -> None:
        """Wait until all that the caller has queued is done, whatever it waits for included."""
        if self._source is not None:
            self._source.current().mark().synchronize()


def frame_exit(device: torch.device) -> FrameExit:
    """The way off a device; from a CPU it is no way at all."""
    return FrameExit(CudaLanes(device) if device.type == "cuda" else None)
