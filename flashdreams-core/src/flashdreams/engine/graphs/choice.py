"""Which devices have graphs."""

from __future__ import annotations

import torch

from flashdreams.engine.graphs.executor import GraphExecution, Mode
from flashdreams.errors import DeviceError


def graphs_on(device: torch.device, mode: Mode = "auto") -> GraphExecution | None:
    """What runs stages from graphs on a device; None where it has none, or none are wanted.

    Raises:
        DeviceError: ``mode`` is True, and the device has no graphs.
    """
    if mode is False:
        return None
    if device.type == "cuda":
        from flashdreams.engine.graphs.cuda import CudaBackend

        return GraphExecution(CudaBackend(device), mode)
    check_mode(device, mode)
    return None


def check_mode(device: torch.device, mode: Mode) -> None:
    """Refuse graphs on a device that has none.

    Raises:
        DeviceError: ``mode`` is True, and the device has no graphs.
    """
    if mode is True and device.type != "cuda":
        raise DeviceError(
            f"use_cuda_graph is True, and the device is {device}.",
            "CUDA graphs need an NVIDIA GPU.",
            "Leave --pipeline.diffusion-model.transformer.use-cuda-graph at auto, or set --device cuda.",
        )
