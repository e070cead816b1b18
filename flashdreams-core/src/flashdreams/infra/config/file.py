"""Configs as files: what differs from a base, in YAML or JSON, and back.

PyYAML and json are imported when they are used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from flashdreams.errors import ConfigFileError, did_you_mean
from flashdreams.infra.config.diff import (
    FindComponent,
    NameComponent,
    apply_differences,
    differences,
    resolved,
)

__all__ = [
    "FindComponent",
    "NameComponent",
    "apply_differences",
    "differences",
    "dump",
    "parse",
    "read",
    "resolved",
]

Format = Literal["yaml", "json"]

_SUFFIXES: dict[str, Format] = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}


def dump(tree: dict[str, Any], format: Format = "yaml") -> str:
    """A tree of plain values as text. Infinity is written ``.inf`` in YAML and ``Infinity`` in JSON."""
    if format == "json":
        import json

        return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
    from flashdreams.infra.config import yaml_text

    return yaml_text.dump(tree)


def parse(text: str, format: Format = "yaml", source: str = "The text") -> dict[str, Any]:
    """The tree that :func:`dump` wrote.

    Args:
        text: YAML or JSON.
        format: Which of the two.
        source: What the text is called in errors.

    Raises:
        ConfigFileError: The text is malformed, or holds no mapping.
    """
    try:
        tree = _load(text, format)
    except ValueError as error:
        raise ConfigFileError(
            f"{source} is not valid {format.upper()}: {' '.join(str(error).split())}.",
            f"A config file is a mapping of field names to values, in {format.upper()}.",
            "Correct the place it names, or export a config afresh to compare.",
        ) from error
    if tree is None and format == "yaml":
        return {}  # an empty file changes nothing
    if not isinstance(tree, dict):
        raise ConfigFileError(
            f"{source} holds no mapping but {tree!r:.60}, of type {type(tree).__qualname__}.",
            "A config file is a mapping of field names to values, such as `seed: 1`.",
            "Write one field a line, its name and a colon before its value.",
        )
    return tree


def read(path: str | Path) -> dict[str, Any]:
    """The tree in a file, YAML or JSON by its suffix.

    Raises:
        ConfigFileError: The file cannot be read, is malformed, or holds no mapping.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigFileError(
            f"{path} has the suffix {path.suffix!r}.",
            did_you_mean(path.suffix, _SUFFIXES),
            "Rename the file by what it holds.",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFileError(
            f"{path} cannot be read: {error}.",
            "A config file is a readable text file in UTF-8.",
            "Check its name and its permissions.",
        ) from error
    return parse(text, _SUFFIXES[path.suffix.lower()], str(path))


def _load(text: str, format: Format) -> Any:
    if format == "json":
        import json

        return json.loads(text)
    from flashdreams.infra.config import yaml_text

    return yaml_text.load(text)
