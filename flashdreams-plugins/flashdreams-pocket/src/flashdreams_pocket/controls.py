"""What drives the car: a readable script, a file, or a driver that watches the road."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from flashdreams.errors import ControlError, did_you_mean

AXES = ("steer", "gas", "brake")
LIMITS = {"steer": (-1.0, 1.0), "gas": (0.0, 1.0), "brake": (0.0, 1.0)}
WORDS: dict[str, dict[str, float]] = {
    "left": {"steer": -0.5},
    "right": {"steer": 0.5},
    "straight": {},
    "gas": {"gas": 0.3},
    "brake": {"brake": 0.5},
}
"""What a word of a script sets, unless a number follows it: ``left=0.2``."""

LONGEST = 1_000_000
"""Pixel frames that a script may last, 16 hours."""

_TERM = re.compile(r"(?P<word>[a-z]+)(=(?P<amount>[-+]?[0-9.]+))?$")
_COUNT = re.compile(r"0*[1-9][0-9]{0,6}")
_UNREADABLE = (OSError, ValueError, EOFError, TypeError, RuntimeError, MemoryError)
"""What numpy may raise about a file that is no array, beside the errors of zip."""
_EXAMPLE = '"gas*20, gas+left*10, straight*30"'


def read_controls(text: str) -> np.ndarray:
    """Controls from a script, or from a file whose name ends in .csv or .npz.

    Returns:
        float32 ``[T, 3]``: steer, gas, brake of each pixel frame.

    Raises:
        ControlError: The script or the file cannot be understood.
    """
    if is_control_file(text):
        path = Path(text)
        controls = _read_csv(path) if path.suffix.lower() == ".csv" else _read_npz(path)
    else:
        controls = parse_script(text)
    check_controls(controls, text)
    return controls


def is_control_file(text: str) -> bool:
    """Whether ``text`` names a file of controls, and is no script."""
    return text.lower().endswith((".csv", ".npz"))


def parse_script(script: str) -> np.ndarray:
    """Controls of a script such as ``"gas*20, gas+left*10, straight*30"``, float32 ``[T, 3]``.

    Commas follow one another, ``*N`` lasts N pixel frames, ``+`` combines, ``word=amount`` sets a number.

    Raises:
        ControlError: A word or number that means nothing here, or more than a million pixel frames.
    """
    parts = [part.strip() for part in script.split(",") if part.strip()]
    if not parts:
        raise ControlError("The control script is empty.", f"It reads like {_EXAMPLE}.", "Write a script.")
    rows, counts = zip(*map(_parse_part, parts), strict=True)
    if sum(counts) > LONGEST:
        raise ControlError(
            f"The control script lasts {sum(counts):,} pixel frames.",
            f"It lasts at most {LONGEST:,}.",
            "Shorten it: its last value holds for as long as --total-blocks says.",
        )
    return np.repeat(np.array(rows, dtype=np.float32), counts, axis=0)


def check_controls(controls: np.ndarray, source: str) -> None:
    """Refuse controls that cannot drive.

    Raises:
        ControlError: Not ``[T, 3]``, or a value that is no number or out of range.
    """
    if controls.ndim != 2 or controls.shape[1] != len(AXES) or len(controls) == 0:
        raise ControlError(
            f"{source} has the shape {list(controls.shape)}.",
            "Controls are [T, 3]: steer, gas and brake of each of T pixel frames.",
            f"Give three columns, or a script such as {_EXAMPLE}.",
        )
    for axis, (low, high) in LIMITS.items():
        column = controls[:, AXES.index(axis)]
        bad = ~((column >= low) & (column <= high))
        if bad.any():
            frame = int(np.flatnonzero(bad)[0])
            raise ControlError(
                f"{source} has {axis} {column[frame]:g} at pixel frame {frame}.",
                f"{axis} lies within [{low:g}, {high:g}].",
                "Correct that value.",
            )


def _parse_part(part: str) -> tuple[list[float], int]:
    """Steer, gas and brake of a part, and how many pixel frames it lasts."""
    terms, times, count = part.partition("*")
    if times and not _COUNT.fullmatch(count.strip()):
        raise ControlError(
            f"{part!r} lasts {count.strip()!r} pixel frames.",
            f"*N gives a whole number of pixel frames, 1 to {LONGEST:,}.",
            f"Write it like {_EXAMPLE}.",
        )
    values = dict.fromkeys(AXES, 0.0)
    for term in terms.split("+"):
        values.update(_parse_term(term.strip().lower(), part))
    return [values[axis] for axis in AXES], int(count) if times else 1


def _parse_term(term: str, part: str) -> dict[str, float]:
    match = _TERM.match(term)
    word, amount = (match["word"], match["amount"]) if match else (term, None)
    if word not in WORDS:
        raise ControlError(
            f"{word!r} in the control script ({part!r}) is no control.",
            did_you_mean(word, WORDS),
            f"Write a script like {_EXAMPLE}, or name a .csv or .npz file, or policy:NAME.",
        )
    try:
        given = None if amount is None else float(amount)
    except ValueError as error:
        raise ControlError(
            f"{amount!r} in the control script ({part!r}) is no number.",
            "An amount reads like left=0.3.",
            "Correct the number.",
        ) from error
    sign = -1.0 if word == "left" else 1.0
    return {axis: value if given is None else sign * given for axis, value in WORDS[word].items()}


def _read_csv(path: Path) -> np.ndarray:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    header, *rows = [line for line in text.splitlines() if line.strip()] or [""]
    names = tuple(name.strip().lower() for name in header.split(","))
    if names != AXES:
        raise ControlError(
            f"{path} begins with {header!r}.",
            "A CSV of controls begins with the header steer,gas,brake.",
            "Write that header and three numbers on each line below it.",
        )
    try:
        return np.array([[float(cell) for cell in row.split(",")] for row in rows], dtype=np.float32)
    except ValueError as error:
        raise ControlError(
            f"{path} holds a line that is not three numbers: {error}.",
            "Each line holds steer,gas,brake.",
            "Correct that line.",
        ) from error


def _read_npz(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "controls" in arrays:
                return np.asarray(arrays["controls"], dtype=np.float32)
            names = list(arrays.keys())
    except (*_UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error) from error
    raise ControlError(
        f"{path} holds {', '.join(names) or 'nothing'}.",
        'An NPZ of controls holds the array "controls", [T, 3].',
        "Save it with numpy.savez(path, controls=controls).",
    )


def _unreadable(path: Path, error: Exception) -> ControlError:
    return ControlError(
        f"{path} cannot be read: {error}.",
        "Controls come from a script, a CSV, an NPZ, or policy:NAME.",
        f"Check the path, or write a script such as {_EXAMPLE}.",
    )


def as_record(controls: np.ndarray) -> list[list[Any]]:
    """Controls as plain numbers, run-length coded: ``[[frames, steer, gas, brake], ...]``."""
    runs: list[list[Any]] = []
    for row in controls.tolist():
        if runs and runs[-1][1:] == row:
            runs[-1][0] += 1
        else:
            runs.append([1, *row])
    return runs
