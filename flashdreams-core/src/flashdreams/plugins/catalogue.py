"""The catalogue of known slugs: what could be installed, with the line that installs it.

Its data file is generated (``flashdreams-core/scripts/generate_catalogue.py``) and is the only place
where core names a plugin.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

HOW_TO_INSTALL = "See which plugins bring some, and how to install those, with: flashdreams list"
"""What to do where no slug is installed."""


@dataclass(frozen=True)
class Known:
    """A slug of some distribution that may or may not be installed."""

    distribution: str
    install: str
    """The command that installs it, in a clone of FlashDreams."""


@cache
def catalogue() -> dict[str, Known]:
    """Every known slug."""
    text = resources.files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8")
    return {slug: Known(**known) for slug, known in json.loads(text).items()}


def offers() -> dict[Known, list[str]]:
    """What could be installed, by distribution, and the slugs that each brings."""
    slugs: dict[Known, list[str]] = {}
    for slug, known in catalogue().items():
        slugs.setdefault(known, []).append(slug)
    return slugs
