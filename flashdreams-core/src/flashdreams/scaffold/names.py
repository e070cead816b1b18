"""The names of a new plugin, all from the one that its author chose; and which of them cannot be had."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from flashdreams.errors import PluginNameError
from flashdreams.plugins.catalogue import catalogue
from flashdreams.plugins.installed import is_installed
from flashdreams.plugins.registry import CORE_COMMANDS, Registry

PREFIX = "flashdreams-"
"""What the distribution of a plugin is called before the name that its author chose."""
RESERVED = ("core", "flashdreams", "test", "tests", "torch", "numpy", "pytest", *CORE_COMMANDS)
"""Names that would be taken for something else."""

LONGEST = 26
"""Letters and dashes of a name: the lines of code that it stands in have a limit too."""

_RIGHT = (
    "A name is of lower-case letters and digits, in words joined by single dashes, a letter first,"
    f" and at most {LONGEST} long."
)


@dataclass(frozen=True)
class Names:
    """What everything of a new plugin is called."""

    name: str
    """What its author chose, ``my-model``."""

    @property
    def distribution(self) -> str:
        """What pip knows it as, ``flashdreams-my-model``."""
        return PREFIX + self.name

    @property
    def package(self) -> str:
        """What Python imports, ``flashdreams_my_model``."""
        return self.distribution.replace("-", "_")

    @property
    def module(self) -> str:
        """The name as part of a Python name, ``my_model``."""
        return self.name.replace("-", "_")

    @property
    def class_prefix(self) -> str:
        """What its classes begin with, ``MyModel``."""
        return "".join(word[0].upper() + word[1:] for word in self.name.split("-"))

    @property
    def constant(self) -> str:
        """Its config as a constant, ``MY_MODEL``."""
        return self.module.upper()

    @property
    def title(self) -> str:
        """The name as words, ``My model``."""
        words = self.name.replace("-", " ")
        return words[0].upper() + words[1:]


def checked_names(name: str) -> Names:
    """The names that follow from ``name``.

    Raises:
        PluginNameError: It has not the form of a name, or would be taken for something else.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST:
        raise PluginNameError(f"The name is {name!r}.", _RIGHT, f"Call it {suggested(name)!r}, for instance.")
    if name.startswith(PREFIX):
        raise PluginNameError(
            f"The name is {name!r}.",
            f"{PREFIX} is put before the name by itself.",
            f"Call it {suggested(name)!r}.",
        )
    if name in RESERVED or keyword.iskeyword(name):
        raise PluginNameError(
            f"The name is {name!r}.",
            "A name says which model or part this is, and is no word of Python or of FlashDreams.",
            f"Call it {suggested(name)!r}, for instance.",
        )
    return Names(name)


def suggested(name: str) -> str:
    """The nearest name of the right form."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    words = re.findall(r"[a-z0-9]+", spaced.lower())
    while words and words[0] == PREFIX.strip("-"):
        words = words[1:]
    good = "-".join(words)[: LONGEST - len("my-")].strip("-")
    if not good:
        return "my-model"
    reserved = good in RESERVED or keyword.iskeyword(good)
    return f"my-{good}" if reserved or not good[0].isalpha() else good


def check_free(names: Names, slug: str, component_kind: str | None, registry: Registry) -> None:
    """Refuse names that something installed, or one of FlashDreams' own plugins, has already.

    Raises:
        PluginNameError: The distribution, the slug or the component's name is taken.
    """
    if is_installed(names.distribution):
        raise _taken(names, f"A distribution {names.distribution} is installed.")
    known = catalogue()
    slugs = {entry.spec.slug: str(entry.origin) for entry in registry.runners()}
    slugs |= {s: known[s].distribution for s in known}
    if slug in slugs:
        raise _taken(names, f"The slug {slug} is that of {slugs[slug]}.")
    if names.distribution in {k.distribution for k in known.values()}:
        raise _taken(names, f"{names.distribution} is a plugin of FlashDreams itself.")
    for entry in registry.components():
        if component_kind is not None and entry.spec.key == (component_kind, names.name):
            raise _taken(names, f"The {component_kind} {names.name} is that of {entry.origin}.")


def _taken(names: Names, what: str) -> PluginNameError:
    return PluginNameError(
        what,
        "A name belongs to one plugin: where two claim it, neither has it.",
        f"Call yours otherwise: {names.name[: LONGEST - 2].rstrip('-')}-2, for instance.",
    )
