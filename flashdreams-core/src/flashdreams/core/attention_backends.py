"""Implementations of attention, and what each of them needs."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from flashdreams.core.kernels.quantise_rows import FLOAT8_MAX, SMALLEST_SCALE

AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries ``[B, heads, Lq, d]`` and keys and values ``[B, heads, Lk, d]`` to ``[B, heads, Lq, d]``."""
LengthsFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""The same over the first keys alone; how many, says an int32 ``[B]`` on the device."""
Need = Callable[[torch.device, torch.dtype], str | None]
"""Why a device and a dtype do not do; None where they do."""

ANY_WIDTH = range(1, sys.maxsize)


@dataclass(frozen=True)
class AttentionBackend:
    """One implementation of attention."""

    name: str
    summary: str
    """One line for people."""
    unavailable: Need
    """Why it cannot run with this device and dtype; None where it can."""
    function: AttentionFunction
    with_lengths: LengthsFunction | None = None
    """Attention over as many keys as the device says, where the implementation can do that."""
    head_dims: range = ANY_WIDTH
    """Channels that a head may have."""
    is_exact: bool = True
    """Whether it computes attention and nothing near it; "auto" takes no other."""

    @property
    def takes_lengths(self) -> bool:
        """Whether it reads on the device how many keys there are."""
        return self.with_lengths is not None


def anywhere(device: torch.device, dtype: torch.dtype) -> str | None:
    """Nothing is needed."""
    return None


def needs_cuda(
    dtypes: tuple[torch.dtype, ...], capability: tuple[int, int], module: str | None = None
) -> Need:
    """A need of an NVIDIA GPU of at least a compute capability, and of an importable module."""

    def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
        if device.type not in ("cuda", "meta"):
            return "it needs an NVIDIA GPU"
        if dtype not in dtypes:
            return f"it computes in {' or '.join(map(dtype_name, dtypes))}"
        has = capability_of(device)
        if has is not None and has < capability:
            return f"it needs compute capability {capability[0]}.{capability[1]} or newer"
        if module is not None and not _has(module):
            return f"the module {module} is not installed"
        return None

    return unavailable


def capability_of(device: torch.device) -> tuple[int, int] | None:
    """Compute capability of a card; None where there is none, as with shapes that stand for one."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_capability(device)


def dtype_name(dtype: torch.dtype) -> str:
    """As it is written in configs."""
    return str(dtype).removeprefix("torch.")


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _math(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention as it is written down, in float32 or better."""
    exact = torch.promote_types(q.dtype, torch.float32)
    scores = (q.to(exact) / math.sqrt(q.shape[-1])) @ k.to(exact).transpose(-1, -2)
    return (scores.softmax(dim=-1) @ v.to(exact)).to(q.dtype)


def _masked(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> Tensor:
    """Every key is looked at, and those beyond the length get no weight."""
    seen = torch.arange(k.shape[-2], device=k.device) < lengths.unsqueeze(-1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None, :])


def _varlen(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None = None) -> Tensor:
    """FlashAttention over sequences that lie one behind the other, each read up to its length."""
    from torch.nn.attention.varlen import varlen_attn

    batch, queries, keys = q.shape[0], q.shape[-2], k.shape[-2]
    q, k, v = (t.transpose(1, 2).flatten(0, 1) for t in (q, k, v))
    starts, key_starts = (
        torch.arange(0, (batch + 1) * length, length, dtype=torch.int32, device=q.device)
        for length in (queries, keys)
    )
    read = varlen_attn(q, k, v, starts, key_starts, queries, keys, seqused_k=lengths)
    return cast(Tensor, read).view(batch, queries, *q.shape[1:]).transpose(1, 2)


def _sdpa_with(kernel: SDPBackend) -> AttentionFunction:
    def function(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(kernel):
            return F.scaled_dot_product_attention(q, k, v)

    return function


def _flash3(q: Tensor, k: Tensor, v: Tensor, **scales: Tensor) -> Tensor:
    """The package's own function, which takes heads behind the tokens."""
    function = importlib.import_module("flash_attn_interface").flash_attn_func
    result = function(*(t.transpose(1, 2) for t in (q, k, v)), **scales)
    read: Tensor = result[0] if isinstance(result, tuple) else result
    return read.transpose(1, 2)


def _fp8(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """FlashAttention 3 over queries, keys and values in float8, each with a scale for every head."""
    (q8, q_scale), (k8, k_scale), (v8, v_scale) = (heads_in_float8(t) for t in (q, k, v))
    return _flash3(q8, k8, v8, q_descale=q_scale, k_descale=k_scale, v_descale=v_scale).to(q.dtype)


def heads_in_float8(x: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens ``[B, heads, L, d]`` in float8_e4m3fn, and what each head is multiplied by, ``[B, heads]``."""
    exact = x.float()
    scale = exact.abs().amax(dim=(2, 3)).div(FLOAT8_MAX).clamp_min(SMALLEST_SCALE)
    return (exact / scale[..., None, None]).to(torch.float8_e4m3fn), scale


def _sage(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    read: Tensor = importlib.import_module("sageattention").sageattn(q, k, v, tensor_layout="HND")
    return read


def _sparse(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    read: Tensor = importlib.import_module("spas_sage_attn").spas_sage2_attn_meansim_cuda(q, k, v)
    return read


_HALF = (torch.bfloat16, torch.float16)

BACKENDS: tuple[AttentionBackend, ...] = (
    AttentionBackend("sdpa", "torch's own choice of kernel", anywhere, F.scaled_dot_product_attention),
    AttentionBackend("math", "matrix product, softmax, matrix product, in float32", anywhere, _math),
    AttentionBackend(
        "masked",
        "torch's own choice of kernel over the whole window, under a mask made on the device",
        anywhere,
        F.scaled_dot_product_attention,
        _masked,
    ),
    AttentionBackend(
        "flash",
        "FlashAttention 2",
        needs_cuda(_HALF, (8, 0)),
        _sdpa_with(SDPBackend.FLASH_ATTENTION),
        head_dims=range(8, 257, 8),
    ),
    AttentionBackend(
        "cudnn",
        "cuDNN's fused attention",
        needs_cuda(_HALF, (8, 0)),
        _sdpa_with(SDPBackend.CUDNN_ATTENTION),
        head_dims=range(8, 129, 8),
    ),
    AttentionBackend(
        "efficient",
        "memory-efficient attention",
        needs_cuda((*_HALF, torch.float32), (5, 0)),
        _sdpa_with(SDPBackend.EFFICIENT_ATTENTION),
        head_dims=range(8, 65537, 8),
    ),
    AttentionBackend(
        "varlen",
        "FlashAttention 2, or 3 where it was activated in torch, up to a length read on the device",
        needs_cuda(_HALF, (8, 0)),
        _varlen,
        _varlen,
        head_dims=range(8, 257, 8),
    ),
    AttentionBackend(
        "flash3",
        "FlashAttention 3, of the package flash_attn_interface",
        needs_cuda(_HALF, (9, 0), "flash_attn_interface"),
        _flash3,
        head_dims=range(8, 257, 8),
    ),
    AttentionBackend(
        "fp8",
        "FlashAttention 3 with queries, keys and values in float8, not exact",
        needs_cuda(_HALF, (9, 0), "flash_attn_interface"),
        _fp8,
        head_dims=range(64, 257, 64),
        is_exact=False,
    ),
    AttentionBackend(
        "sage",
        "SageAttention: queries and keys in 8 bits, not exact",
        needs_cuda(_HALF, (8, 0), "sageattention"),
        _sage,
        head_dims=range(64, 129, 64),
        is_exact=False,
    ),
    AttentionBackend(
        "sparse",
        "SpargeAttn: leaves out blocks of keys with little weight, not exact",
        needs_cuda(_HALF, (8, 0), "spas_sage_attn"),
        _sparse,
        head_dims=range(64, 129, 64),
        is_exact=False,
    ),
)
"""All that are known from the beginning."""
