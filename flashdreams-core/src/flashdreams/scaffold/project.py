"""Writes a new project: files from templates, complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from flashdreams.errors import OutputError
from flashdreams.plugins.api import API_VERSION, CORE
from flashdreams.scaffold.kinds import BASE_SLUG, KINDS, Kind
from flashdreams.scaffold.names import Names

SUFFIX = ".tmpl"
"""What the name of a template ends with, so that no tool takes it for the code that it will become."""
RENAMED = {"gitignore": ".gitignore", "github": ".github"}
"""What parts of a path are called in the project, where a template cannot have that name."""
README_PARTS = ("use", "change")
"""Parts of the README that each kind has its own of."""


def write_project(folder: Path, kind: str, names: Names, author: str = "") -> list[str]:
    """Write a project, complete or not at all.

    Args:
        folder: The project's own folder, which is made.
        kind: One of :data:`KINDS`.
        names: What everything is called.
        author: Who wrote it, for its metadata; nobody is named where it is empty.

    Returns:
        The files, relative to the folder, in order.

    Raises:
        OutputError: The folder exists, or cannot be written.
    """
    if folder.exists():
        raise OutputError(
            f"{folder} exists already.",
            "A new plugin is written into a folder of its own.",
            "Choose another name, or another place with --output DIR.",
        )
    files = project_files(kind, names, author)
    try:
        _write_all(folder, files)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror or error}.",
            "A folder that you may write to, and that has room, was expected.",
            "Choose another place with --output DIR.",
        ) from error
    return sorted(files)


def project_files(kind: str, names: Names, author: str = "") -> dict[str, str]:
    """The files of a project: their paths in it, and their text."""
    templates = _templates("common") | _templates(kind)
    for path in KINDS[kind].further:
        owner, _, rest = path.partition("/")
        templates[rest] = _templates(owner)[rest]
    values = _values(KINDS[kind], names, author)
    for part in README_PARTS:
        values[part] = Template(templates.pop(f"README/{part}.md")).substitute(values).strip()
    return {_path(path, names): Template(text).substitute(values) for path, text in templates.items()}


def _values(kind: Kind, names: Names, author: str) -> dict[str, str]:
    """What the templates leave open."""
    distributions = kind.distributions(CORE)
    base = distributions[-1]
    return {
        "name": names.name,
        "distribution": names.distribution,
        "package": names.package,
        "module": names.module,
        "Class": names.class_prefix,
        "CONSTANT": names.constant,
        "title": names.title,
        "slug": kind.slug(names),
        "summary": kind.summary,
        "entry_points": kind.entry_points(names),
        "dependencies": ", ".join(f'"{needed}"' for needed in kind.dependencies(CORE)),
        "base_distributions": " ".join(distributions),
        "base_package": base.replace("-", "_"),
        "base_slug": BASE_SLUG,
        "BASE": BASE_SLUG.replace("-", "_").upper(),
        "authors": f"authors = [{{ name = {_toml(author)} }}]\n" if author else "",
        "api": API_VERSION,
    }


def _toml(text: str) -> str:
    escaped = "".join(f"\\{c}" if c in '"\\' else c if c.isprintable() else " " for c in text)
    return f'"{escaped}"'


def _templates(name: str) -> dict[str, str]:
    """The templates of one folder: paths without their suffix, and text."""
    return dict(_below(resources.files(__package__) / "templates" / name))


def _below(folder: Traversable, path: str = "") -> list[tuple[str, str]]:
    found = []
    for child in folder.iterdir():
        if child.is_dir():
            found += _below(child, f"{path}{child.name}/")
        elif child.name.endswith(SUFFIX):
            text = child.read_text(encoding="utf-8")
            found.append((path + child.name.removesuffix(SUFFIX), text))
    return found


def _path(path: str, names: Names) -> str:
    parts = [RENAMED.get(part, part) for part in path.split("/")]
    return "/".join(parts).replace("PACKAGE", names.package).replace("MODULE", names.module)


def _write_all(folder: Path, files: dict[str, str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        unfinished.chmod(0o755)
        for path, text in files.items():
            file = unfinished / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
