"""What flashdreams-serve adds to FlashDreams. Light to import: everything is named, nothing loaded."""

from __future__ import annotations

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import CommandSpec

_COMMANDS = "flashdreams_serve.commands"


@hookimpl
def flashdreams_commands() -> list[CommandSpec]:
    """The commands."""
    return [
        CommandSpec(
            name="serve",
            summary="Dream live: serve a slug to browsers, for several people at once.",
            target=f"{_COMMANDS}.serve:main",
        ),
        CommandSpec(
            name="serve-bench",
            summary="Measure a server with headless clients: latency from key to pixel, fairness, rates.",
            target=f"{_COMMANDS}.serve_bench:main",
        ),
        CommandSpec(
            name="serve-replay",
            summary="Make the video of a served session again, from its control log.",
            target=f"{_COMMANDS}.serve_replay:main",
        ),
    ]
