"""Blame: who failed, in one line, with the distribution to ask and the traceback kept aside."""

from __future__ import annotations

from dataclasses import dataclass

from flashdreams.errors import FlashDreamsError

FAILURES = (Exception, SystemExit)
"""What a plugin's code may raise without stopping anybody else. An interrupt is not among it."""

_LONGEST_REASON = 300


class BadPluginError(Exception):
    """A plugin's code ran and gave what it should not have; the message says what."""


@dataclass(frozen=True)
class Origin:
    """Who registered something."""

    distribution: str
    """Name of the distribution, as pip knows it, or of the environment variable."""
    version: str = ""
    """Its version."""
    plugin: str = ""
    """Name of the plugin within the distribution: its entry point in ``flashdreams.plugins``."""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin, or something that it registered, that failed."""

    subject: str
    """What failed, such as ``plugin my-plugin`` or ``slug my-slug``."""
    origin: Origin
    reason: str
    """The cause in one line."""
    traceback: str
    """The whole traceback."""

    @property
    def blame(self) -> str:
        """What failed, whose it is and why, in one line."""
        return f"{self.subject} ({self.origin}) failed: {self.reason}"

    @property
    def distribution(self) -> str:
        """Name of the distribution to ask."""
        return self.origin.distribution

    @property
    def version(self) -> str:
        """Its version."""
        return self.origin.version


def broken(subject: str, origin: Origin, error: BaseException) -> BrokenPlugin:
    """Blame ``subject`` for ``error``."""
    import traceback

    text = "".join(traceback.format_exception(error))
    return BrokenPlugin(subject, origin, one_line(error), text)


def one_line(error: BaseException) -> str:
    """``Type: message`` on one line; only the message of a :class:`BadPluginError`."""
    try:
        text = " ".join((error.what if isinstance(error, FlashDreamsError) else str(error)).split())
    except Exception:
        text = ""
    if len(text) > _LONGEST_REASON:
        text = text[:_LONGEST_REASON] + "…"
    if isinstance(error, BadPluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
