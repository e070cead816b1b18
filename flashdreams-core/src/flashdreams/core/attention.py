"""Attention, by one of several implementations that compute the same.

Which one runs is a name: "auto" is resolved once per device and dtype, to the first entry of
:data:`PREFERENCE` that the machine has, and ``flashdreams doctor`` shows to what. The slow twin of all of
them is "math".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from flashdreams.errors import DeviceError, did_you_mean

AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries ``[B, heads, Lq, d]`` and keys and values ``[B, heads, Lk, d]`` to ``[B, heads, Lq, d]``."""

PREFERENCE: dict[str, tuple[str, ...]] = {"cpu": ("sdpa", "math"), "cuda": ("sdpa", "math")}
"""What "auto" tries, by kind of device; other kinds like the CPU.

On one CPU thread "sdpa" was the faster at all sizes measured but one, where the two tied: 16 queries and
192 keys of 4 heads of 64 take 35 against 45 microseconds in float32, 31 against 115 in bfloat16.
"""


@dataclass(frozen=True)
class AttentionBackend:
    """One implementation of attention."""

    name: str
    summary: str
    """One line for people."""
    unavailable: Callable[[torch.device, torch.dtype], str | None]
    """Why it cannot run with this device and dtype; None where it can."""
    function: AttentionFunction


def attention(q: Tensor, k: Tensor, v: Tensor, *, backend: str = "auto") -> Tensor:
    """Softmax attention of every query over all keys, scaled by ``1 / sqrt(d)``.

    Args:
        q: Queries, ``[B, Lq, heads, d]``.
        k: Keys, ``[B, Lk, heads, d]``.
        v: Values, like ``k``.
        backend: Name of the implementation.

    Returns:
        ``[B, Lq, heads, d]``, in the dtype of ``q``.

    Raises:
        DeviceError: There is no such backend, or this device or dtype does not have it.
    """
    name = choose_backend(q.device, q.dtype, backend)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    function = _without_values if q.is_meta and name != "math" else _BACKENDS[name].function
    return function(q, k, v).transpose(1, 2)


def choose_backend(device: torch.device | str, dtype: torch.dtype, name: str = "auto") -> str:
    """The backend that ``name`` stands for with this device and dtype; found out once, then remembered.

    Raises:
        DeviceError: There is no such backend, or this device or dtype does not have it.
    """
    asked = (torch.device(device), dtype, name)
    if asked not in _chosen:
        _chosen[asked] = _choose(*asked)
    return _chosen[asked]


def register_backend(backend: AttentionBackend) -> None:
    """Add an implementation, or replace the one of its name."""
    _BACKENDS[backend.name] = backend
    _chosen.clear()


@dataclass(frozen=True)
class BackendStatus:
    """What one device makes of one backend."""

    name: str
    summary: str
    unavailable: str | None
    """Why it cannot run; None where it can."""
    is_auto: bool
    """Whether "auto" means this one."""


def backend_report(device: torch.device | str, dtype: torch.dtype = torch.float32) -> list[BackendStatus]:
    """Every backend, whether it can run with this device and dtype, and which one "auto" takes."""
    device = torch.device(device)
    auto = choose_backend(device, dtype)
    return [
        BackendStatus(b.name, b.summary, b.unavailable(device, dtype), b.name == auto)
        for b in _BACKENDS.values()
    ]


def _choose(device: torch.device, dtype: torch.dtype, name: str) -> str:
    if name == "auto":
        preferred = PREFERENCE.get(device.type, PREFERENCE["cpu"])
        return next(n for n in preferred if _BACKENDS[n].unavailable(device, dtype) is None)
    if name not in _BACKENDS:
        raise DeviceError(
            f"There is no attention backend {name!r}.",
            did_you_mean(name, ["auto", *_BACKENDS]),
            'Correct attention_backend, or leave it at "auto"; `flashdreams doctor` shows what runs here.',
        )
    reason = _BACKENDS[name].unavailable(device, dtype)
    if reason is not None:
        usable = [b.name for b in _BACKENDS.values() if b.unavailable(device, dtype) is None]
        raise DeviceError(
            f"The attention backend {name!r} cannot run on {device} in {_dtype_name(dtype)}: {reason}.",
            f"Those that can: {', '.join(usable)}.",
            'Take one of them, or leave attention_backend at "auto".',
        )
    return name


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _math(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention as it is written down, in float32 or better."""
    exact = torch.promote_types(q.dtype, torch.float32)
    scores = (q.to(exact) / math.sqrt(q.shape[-1])) @ k.to(exact).transpose(-1, -2)
    return (scores.softmax(dim=-1) @ v.to(exact)).to(q.dtype)


def _without_values(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from flashdreams.core.fused_attention import fused_attention

    result: Tensor = fused_attention(q, k, v)
    return result


def _sdpa_with(kernel: SDPBackend) -> AttentionFunction:
    def function(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(kernel):
            return F.scaled_dot_product_attention(q, k, v)

    return function


def _anywhere(device: torch.device, dtype: torch.dtype) -> str | None:
    return None


def _needs_cuda(
    dtypes: tuple[torch.dtype, ...], capability: tuple[int, int]
) -> Callable[[torch.device, torch.dtype], str | None]:
    def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
        if device.type not in ("cuda", "meta"):
            return "it needs an NVIDIA GPU"
        if dtype not in dtypes:
            return f"it computes in {' or '.join(map(_dtype_name, dtypes))}"
        here = device.type == "cuda" and torch.cuda.is_available()
        if here and torch.cuda.get_device_capability(device) < capability:
            return f"it needs compute capability {capability[0]}.{capability[1]} or newer"
        return None

    return unavailable


_HALF = (torch.bfloat16, torch.float16)
_BACKENDS: dict[str, AttentionBackend] = {
    backend.name: backend
    for backend in (
        AttentionBackend("sdpa", "torch's own choice of kernel", _anywhere, F.scaled_dot_product_attention),
        AttentionBackend("math", "matrix product, softmax, matrix product, in float32", _anywhere, _math),
        AttentionBackend(
            "flash", "FlashAttention 2", _needs_cuda(_HALF, (8, 0)), _sdpa_with(SDPBackend.FLASH_ATTENTION)
        ),
        AttentionBackend(
            "cudnn",
            "cuDNN's fused attention",
            _needs_cuda(_HALF, (8, 0)),
            _sdpa_with(SDPBackend.CUDNN_ATTENTION),
        ),
        AttentionBackend(
            "efficient",
            "memory-efficient attention",
            _needs_cuda((*_HALF, torch.float32), (5, 0)),
            _sdpa_with(SDPBackend.EFFICIENT_ATTENTION),
        ),
    )
}
_chosen: dict[tuple[torch.device, torch.dtype, str], str] = {}
