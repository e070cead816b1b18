"""``flashdreams warm SLUG``: make ready what a run needs beside its weights, and list it."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flashdreams.cli.console import counted, set_up_logging
from flashdreams.cli.options import JSON, OFFLINE, VERBOSE, Option, stdout_kept, whole_number
from flashdreams.cli.request import Request, SlugCommand
from flashdreams.errors import UsageError
from flashdreams.io.fetching import fetching_for, offline

if TYPE_CHECKING:
    from flashdreams.infra.runner.base import Runner
    from flashdreams.infra.runner.config import RunnerConfig

SUMMARY = "Capture the graphs that a slug's chunks need, and list them with their memory and time."

_CHECK = Option(
    "--check", "Capture and replay them on the CPU instead, and find what a card would get wrong."
)
_SLOTS = Option("--slots", "Rollouts that will live at once.", "N")
COMMAND = SlugCommand("warm", SUMMARY, (_CHECK, _SLOTS, OFFLINE, JSON, VERBOSE))


def main(argv: Sequence[str]) -> int:
    """Make ready what the line says.

    Raises:
        FlashDreamsError: Something that the user can put right, or a stage that a graph cannot hold.
    """
    request = COMMAND.read(argv)
    if request is None:
        return 0
    slots = _slots(request.options.get(_SLOTS.name, ["1"])[-1])
    set_up_logging(len(request.options.get(VERBOSE.name, [])))
    began = time.monotonic()
    with fetching_for(request.slug), offline(OFFLINE.name in request.options), stdout_kept():
        made, problems = _made(request, slots)
    seconds = time.monotonic() - began
    if JSON.name in request.options:
        print(json.dumps(_document(request.slug, made, problems, seconds)))
    else:
        print("\n".join([*map(_line, made), *problems, *_summary(request, made, problems, seconds)]))
    return 1 if problems else 0


def _made(request: Request, slots: int) -> tuple[list[Any], list[str]]:
    """What was made ready, and what of it is wrong."""
    from flashdreams.infra.device import cpu_threads

    checks = _CHECK.name in request.options
    config = _checkable(request) if checks else request.config
    runner = _runner(config)
    with cpu_threads(config.threads):
        if checks:
            return _checked(runner)
        given = dict(conditions=runner.conditions(), controls=[runner.control(0, None)], slots=slots)
        return runner.pipeline.warmup(**given), []


def _checkable(request: Request) -> RunnerConfig:
    """What is checked in the place of the config, said on stderr where it is another."""
    from flashdreams.cli.stand_ins import stood_in

    config, random = stood_in(request.config)
    if random:
        print(
            f"Random weights stand in for those to be fetched: {', '.join(random)}. "
            "The check is of addresses and operators, which are the same.",
            file=sys.stderr,
        )
    if sys.stderr.isatty():
        print(
            f"Recording the graphs of {request.slug} on the CPU, then replaying them beside the code itself; "
            "a large model takes minutes.",
            file=sys.stderr,
        )
    return config


def _checked(runner: Runner) -> tuple[list[Any], list[str]]:
    from flashdreams.testing.graph_replay import replay_rollouts

    transformer = runner.pipeline.diffusion_model.transformer.config
    chunks = transformer.window // transformer.chunk
    first = chunks + 1 if chunks > 1 else 1
    control = runner.control(0, None)
    report = replay_rollouts(runner.pipeline, (first, 1), lambda index: control, **runner.conditions())
    return list(report.captures), report.problems


def _runner(config: RunnerConfig) -> Runner:
    from flashdreams.infra.runner.base import Runner

    runner = config.setup()
    if isinstance(runner, Runner):
        return runner
    raise UsageError(
        f"{config.runner_name} is run by a {type(runner).__name__}.",
        "Only what a Runner of flashdreams.infra.runner begins with can be made ready ahead.",
        "Call pipeline.warmup() in the runner itself.",
    )


def _line(made: Any) -> str:
    """What was made ready, for people; a graph of a fill level says that it counts tokens."""
    kind = getattr(made, "kind", "")
    if kind.isdecimal():
        made = dataclasses.replace(made, kind=f"{kind} tokens in sight")
    return str(made)


def _summary(request: Request, made: list[Any], problems: list[str], seconds: float) -> list[str]:
    """What is said last."""
    if _CHECK.name in request.options:
        return [
            "MiB are what the recording kept of what the operators made; a graph of a card shares memory.",
            f"{len(made)} graphs recorded and replayed in {seconds:.1f} s, the pipeline included.",
            f"{counted(len(problems), 'problem')} found." if problems else "No problems found.",
        ]
    if made:
        return [f"{len(made)} made ready in {seconds:.1f} s, the pipeline included."]
    print(f"`flashdreams warm {request.slug} --check` shows what a card would capture.", file=sys.stderr)
    return ["There is nothing to make ready: on this device chunks are computed as they are written."]


def _document(slug: str, made: list[Any], problems: list[str], seconds: float) -> dict[str, Any]:
    entries = [
        dataclasses.asdict(each) if dataclasses.is_dataclass(type(each)) else {"text": str(each)}
        for each in made
    ]
    return {"slug": slug, "made": entries, "problems": problems, "seconds": round(seconds, 3)}


def _slots(text: str) -> int:
    return whole_number(_SLOTS, text, right="It counts rollouts, 1 or more.", next=f"Write {_SLOTS.name} 1.")
