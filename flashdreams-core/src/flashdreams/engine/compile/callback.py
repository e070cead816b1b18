"""How compiled code calls back what it was handed as a callable, such as attention over a KV cache.

A compiled region knows its callables by their place in the call alone. What they do, over which cache and
how full it is, stays out of the compiled code, so nothing of it can make the code wrong or call for another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values, ``[B, L, heads, head_dim]`` each, to what the queries read, of their shape."""

_LIBRARY = torch.library.Library("flashdreams", "FRAGMENT")  # type: ignore[no-untyped-call]
_calling = threading.local()


@cache
def call_back() -> Callable[[Tensor, Tensor, Tensor, int], Tensor]:
    """The operator ``flashdreams::call_back(q, k, v, place)``; defined when it is first asked for.

    It is defined at the level of kernels and not as a ``custom_op``, whose wrapping for autograd would cost
    as much as a small kernel does.
    """
    _LIBRARY.define("call_back(Tensor q, Tensor k, Tensor v, int place) -> Tensor")  # type: ignore[no-untyped-call]
    _LIBRARY.impl("call_back", _call, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake("flashdreams::call_back", _like_queries)
    operator: Callable[[Tensor, Tensor, Tensor, int], Tensor] = torch.ops.flashdreams.call_back.default
    return operator


@contextmanager
def calling(callables: Sequence[Attend]) -> Iterator[None]:
    """Inside, in this thread, place ``n`` of compiled code means ``callables[n]``."""
    before = getattr(_calling, "callables", ())
    _calling.callables = callables
    try:
        yield
    finally:
        _calling.callables = before


def _call(q: Tensor, k: Tensor, v: Tensor, place: int) -> Tensor:
    result: Tensor = _calling.callables[place](q, k, v)
    return result.contiguous()


def _like_queries(q: Tensor, k: Tensor, v: Tensor, place: int) -> Any:
    return q.new_empty(q.shape)
