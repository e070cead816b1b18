"""Deprecations: what will go, since when, what takes its place, and in which version it is gone.

Each is one :class:`Deprecation` in :data:`DEPRECATIONS`. Whoever uses a deprecated thing gets a
:class:`FlashDreamsDeprecationWarning`, which pytest shows and Python otherwise keeps to itself;
``flashdreams plugins`` names what each installed plugin uses. How a thing is marked:

- a function, with :func:`deprecated`;
- a field of a config, with :func:`deprecated_field` as its default;
- a hook, with ``@hookspec(warn_on_impl=HOOK.warning)``; an argument of a hook, with
  ``@hookspec(warn_on_impl_args={"name": ARGUMENT.warning})``.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class FlashDreamsDeprecationWarning(DeprecationWarning):
    """Something of FlashDreams was used that a later version will not have."""

    def __init__(self, deprecation: Deprecation) -> None:
        super().__init__(deprecation.message)
        self.deprecation = deprecation


@dataclass(frozen=True)
class Deprecation:
    """One thing that will go."""

    name: str
    """What it is, in the words of its user: ``hook flashdreams_x``, ``field RunnerConfig.y``."""
    since: str
    """The version of flashdreams-core that deprecated it."""
    replacement: str
    """What to use instead, as an order: ``use z``."""
    gone_in: str
    """The version of flashdreams-core that will not have it."""

    @property
    def message(self) -> str:
        """All of it in one line."""
        return (
            f"{self.name} is deprecated since flashdreams-core {self.since}"
            f" and will be gone in {self.gone_in}: {self.replacement}"
        )

    @property
    def warning(self) -> FlashDreamsDeprecationWarning:
        """The warning of it, as pluggy takes it."""
        return FlashDreamsDeprecationWarning(self)

    def warn(self, stacklevel: int = 1) -> None:
        """Warn the caller of this method, or who called it so many levels above."""
        noticed = _NOTICED.get()
        if noticed is not None and self not in noticed:
            noticed.append(self)
        warnings.warn(self.warning, stacklevel=stacklevel + 1)


DEPRECATIONS: tuple[Deprecation, ...] = ()
"""Everything that is deprecated at present, the oldest first."""

_NOTICED: ContextVar[list[Deprecation] | None] = ContextVar("noticed", default=None)


@contextmanager
def noticing() -> Iterator[list[Deprecation]]:
    """Collect which deprecated functions and fields are used inside, beside the warning of each."""
    noticed: list[Deprecation] = []
    token = _NOTICED.set(noticed)
    try:
        yield noticed
    finally:
        _NOTICED.reset(token)


def deprecated(deprecation: Deprecation) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function, whose callers are warned each time."""

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def warning(*args: P.args, **kwargs: P.kwargs) -> R:
            deprecation.warn(stacklevel=2)
            return function(*args, **kwargs)

        return warning

    return mark


def deprecated_field(deprecation: Deprecation, default: Any = None) -> Any:
    """The default of a deprecated field of a config: who sets the field to anything else is warned.

    Args:
        deprecation: What to say of it.
        default: What the field holds where nobody sets it; a value that cannot change.
    """
    return _DeprecatedField(deprecation, default)


class _DeprecatedField:
    """A dataclass takes what a descriptor gives to the class as the field's default."""

    def __init__(self, deprecation: Deprecation, default: Any) -> None:
        self.deprecation, self.default = deprecation, default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, config: Any, owner: type) -> Any:
        return self.default if config is None else vars(config)[self.name]

    def __set__(self, config: Any, value: Any) -> None:
        if value != self.default:
            # Between here and who writes Config(field=...) lies the __init__ that dataclass made.
            self.deprecation.warn(stacklevel=3)
        vars(config)[self.name] = value
