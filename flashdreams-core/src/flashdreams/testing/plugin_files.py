"""What a plugin's wheel promises: its types, its licence, and nothing that is not its own."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from flashdreams.testing.contract import Contract, broken, skip
from flashdreams.testing.installed_plugin import InstalledPlugin

_STRAY = frozenset(("tests", "test", "docs", "examples", "benchmarks", "conftest.py", "setup.py"))
"""What wheels hold by mistake, at their top."""
_TESTS = frozenset(("tests", "test", "conftest.py"))


class FilePromises(Contract):
    """What pip has installed."""

    if TYPE_CHECKING:

        @property
        def plugin(self) -> InstalledPlugin:
            """The installed plugin."""

    def test_its_types_can_be_checked(self) -> None:
        """Packages have the marker ``py.typed`` (PEP 561)."""
        untyped = self.plugin.untyped_packages()
        if untyped:
            broken(
                f"The package {untyped[0]} has no py.typed.",
                "An empty file of that name tells type checkers that its annotations can be relied on.",
                f"Create src/{untyped[0]}/py.typed, and see that the wheel contains it.",
            )

    def test_its_licence_comes_with_it(self) -> None:
        """Beside the metadata."""
        if not self.plugin.files:
            skip("it was not installed by pip: what its wheel contains is not known")
        if not self.plugin.licences():
            broken(
                f"{self.plugin.name} is installed without its licence.",
                "The wheel contains it, and its metadata names it (License-File).",
                'Put a file LICENSE beside pyproject.toml, with license = "Apache-2.0" (or another) in it.',
            )

    def test_nothing_stray_is_installed(self) -> None:
        """No tests, and no module of a general name."""
        if not self.plugin.files or self.plugin.is_editable:
            skip(
                "its sources are used where they lie: build a wheel and install that to see what it contains"
            )
        for path in map(PurePosixPath, self.plugin.files):
            if path.parts[0] in _STRAY or _TESTS & set(path.parts):
                broken(
                    f"{self.plugin.name} installs {path}.",
                    "A wheel contains its package and its metadata: tests and the like would lie beside "
                    "everybody's modules.",
                    "Keep them outside of src/, and name packages = [...] for hatchling's wheel target.",
                )
