"""A plugin of the full way around the toys."""

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import CommandSpec, ComponentSpec, RunnerSpec


@hookimpl
def flashdreams_runners():
    return [RunnerSpec("toy-16px", "A toy of 16 pixels.", "cli_toys:runner_config")]


@hookimpl
def flashdreams_components():
    return [
        ComponentSpec("scheduler", "toy-one-step", "A single step.", "cli_toys:OneStepConfig"),
        ComponentSpec("encoder", "toy-words", "A vector per prompt.", "cli_toys:WordsConfig"),
        ComponentSpec("decoder", "toy-coarse", "Many pixels per latent.", "cli_toys:CoarseDecoderConfig"),
        ComponentSpec("decoder", "toy-strange", "No decoder at all.", "cli_toys:strange_component"),
    ]


@hookimpl
def flashdreams_commands():
    return [CommandSpec("toy-serve", "Serve toys.", "cli_toys:command")]
