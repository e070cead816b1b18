"""The ``flashdreams`` command: finds the module of the command that was typed, and imports only that."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from flashdreams.cli.console import help_page, print_error
from flashdreams.errors import FlashDreamsError
from flashdreams.infra.runner.interrupts import Stopped

COMMANDS = {
    "list": "flashdreams.cli.list_",
    "run": "flashdreams.cli.run",
    "show": "flashdreams.cli.show",
    "plan": "flashdreams.cli.plan",
    "warm": "flashdreams.cli.warm",
    "bench": "flashdreams.cli.bench",
    "download": "flashdreams.cli.download",
    "components": "flashdreams.cli.components",
    "plugins": "flashdreams.cli.plugins",
    "new-plugin": "flashdreams.cli.new_plugin",
    "cache": "flashdreams.cli.cache",
    "doctor": "flashdreams.cli.doctor",
}
"""Core's own commands, and the module of each: its ``SUMMARY`` in one line, and ``main(argv) -> int``."""

FAILED, INTERRUPTED, UNREAD = 1, 130, 141
"""Exit codes beside 0 and those of errors: it failed, Ctrl-C, nobody reads the output."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of the line, of ``sys.argv`` by default, and return its exit code."""
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except FlashDreamsError as error:
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except Stopped as stop:
        return stop.code
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except Exception:
        traceback.print_exc()
        return FAILED


def main_run(argv: Sequence[str] | None = None) -> int:
    """``flashdreams-run ...`` is ``flashdreams run ...``."""
    return main(["run", *(sys.argv[1:] if argv is None else argv)])


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        from flashdreams.plugins.registry import installed_registry

        added = [entry.spec for entry in installed_registry().commands()]
        print(overview((command.name, command.summary) for command in added))
        return 0
    if words[0] in ("-V", "--version"):
        from flashdreams import __version__

        print(f"flashdreams {__version__}")
        return 0
    return _command(words[0])(words[1:])


def _command(name: str) -> Callable[[list[str]], int]:
    if name in COMMANDS:
        command: Callable[[list[str]], int] = import_module(COMMANDS[name]).main
        return command
    from flashdreams.plugins.registry import installed_registry

    return installed_registry().command(name)


def overview(added: Iterable[tuple[str, str]]) -> str:
    """The help of the whole, with the commands that plugins ``added``: name and summary each."""
    own = [(name, import_module(module).SUMMARY) for name, module in COMMANDS.items()]
    options = [("-h, --help", "Show this and exit."), ("-V, --version", "Show the version and exit.")]
    return help_page(
        "flashdreams COMMAND ...",
        "Streaming video diffusion and interactive world models.",
        [("commands", own), ("commands of plugins", added), ("options", options)],
    )
