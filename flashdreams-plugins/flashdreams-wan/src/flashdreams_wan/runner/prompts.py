"""Prompts as people give them: text, or a file of text."""

from __future__ import annotations

from pathlib import Path

from flashdreams.errors import InputError


def read_prompt(text: str) -> str:
    """The text itself, or what stands in the file that ``@FILE`` names, without space around it.

    Raises:
        InputError: There is no such file, or it holds no UTF-8 text.
    """
    path = prompt_file(text)
    if path is None:
        return text
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no UTF-8 text"
        raise InputError(
            f"The prompt {text!r} cannot be read: {reason}.",
            "A prompt that begins with @ names a text file, in UTF-8.",
            "Check the path, or write the prompt itself.",
        ) from error


def prompt_file(text: str) -> Path | None:
    """The file that a prompt names, if it names one."""
    return Path(text[1:]).expanduser() if text.startswith("@") and len(text) > 1 else None
