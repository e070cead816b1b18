"""``reference/deprecations.md``: what will go, and what takes its place."""

from __future__ import annotations

from collections.abc import Sequence

from flashdreams import deprecation
from flashdreams.deprecation import Deprecation
from flashdreams.plugins.api import API_VERSION, OLDEST_API_VERSION
from reference_pages.markdown import cell, documented, marked, page, table

INTRODUCTION = f"""\
This core offers plugin API {API_VERSION}, and keeps every one from {OLDEST_API_VERSION} on; how a plugin
says which it was written for is on [Publish a plugin](../howto/publish.md). What will go is deprecated
first: it goes on working, whoever uses it is warned with a `FlashDreamsDeprecationWarning`, and
`flashdreams plugins` names what each plugin uses.
"""

NOTHING = "Nothing is deprecated at present.\n"


def deprecations_page(every: Sequence[Deprecation] | None = None) -> str:
    """``reference/deprecations.md``.

    Args:
        every: What is deprecated; all of it by default.

    Raises:
        UndocumentedError: A deprecation names no replacement.
    """
    found = deprecation.DEPRECATIONS if every is None else every
    header = ("what", "deprecated since", "gone in", "what to do")
    return page("Deprecations", INTRODUCTION, table(header, map(_row, found)) if found else NOTHING)


def _row(each: Deprecation) -> tuple[str, str, str, str]:
    replacement = documented(f"The replacement of {each.name}", each.replacement)
    return cell(marked(each.name)), each.since, each.gone_in, cell(replacement)
