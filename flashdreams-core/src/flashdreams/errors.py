"""Every mistake a user can make, as one tree.

An error speaks in three parts: what is wrong (with the value), what would be right, and what to do
next. The command line prints the three lines and exits with code 2; in Python they are attributes.
Catch :class:`FlashDreamsError` for all of them, or a branch of the tree for one kind.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar


class FlashDreamsError(Exception):
    """Something the user can put right.

    Args:
        what: What is wrong, with the offending value.
        right: What would have been right.
        next: What to do next.
    """

    exit_code: ClassVar[int] = 2
    """What the command line exits with."""

    def __init__(self, what: str, right: str, next: str) -> None:
        super().__init__(what, right, next)
        self.what = what
        self.right = right
        self.next = next

    def __str__(self) -> str:
        return f"{self.what}\n{self.right}\n{self.next}"


class UsageError(FlashDreamsError):
    """A command line that cannot be understood."""


class ConfigError(FlashDreamsError):
    """A config cannot be what it was asked to be."""


class UnknownFieldError(ConfigError):
    """A field that the config does not have."""


class FieldTypeError(ConfigError):
    """A value of another type than its field's."""


class FieldValueError(ConfigError):
    """A value of the right type that makes no sense, alone or beside another field's."""


class ConfigFileError(ConfigError):
    """A config file that cannot be read, or was written for something else."""


class TargetError(ConfigError):
    """A ``_target`` that cannot be imported or is not a class."""


class PluginError(FlashDreamsError):
    """Something about what is, or is not, installed."""


class UnknownSlugError(PluginError):
    """No installed plugin registers this slug."""


class ClashError(PluginError):
    """Two plugins claim the same name, so neither has it."""


class SlugClashError(ClashError):
    """Two plugins claim the same slug, so neither has it."""


class UnknownComponentError(PluginError):
    """No installed plugin registers this component."""


class UnknownCommandError(PluginError):
    """Neither core nor an installed plugin has this command."""


class BrokenPluginError(PluginError):
    """The plugin that was asked for fails to load."""


class PluginVersionError(PluginError):
    """A plugin that was written for another plugin API than this core offers."""


class PluginNameError(PluginError):
    """A name that no plugin can have."""


class PluginInstallError(PluginError):
    """A plugin that cannot be installed or uninstalled as asked, without harm to others."""


class MissingExtraError(PluginError):
    """A part of FlashDreams that only an extra installs, and that is not installed."""


class ComponentError(FlashDreamsError):
    """A component that does not keep the contract of its base class; its author's mistake."""


class BrokenPromiseError(ComponentError, AssertionError):
    """A check of the conformance kit that a component, pipeline or plugin does not pass."""

    exit_code = 1


class GraphFaultError(ComponentError):
    """A stage of a chunk that a CUDA graph cannot hold, or would replay wrongly."""


class RolloutError(FlashDreamsError):
    """A rollout was used in a way it cannot be."""


class OutOfOrderError(RolloutError):
    """``generate`` and ``finalize`` must follow one another, chunk by chunk."""


class ClosedRolloutError(RolloutError):
    """The rollout was closed and its slot given back."""


class NoFreeSlotError(RolloutError):
    """As many rollouts are alive as the pipeline has slots."""


class SnapshotError(RolloutError):
    """A snapshot that does not fit the pipeline it is restored on."""


class InputError(FlashDreamsError):
    """Something the user handed in to steer the video."""


class ControlError(InputError):
    """A control script, file or value that cannot steer this model."""


class ImageError(InputError):
    """An image that cannot be read or does not fit."""


class WeightsError(FlashDreamsError):
    """A weights file that cannot be used."""


class WeightsFileError(WeightsError):
    """A weights file that is absent, truncated, or not what its name says."""


class WeightsHashError(WeightsError):
    """A weights file whose SHA-256 is not the pinned one."""

    expected: str
    """The pinned hash, 64 hexadecimal digits."""
    actual: str
    """The hash of the file."""


class WeightsKeyError(WeightsError):
    """A weights file that lacks tensors, has others, or has them in other shapes."""

    missing: Sequence[str] = ()
    """Names in the module that the file lacks."""
    unexpected: Sequence[str] = ()
    """Names in the file that the module lacks."""
    misshapen: Sequence[str] = ()
    """Names whose shapes differ."""


class WeightsLayoutError(WeightsError):
    """A weights file whose tensors are named in no way that is known for the module."""


class WeightsReferenceError(WeightsError):
    """Text that names no weights: no file, and no entry of an installed lock file."""


class LockFileError(WeightsError):
    """A lock file of weights that cannot be read, or says what it cannot."""


class LoraError(WeightsError):
    """A LoRA that cannot be merged into the module."""


class DownloadError(WeightsError):
    """Weights that are not here and cannot be fetched."""


class OutputError(FlashDreamsError):
    """The output cannot be written."""


class OutputBrokenOffError(OutputError):
    """The output could not be written to its end; what was written can be used."""

    exit_code = 1


class DeviceError(FlashDreamsError):
    """A device, dtype or backend that this machine does not have."""


class DeviceMemoryError(DeviceError):
    """A run that the memory of its device cannot hold."""


class ArtefactError(FlashDreamsError):
    """A file of compiled code that cannot be taken up."""


class GraphCaptureError(DeviceError):
    """A CUDA graph was demanded, and cannot be captured."""


class ServerError(FlashDreamsError):
    """A server did not do what its client asked of it; ``code`` is a word for programs."""

    exit_code = 1

    def __init__(self, what: str, right: str, next: str, code: str = "") -> None:
        super().__init__(what, right, next)
        self.code = code


class NoServerError(ServerError):
    """Nobody answers at an address, or somebody who is no server of FlashDreams."""


class ServerRefusedError(ServerError):
    """The server refused a request; ``code`` and the three parts are its own."""


class ServerTimeoutError(ServerError):
    """A server did not do in time what its client waited for."""


class SessionQueuedError(ServerTimeoutError):
    """A session had no turn yet when its client would wait no longer; ``position`` is its place."""

    position = 0


class SessionEndedError(ServerError):
    """A session is over; ``code`` is why, as the server says it."""


class ConnectionLostError(ServerError):
    """The connection to a session was lost, and could not be made again."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to ``name``, or None when none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The second part of an error about a wrong name: its nearest match, or all there are."""
    known = sorted(known)
    match = nearest(name, known)
    if match is not None:
        return f"Did you mean {match!r}?"
    if not known:
        return "There are none."
    return "There are: " + ", ".join(known) + "."
