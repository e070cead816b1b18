"""Keys by their place on the keyboard, as browsers name them. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flashdreams.errors import FieldValueError, did_you_mean

_PATTERNS = r"Key[A-Z]|Digit[0-9]|Numpad[0-9]|F([1-9]|1[0-9]|2[0-4])"
_NAMED = (
    *("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Space", "Enter", "Tab", "Backspace", "Escape"),
    *("ShiftLeft", "ShiftRight", "ControlLeft", "ControlRight", "AltLeft", "AltRight", "CapsLock"),
    *("Backquote", "Minus", "Equal", "BracketLeft", "BracketRight", "Backslash", "Semicolon", "Quote"),
    *("Comma", "Period", "Slash", "IntlBackslash", "Insert", "Delete", "Home", "End", "PageUp", "PageDown"),
    *("NumpadAdd", "NumpadSubtract", "NumpadMultiply", "NumpadDivide", "NumpadDecimal", "NumpadEnter"),
)


def check_codes(control: str, codes: Iterable[str]) -> None:
    """Refuse keys that no browser names so, which would be drawn on a page and do nothing.

    The names are those of ``KeyboardEvent.code`` (https://www.w3.org/TR/uievents-code/).

    Raises:
        FieldValueError: There is no such key.
    """
    for code in codes:
        if code not in _NAMED and not re.fullmatch(_PATTERNS, code):
            raise FieldValueError(
                f"{control!r} is steered by the key {code!r}.",
                f"{_likely(code)} Keys are named by their place, as in a browser's KeyboardEvent.code.",
                "Correct the key in the runner's steering().",
            )


def _likely(code: str) -> str:
    """What may have been meant."""
    if re.fullmatch("[A-Za-z]", code):
        return f"Did you mean 'Key{code.upper()}'?"
    if re.fullmatch("[0-9]", code):
        return f"Did you mean 'Digit{code}'?"
    if code.capitalize() in ("Up", "Down", "Left", "Right"):
        return f"Did you mean 'Arrow{code.capitalize()}'?"
    return did_you_mean(code, _NAMED)
