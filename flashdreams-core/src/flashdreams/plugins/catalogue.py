"""The catalogue of known slugs: what could be installed, with the line that installs it.

Its data file is generated (``flashdreams-core/scripts/generate_catalogue.py``) and is the only place
where core names a plugin.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

HOW_TO_INSTALL = "Install a plugin, in a clone of FlashDreams with: pip install -e flashdreams-plugins/NAME"
"""What to do where nothing is installed."""


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
