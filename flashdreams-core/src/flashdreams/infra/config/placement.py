"""Where and in which dtype parts are being built: handed down from a pipeline to what it builds.

A part with large weights is built without memory of its own and filled straight where it will compute, in
the dtype in which it will. It learns both here, so that nothing is ever held twice. Parts that do not ask
are cast and moved after they are built. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Placement:
    """What is known about a part while it is being built."""

    dtype: str = "float32"
    """Floating-point type of its weights, by torch's name."""
    device: str = "cpu"
    """Where its weights go. On "meta" it has shapes and no values, and nothing is read."""


_OUTSIDE = Placement()
_current: ContextVar[Placement] = ContextVar("placement", default=_OUTSIDE)


def placement() -> Placement:
    """What is being built around the caller."""
    return _current.get()


@contextmanager
def placing(dtype: str | None = None, device: str | None = None) -> Iterator[Placement]:
    """Build what is built inside in this dtype and on this device; None keeps what was said before."""
    changes = {name: value for name, value in (("dtype", dtype), ("device", device)) if value is not None}
    token = _current.set(replace(_current.get(), **changes))
    try:
        yield _current.get()
    finally:
        _current.reset(token)
