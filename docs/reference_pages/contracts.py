"""``reference/testing.md``: every contract of :mod:`flashdreams.testing`, what it is told and checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flashdreams import testing
from flashdreams.testing.contract import Contract
from reference_pages.markdown import attribute_docs, cell, documented, own_doc, page, quoting, table

INTRODUCTION = """\
The conformance kit, contract by contract; [Test a plugin](../plugins/testing.md) shows how it is used.
Checks run in the order in which they stand here, and the first that fails names the fault: one fault breaks
many promises.
"""


def contracts() -> dict[str, type[Contract]]:
    """Every contract that the kit exports, by its name."""
    named = {name: getattr(testing, name) for name in testing.__all__}
    return {name: contract for name, contract in named.items() if contract is not Contract}


def contracts_page(found: Mapping[str, type[Contract]] | None = None) -> str:
    """``reference/testing.md``.

    Args:
        found: The contracts; all that there are by default.

    Raises:
        UndocumentedError: A contract, an attribute or a check has no docstring.
    """
    every = contracts() if found is None else found
    return page("Conformance kit", INTRODUCTION, *(_section(*item) for item in every.items()))


def _section(name: str, contract: type[Contract]) -> str:
    attributes = [(f"`{key}`", cell(documented(f"{name}.{key}", doc))) for key, doc in _attributes(contract)]
    checks = [(f"`{check}`", cell(_promise(contract, check))) for check in contract.checks()]
    source = f"flashdreams-core/src/{contract.__module__.replace('.', '/')}.py"
    blocks = [f"## {name}", quoting(documented(name, own_doc(contract)), source)]
    blocks += [table(("attribute", "is"), attributes).rstrip()] if attributes else []
    blocks += [table(("check", "promises"), checks).rstrip()]
    return "\n\n".join(blocks) + "\n"


def _attributes(contract: type[Contract]) -> Iterator[tuple[str, str]]:
    """What an author can set, with its documentation, bases first."""
    seen: dict[str, str] = {}
    for owner in reversed(contract.__mro__[:-1]):
        docs = attribute_docs(owner)
        public = [name for name in vars(owner).get("__annotations__", {}) if not name.startswith("_")]
        seen |= {name: docs.get(name) or seen.get(name, "") for name in public}
    yield from seen.items()


def _promise(contract: type[Contract], check: str) -> str:
    return documented(f"{contract.__name__}.{check}", getattr(contract, check).__doc__).partition("\n\n")[0]
