"""Write the pages that are generated from the code; with ``--check``, only say which are out of date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import model_pages
from reference_pages.cli import cli_page
from reference_pages.components import components_page
from reference_pages.config import config_page
from reference_pages.contracts import contracts_page
from reference_pages.deprecations import deprecations_page
from reference_pages.errors import errors_page
from reference_pages.hooks import hooks_page

HERE = Path(__file__).parent

PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
    "reference/components.md": components_page,
    "reference/config.md": config_page,
    "reference/deprecations.md": deprecations_page,
    "reference/errors.md": errors_page,
    "reference/hooks.md": hooks_page,
    "reference/testing.md": contracts_page,
    "models/index.md": model_pages.index_page,
    **{
        f"models/{slug}.md": partial(model_pages.page, slug, distribution)
        for slug, distribution in model_pages.slugs().items()
    },
}


def stale(folder: Path) -> list[str]:
    """The generated pages whose file in ``folder`` differs from what the code says."""
    return [name for name, page in PAGES.items() if _read(folder / name) != page()]


def write(folder: Path) -> None:
    """Write every generated page into ``folder``."""
    for name, page in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(page(), encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def command(argv: Iterable[str] | None = None) -> int:
    """Write the pages, or check them; the exit code is 1 where one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say which pages are out of date")
    if not parser.parse_args(None if argv is None else list(argv)).check:
        write(HERE)
        return 0
    pages = stale(HERE)
    for name in pages:
        print(f"docs/{name} is out of date. Write it anew with: nox -s docs", file=sys.stderr)
    return 1 if pages else 0


if __name__ == "__main__":
    sys.exit(command())
