"""Whether the tensors of a file are those of a module, and if not, what differs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashdreams.errors import WeightsKeyError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

LISTED = 8  # names of each kind in an error
SIZES = 4  # sizes of an architecture in an error

Shapes = Mapping[str, tuple[int, ...]]


def check_fit(
    module: nn.Module, path: Path, groups: Iterable[tuple[Sequence[str], Tensor]], shapes: Shapes
) -> None:
    """Refuse a file that lacks tensors of a module, has others, or has them in other shapes.

    Args:
        module: What is to be filled.
        path: The file, for errors.
        groups: The module's tensors, each with its names.
        shapes: Shape of each of the file's, by its name in the module.

    Raises:
        WeightsKeyError: It does not fit; the names are attributes of the error.
    """
    groups = list(groups)
    targets = {name: tuple(tensor.shape) for names, tensor in groups for name in names}
    missing = [names[0] for names, _ in groups if not any(name in shapes for name in names)]
    unexpected = [name for name in shapes if name not in targets]
    misshapen = [name for name in targets if name in shapes and targets[name] != shapes[name]]
    if not (missing or unexpected or misshapen):
        return
    counts = f"{len(missing)} missing, {len(unexpected)} unexpected, {len(misshapen)} of another shape"
    sizes = architecture_differences(targets, shapes)
    parts = [
        f"The file is of another architecture: {'; '.join(sizes)}." if sizes else "",
        _listed("missing", _with_nearest(missing, unexpected, "the file has")),
        _listed("unexpected", _with_nearest(unexpected, missing, "the module has")),
        _listed("of another shape", [_shapes_of(name, targets, shapes) for name in misshapen]),
    ]
    error = WeightsKeyError(
        f"{path} does not fit {type(module).__name__}: {counts}.",
        "\n".join(part for part in parts if part),
        "Use the slug or the config that the weights are for."
        if sizes
        else "Use the config that the weights were saved with, or map their names (renames, prefix).",
    )
    error.missing, error.unexpected, error.misshapen = missing, unexpected, misshapen
    raise error


def architecture_differences(module: Shapes, file: Shapes) -> list[str]:
    """Sizes in which two architectures differ, such as ``40 blocks where the module has 30``.

    A size of tensors counts where several tensors agree on it: one alone is an odd tensor.
    """
    widths = Counter(
        pair
        for name in module.keys() & file.keys()
        if len(module[name]) == len(file[name])
        for pair in {*zip(file[name], module[name], strict=True)}
        if pair[0] != pair[1]
    )
    lengths = {name: (length, _lengths(module).get(name)) for name, length in _lengths(file).items()}
    counts = [(f"{n} {name}", m) for name, (n, m) in lengths.items() if m is not None and n != m]
    sizes = [(f"a size of {n}", m) for (n, m), times in widths.most_common(SIZES) if times > 1]
    return [f"{what} where the module has {m}" for what, m in [*counts, *sizes]]


def _lengths(shapes: Shapes) -> dict[str, int]:
    """How many members each list of modules has, by the name of the list."""
    found: dict[str, int] = {}
    for name in shapes:
        for match in re.finditer(r"\.(\d+)\.", name):
            owner = name[: match.start()]
            found[owner] = max(found.get(owner, 0), int(match[1]) + 1)
    return found


def _shapes_of(name: str, targets: Shapes, shapes: Shapes) -> str:
    return f"{name} is {list(shapes[name])} in the file, {list(targets[name])} in the module"


def _with_nearest(names: Sequence[str], others: Sequence[str], who: str) -> Iterator[str]:
    for n, name in enumerate(names):
        match = nearest(name, others) if n < LISTED else None
        yield f"{name} ({who} {match})" if match else name


def _listed(title: str, notes: Iterable[str]) -> str:
    notes = list(notes)
    rest = f", and {len(notes) - LISTED} more" if len(notes) > LISTED else ""
    return f"{title}: {', '.join(notes[:LISTED])}{rest}" if notes else ""
