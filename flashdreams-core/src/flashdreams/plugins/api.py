"""The handshake: which plugin API a distribution was written for, known before any of it is imported.

A distribution declares it once, for all that it registers, by the name of an entry point::

    [project.entry-points."flashdreams.api"]
    "1.0" = "my_package"

Versions are ``MAJOR.MINOR``. A minor version adds: hooks, arguments of hooks, public names. A major one
takes away. Without a declaration it is :data:`UNDECLARED_API`, so packages of FlashDreams 0.1 stay as they
are.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from flashdreams.plugins.blame import BadPluginError, BrokenPlugin, Origin

API_GROUP = "flashdreams.api"
"""The group of entry points in which a distribution declares the version."""
API_VERSION = "1.0"
"""The plugin API that this core offers."""
OLDEST_API_VERSION = "1.0"
"""The oldest one that it still keeps."""
UNDECLARED_API = "1.0"
"""What a distribution without a declaration was written for."""

CORE = "flashdreams-core"
"""The distribution that offers the API."""


@dataclass(frozen=True)
class ApiMisfit(BrokenPlugin):
    """A distribution that was written for an API that this core does not offer: nothing of it is loaded."""

    next: str = ""
    """What to do about it."""
    slugs: tuple[str, ...] = ()
    """The slugs that its metadata names."""
    plugins: tuple[str, ...] = ()
    """The plugins that its metadata names. What those would add cannot be known without loading them."""

    @property
    def blame(self) -> str:
        """Whose it is, what does not fit, and what to do, in one line."""
        return f"{self.origin} is not used: {self.reason}. {self.next}"

    def may_have(self, slug: str) -> bool:
        """Whether ``slug`` is one of its own, or named after one of its plugins as slugs usually are."""
        return slug in self.slugs or any(f"{slug}-".startswith(f"{plugin}-") for plugin in self.plugins)


def declared_api(declarations: Collection[str]) -> str | None:
    """The version that a distribution declares.

    Args:
        declarations: Names of its entry points in :data:`API_GROUP`.

    Returns:
        The version, ``MAJOR.MINOR``; None where it declares none.

    Raises:
        BadPluginError: It declares several, or one that is no ``MAJOR.MINOR``.
    """
    if len(declarations) > 1:
        raise BadPluginError(f"it declares several plugin APIs ({', '.join(sorted(declarations))}), not one")
    for version in declarations:
        if not re.fullmatch(r"\d+\.\d+", version, re.ASCII):
            raise BadPluginError(f'it declares the plugin API {version!r}, no MAJOR.MINOR such as "1.0"')
        return version
    return None


def misfit(origin: Origin, declarations: Collection[str]) -> ApiMisfit | None:
    """Why this core cannot use a distribution with these ``declarations``; None where it can."""
    try:
        wanted = declared_api(declarations) or UNDECLARED_API
    except BadPluginError as error:
        return _misfit(origin, str(error), f"Its authors can correct it in the group {API_GROUP}")
    written = f"it was written for plugin API {wanted}, and {CORE}"
    if _numbers(wanted) > _numbers(API_VERSION):
        step = f"Upgrade {CORE}, or install an older {origin.distribution}"
        return _misfit(origin, f"{written} offers {API_VERSION}", step)
    if _numbers(wanted) < _numbers(OLDEST_API_VERSION):
        reason = f"{written} keeps none older than {OLDEST_API_VERSION}"
        return _misfit(origin, reason, f"Upgrade {origin.distribution}")
    return None


def _misfit(origin: Origin, reason: str, step: str) -> ApiMisfit:
    return ApiMisfit("plugin API", origin, reason, traceback="", next=step)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
