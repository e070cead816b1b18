"""Configs: dataclasses that say what to build, without importing what they build.

A config is a ``@dataclass(kw_only=True)`` that names its class in ``_target``. ``setup()`` builds it,
:func:`derive_config` makes a changed copy, ``print`` shows it as a tree. Two configs of one class are
equal when their fields are. Nothing here imports torch.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from flashdreams.infra.config.derive import ConfigT, derive_config
from flashdreams.infra.config.placement import placing
from flashdreams.infra.config.target import resolve_target
from flashdreams.infra.config.tree import format_config

__all__ = ["InstantiateConfig", "copy_config", "derive_config"]


@dataclass(kw_only=True)
class InstantiateConfig:
    """A config that can build the object it describes."""

    _target: Any
    """Class to build, or ``"package.module:Class"`` to import it only when it is built."""

    def setup(self, device: str | None = None) -> Any:
        """Build ``_target(self)``, on ``device`` when one is given.

        Raises:
            TargetError: ``_target`` cannot be imported or is not a class.
        """
        with placing(device=device):
            built = resolve_target(self._target)(self)
        return built if device is None else built.to(device)

    def __str__(self) -> str:
        return format_config(self)


def copy_config(config: ConfigT) -> ConfigT:
    """A deep copy, which shares nothing with ``config``."""
    return copy.deepcopy(config)
