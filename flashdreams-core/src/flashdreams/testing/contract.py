"""What all contracts have in common: checks that run under pytest, and without it.

A contract is a class whose methods named ``test_...`` are checks. An author subclasses it, sets an attribute
or two, and pytest finds the checks; ``flashdreams plugins check`` runs the same ones without pytest. So a
check takes no fixture. It raises :class:`BrokenPromiseError`, which says what to change, or
:class:`unittest.SkipTest`, which says why it does not apply; pytest understands both.
"""

from __future__ import annotations

import time
import unittest
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from flashdreams.errors import BrokenPromiseError, FlashDreamsError
from flashdreams.plugins.blame import FAILURES, one_line

_PREFIX = "test_"


class Contract:
    """Checks, in the order in which they are written: the first that fails names the fault.

    Bases of a contract run before the contract itself, the last base first, as under pytest.
    """

    @classmethod
    def checks(cls) -> list[str]:
        """Names of the checks, in order."""
        named: dict[str, None] = {}
        for owner in reversed(cls.__mro__):
            named.update(dict.fromkeys(name for name in vars(owner) if name.startswith(_PREFIX)))
        return [name for name in named if callable(getattr(cls, name, None))]


@dataclass(frozen=True)
class CheckResult:
    """What became of one check."""

    contract: str
    """Name of the contract's class."""
    check: str
    """Name of the method."""
    outcome: Literal["passed", "skipped", "failed"]
    message: str
    """Why it was skipped or has failed, and then what to change."""
    seconds: float
    """How long it took."""

    @property
    def promise(self) -> str:
        """The check's name as words."""
        return self.check.removeprefix(_PREFIX).replace("_", " ")


def run_checks(contract: type[Contract]) -> Iterator[CheckResult]:
    """Run the checks of a contract one after the other, whatever becomes of each."""
    for check in contract.checks():
        began = time.perf_counter()
        outcome, message = _outcome(contract, check)
        yield CheckResult(contract.__name__, check, outcome, message, time.perf_counter() - began)


def _outcome(contract: type[Contract], check: str) -> tuple[Literal["passed", "skipped", "failed"], str]:
    try:
        getattr(contract(), check)()
    except unittest.SkipTest as skip:
        return "skipped", str(skip)
    except FlashDreamsError as error:
        return "failed", str(error)
    except FAILURES as error:
        return "failed", one_line(error)
    return "passed", ""


def broken(what: str, right: str, change: str) -> NoReturn:
    """Fail a check: what was seen (with the value), what was promised, and what to change."""
    __tracebackhide__ = True
    raise BrokenPromiseError(what, right, change)


def skip(why: str) -> NoReturn:
    """Leave a check out, and say why."""
    __tracebackhide__ = True
    raise unittest.SkipTest(why)
