"""Layouts: the ways in which published files name the tensors of a module. Data, and no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flashdreams.errors import WeightsKeyError, WeightsLayoutError

EXPORTED = ("generator_ema.", "generator.")
"""What a training checkpoint keeps beside its optimiser, the better one first."""
TRAINING_WRAPPERS = re.compile(r"(?:_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.")
"""What sharding, checkpointing and compiling put into the names of what they wrap."""
OUTER_MODULES = ("model.", "module.")
"""Modules around the network, as long as every name begins with theirs."""

LISTED = 5  # names of a file that an error shows
Names = Mapping[str, str]
"""Names of tensors as they read without their wrappers, and as they are stored."""


@dataclass(frozen=True)
class Layout:
    """A published way to name a module's tensors.

    Names are matched by searching, as ``re.search`` does: anchor a pattern with ``^`` and ``$``.
    """

    name: str
    """What users know it by, such as "official" or "diffusers"."""
    prefix: str = ""
    """Only names that begin so are taken, and it is cut off."""
    renames: tuple[tuple[str, str], ...] = ()
    """Pairs of a regular expression and its replacement, applied to each name in this order."""
    only: str = ""
    """Names (after the renames) without a match are left in the file on purpose."""
    marker: str = ""
    """The layout is chosen where a name (before prefix and renames) matches."""

    def renamed(self, name: str) -> str | None:
        """The module's name for a name in the file; None where the file's is not taken."""
        if not name.startswith(self.prefix):
            return None
        name = rename(name.removeprefix(self.prefix), self.renames)
        return name if re.search(self.only, name) else None

    def fits(self, names: Iterable[str]) -> bool:
        """Whether a file with these names is in this layout."""
        names = list(names)
        return any(name.startswith(self.prefix) for name in names) and any(
            re.search(self.marker, name) for name in names
        )

    def sources(self, names: Names, path: Path) -> dict[str, str]:
        """Stored names by the names that their tensors have in the module.

        Args:
            names: Stored names by how they read.
            path: The file, for errors.

        Raises:
            WeightsKeyError: Two tensors get one name.
        """
        found: dict[str, str] = {}
        for name, stored in names.items():
            renamed = self.renamed(name)
            if renamed is None:
                continue
            if renamed in found:
                raise WeightsKeyError(
                    f"In {path} both {found[renamed]} and {stored} become {renamed}.",
                    "Every tensor of the module comes from one of the file.",
                    "Correct the renames.",
                )
            found[renamed] = stored
        return found


def rename(name: str, renames: Iterable[tuple[str, str]]) -> str:
    """Apply pairs of a regular expression and its replacement, in their order."""
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def only_part(layouts: Iterable[Layout], only: str | None) -> list[Layout]:
    """The layouts, each with another ``only``; None keeps theirs."""
    return [layout if only is None else replace(layout, only=only) for layout in layouts]


def find_sources(stored: Sequence[str], layouts: Sequence[Layout], path: Path) -> dict[str, str]:
    """Find the layout of a file: the names of its tensors by those that they have in the module.

    Names are read without what training wraps around a network: ``generator_ema.`` (or, where there is
    none, ``generator.``), FSDP's and other wrappers, an outer ``model.``; where no layout fits those,
    with more and more of it.

    Args:
        stored: Names in the file.
        layouts: Layouts to try; of those that fit, the first is taken.
        path: The file, for errors.

    Raises:
        WeightsLayoutError: No layout fits.
        WeightsKeyError: Two tensors get one name.
    """
    for layout in layouts:
        for names in views(stored):
            if layout.fits(names):
                return layout.sources(names, path)
    shown = ", ".join(stored[:LISTED]) + (", ..." if len(stored) > LISTED else "")
    raise WeightsLayoutError(
        f"{path} is in no layout that is known here; it holds {shown or 'no tensors'}.",
        "Known are: " + ", ".join(layout.name for layout in layouts) + ".",
        "Check that it is a checkpoint of this model and of this part of it.",
    )


def as_stored(stored: Iterable[str]) -> dict[str, str]:
    """Names that read as they are stored."""
    return {name: name for name in stored}


def views(stored: Iterable[str]) -> Iterator[Names]:
    """The names of a file, without all of their wrappers first, and as they are stored last."""
    steps = [as_stored(stored)]
    for step in (_without_wrappers, _exported, _without_outer_modules):
        if (shorter := step(steps[-1])) != steps[-1]:
            steps.append(shorter)
    return reversed(steps)


def _without_wrappers(names: Names) -> dict[str, str]:
    return {TRAINING_WRAPPERS.sub("", name): stored for name, stored in names.items()}


def _exported(names: Names) -> dict[str, str]:
    for prefix in EXPORTED:
        if any(name.startswith(prefix) for name in names):
            return _cut(names, prefix)
    return dict(names)


def _without_outer_modules(names: Names) -> dict[str, str]:
    for prefix in OUTER_MODULES:
        if names and all(name.startswith(prefix) for name in names):
            return _without_outer_modules(_cut(names, prefix))
    return dict(names)


def _cut(names: Names, prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): names[name] for name in names if name.startswith(prefix)}
