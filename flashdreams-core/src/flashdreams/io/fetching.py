"""What is said around everything that is fetched: whether it may be, and for which slug. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Fetching:
    """What holds while weights are looked for."""

    is_offline: bool = False
    """Nothing is fetched."""
    slug: str | None = None
    """The slug that needs them."""

    @property
    def command(self) -> str:
        """The command that fetches what is missing."""
        return f"flashdreams download {self.slug or 'SLUG'}"


_OUTSIDE = Fetching()
_current: ContextVar[Fetching] = ContextVar("fetching", default=_OUTSIDE)


def fetching() -> Fetching:
    """What holds around the caller."""
    return _current.get()


def is_offline() -> bool:
    """Whether nothing may be fetched: inside :func:`offline`, or where ``HF_HUB_OFFLINE`` is set."""
    from huggingface_hub import constants

    return fetching().is_offline or bool(constants.HF_HUB_OFFLINE)


@contextmanager
def offline(yes: bool = True) -> Iterator[None]:
    """Fetch nothing inside: weights that are not here are an error that says how to get them."""
    with _changed(replace(_current.get(), is_offline=_current.get().is_offline or yes)):
        yield


@contextmanager
def fetching_for(slug: str) -> Iterator[None]:
    """Name the slug that needs the weights, so that errors can say what to download."""
    with _changed(replace(_current.get(), slug=slug)):
        yield


@contextmanager
def _changed(value: Fetching) -> Iterator[None]:
    token = _current.set(value)
    try:
        yield
    finally:
        _current.reset(token)
