"""Attention, by one of several implementations that compute the same.

Which one runs is a name: "auto" is resolved once per device, dtype and width of a head, to the first entry of
:data:`PREFERENCE` that can run, and ``flashdreams doctor`` shows to what. The slow twin of all of them is
"math".

Some read on the device how many keys there are (:attr:`AttentionBackend.takes_lengths`). To them a KV cache
gives its whole window, so that one captured graph serves every fill level; to the others it gives as much as
is filled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flashdreams.core.attention_backends import BACKENDS, capability_of, dtype_name
from flashdreams.core.attention_backends import AttentionBackend as AttentionBackend
from flashdreams.errors import DeviceError, did_you_mean

PREFERENCE: dict[str, tuple[str, ...]] = {
    "cpu": ("sdpa", "math"),
    "cuda": ("flash", "cudnn", "sdpa", "math"),
    "cuda 9.0": ("cudnn", "flash3", "flash", "sdpa", "math"),
}
"""What "auto" tries, by kind of device, or by kind and least compute capability; others like the CPU.

On one CPU thread "sdpa" was the faster at all sizes measured but one, where the two tied: 16 queries and
192 keys of 4 heads of 64 take 35 against 45 microseconds in float32, 31 against 115 in bfloat16. The order on
GPUs was not measured here. It follows what the authors of FlashAttention 3 publish (Shah et al. 2024):
from Hopper on cuDNN and FlashAttention 3 are alike, and FlashAttention 2 reaches about half of their rate.
"""


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, lengths: Tensor | None = None, backend: str = "auto"
) -> Tensor:
    """Softmax attention of every query over all keys, scaled by ``1 / sqrt(d)``.

    Args:
        q: Queries, ``[B, Lq, heads, d]``.
        k: Keys, ``[B, Lk, heads, d]``.
        v: Values, like ``k``.
        lengths: How many of the keys are seen, int32 ``[B]`` on the device, at least 1; all where None. What
            lies beyond must be finite.
        backend: Name of the implementation.

    Returns:
        ``[B, Lq, heads, d]``, in the dtype of ``q``.

    Raises:
        DeviceError: There is no such backend, this device or dtype does not have it, or it takes no lengths.
    """
    chosen = _chosen_backend(q.device, q.dtype, backend, q.shape[-1])
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    if q.is_meta and chosen.name != "math":
        return _without_values(q, k, v).transpose(1, 2)
    if lengths is None:
        return chosen.function(q, k, v).transpose(1, 2)
    if chosen.with_lengths is None:
        able = [b.name for b in _usable(q) if b.takes_lengths]
        raise DeviceError(
            f"The attention backend {chosen.name!r} was given lengths.",
            f"Those that read them on the device: {', '.join(able)}.",
            "Take one of them, or cut keys and values to what is seen.",
        )
    return chosen.with_lengths(q, k, v, lengths).transpose(1, 2)


def choose_backend(
    device: torch.device | str, dtype: torch.dtype, name: str = "auto", head_dim: int | None = None
) -> str:
    """The backend that ``name`` stands for; found out once, then remembered.

    Args:
        device: Where it is to run.
        dtype: Of queries, keys and values.
        name: Of a backend, or "auto".
        head_dim: Channels of a head; any that the backend takes where None.

    Raises:
        DeviceError: There is no such backend, or this device, dtype or width of a head does not have it.
    """
    chosen: str = _chosen_name(torch.device(device), dtype, name, head_dim)
    return chosen


def takes_lengths(
    device: torch.device, dtype: torch.dtype, name: str = "auto", head_dim: int | None = None
) -> bool:
    """Whether the backend that ``name`` stands for reads on the device how many keys there are.

    On the meta device none does: there are no values, and what is planned depends on how much is seen.
    """
    return device.type != "meta" and _chosen_backend(device, dtype, name, head_dim).takes_lengths


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
    reason: str
    """Why "auto" takes it or passes over it."""


def backend_report(
    device: torch.device | str, dtype: torch.dtype = torch.float32, head_dim: int | None = None
) -> list[BackendStatus]:
    """Every backend, whether it can run with this device and dtype, and which one "auto" takes."""
    device = torch.device(device)
    auto, preferred = choose_backend(device, dtype, head_dim=head_dim), _preferred(device)
    return [
        BackendStatus(
            b.name,
            b.summary,
            _unavailable(b, device, dtype, head_dim),
            b.name == auto,
            _auto_reason(b, auto, preferred),
        )
        for b in _BACKENDS.values()
    ]


def _auto_reason(backend: AttentionBackend, auto: str, preferred: tuple[str, ...]) -> str:
    if backend.name == auto:
        return f"first of {', '.join(preferred)} that can run here"
    if not backend.is_exact:
        return "only by name: it is not exact"
    if backend.name not in preferred:
        return "only by name"
    return f"after {auto}" if preferred.index(backend.name) > preferred.index(auto) else f"before {auto}"


def _chosen_backend(
    device: torch.device, dtype: torch.dtype, name: str, head_dim: int | None
) -> AttentionBackend:
    return _BACKENDS[_chosen_name(device, dtype, name, head_dim)]


# Constant to the compiler, or a compiled block would be guarded by what was asked before it.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _chosen_name(device: torch.device, dtype: torch.dtype, name: str, head_dim: int | None) -> str:
    asked = (device, dtype, name, head_dim)
    if asked not in _chosen:
        _chosen[asked] = _choose(*asked)
    return _chosen[asked]


def _choose(device: torch.device, dtype: torch.dtype, name: str, head_dim: int | None) -> str:
    if name == "auto":
        preferred = (_BACKENDS[n] for n in _preferred(device))
        return next(b.name for b in preferred if _unavailable(b, device, dtype, head_dim) is None)
    if name not in _BACKENDS:
        raise DeviceError(
            f"There is no attention backend {name!r}.",
            did_you_mean(name, ["auto", *_BACKENDS]),
            'Correct attention_backend, or leave it at "auto"; `flashdreams doctor` shows what runs here.',
        )
    reason = _unavailable(_BACKENDS[name], device, dtype, head_dim)
    if reason is not None:
        usable = [b.name for b in _BACKENDS.values() if _unavailable(b, device, dtype, head_dim) is None]
        raise DeviceError(
            f"The attention backend {name!r} cannot run on {device} in {dtype_name(dtype)}: {reason}.",
            f"Those that can: {', '.join(usable)}.",
            'Take one of them, or leave attention_backend at "auto".',
        )
    return name


def _preferred(device: torch.device) -> tuple[str, ...]:
    """What "auto" tries on a device, the entry of the newest compute capability that it has."""
    fitting = [PREFERENCE.get(device.type, PREFERENCE["cpu"])]
    has = capability_of(device)
    if has is not None:
        least = [(tuple(map(int, key[5:].split("."))), key) for key in PREFERENCE if key.startswith("cuda ")]
        fitting += [PREFERENCE[key] for capability, key in sorted(least) if capability <= has]
    return fitting[-1]


def _unavailable(
    backend: AttentionBackend, device: torch.device, dtype: torch.dtype, head_dim: int | None
) -> str | None:
    """Why a backend cannot run; on a GPU it is tried, since a library's build may lack it."""
    reason = backend.unavailable(device, dtype)
    if reason is None and head_dim is not None and head_dim not in backend.head_dims:
        widths = backend.head_dims
        reason = f"a head has {head_dim} channels, and it takes {widths[0]} to {widths[-1]}"
        reason += f" in steps of {widths.step}" if widths.step > 1 else ""
    if reason is None and capability_of(device) is not None:
        reason = _failure(backend, device, dtype, head_dim or max(backend.head_dims[0], 64))
    return reason


def _failure(
    backend: AttentionBackend, device: torch.device, dtype: torch.dtype, head_dim: int
) -> str | None:
    """What goes wrong when the backend is tried on two short sequences; None where nothing does."""
    asked = (backend.name, device, dtype, head_dim)
    if asked not in _tried:
        _tried[asked] = _try(backend, torch.zeros(2, 1, 128, head_dim, device=device, dtype=dtype))
    return _tried[asked]


def _try(backend: AttentionBackend, tokens: Tensor) -> str | None:
    try:
        if backend.with_lengths is not None:
            lengths = torch.full((2,), 64, dtype=torch.int32, device=tokens.device)
            backend.with_lengths(tokens, tokens, tokens, lengths)
        backend.function(tokens, tokens, tokens)
    except Exception as error:  # whatever a library's build raises: then it is not taken
        lines = str(error).splitlines() or [type(error).__name__]
        return f"it was tried and failed, {lines[0]}"
    return None


def _usable(like: Tensor) -> list[AttentionBackend]:
    backends = _BACKENDS.values()
    return [b for b in backends if _unavailable(b, like.device, like.dtype, like.shape[-1]) is None]


def _without_values(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from flashdreams.core.fused_attention import fused_attention

    result: Tensor = fused_attention(q, k, v)
    return result


_BACKENDS: dict[str, AttentionBackend] = {backend.name: backend for backend in BACKENDS}
_chosen: dict[tuple[torch.device, torch.dtype, str, int | None], str] = {}
_tried: dict[tuple[str, torch.device, torch.dtype, int], str | None] = {}
