"""What flashdreams-wan adds to FlashDreams. Light to import: everything is named, nothing loaded."""

from __future__ import annotations

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import ComponentSpec


@hookimpl
def flashdreams_components() -> list[ComponentSpec]:
    """The parts."""
    return []
