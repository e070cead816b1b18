"""``reference/cli.md``: what the command line prints of itself, and the tables around it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from flashdreams import environment
from flashdreams.cli import main
from flashdreams.cli.flag_tree import flag_text
from flashdreams.infra.config.fields import FieldInfo, config_fields, is_config_class
from flashdreams.infra.config.types import describe, type_members
from flashdreams.infra.decoder.config import DecoderConfig
from flashdreams.infra.diffusion.transformer.config import TransformerConfig
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.builtin import flashdreams_components
from flashdreams.plugins.targets import load_target
from reference_pages.markdown import WRITTEN, cell, code, default, documented, table

INTRODUCTION = f"""\
# Command line

{WRITTEN}

`flashdreams` and `python -m flashdreams` are the same; `flashdreams-run ...` is `flashdreams run ...`.
Nothing below imports torch before there is work to do.
"""

FLAGS = """\
## Flags

Each field of a slug's config is a flag, nested as the config is. `flashdreams run SLUG --help` shows
them all, with what they mean and what they are set to; a wrong one is answered with the nearest.

| to set | write |
|---|---|
| a number, text or path | `--seed 7`, `--seed=7`, `--output "my drive.mp4"` |
| a boolean | `--overwrite`, `--no-overwrite`, `--overwrite True`, `--overwrite False` |
| a boolean further in | `--pipeline.diffusion-model.scheduler.no-warp` |
| a list or tuple | `--pipeline.diffusion-model.scheduler.denoising-timesteps 1000 750 500` |
| a dict | `--weights cat 0.5 dog 1.5` |
| nothing, where a field may hold nothing | `--output None` |
| a value that begins with a dash | `--description="-- a drive --"` |
| another component | `--use scheduler=unipc`, or `--pipeline.diffusion-model.scheduler unipc` |

Dashes and underscores are the same. A component is swapped before the flags of its fields are read, so
those are flags at once, and `flashdreams run SLUG --use scheduler=unipc --help` shows them.

`--config FILE` starts from a file: what `flashdreams show SLUG --format yaml` prints, with or without
`--diff`, or the `run.yaml` beside an output. The file may be YAML or JSON, names its slug, and gives way
to the flags of the line:

```yaml
slug: my-slug
config:
  seed: 7
  pipeline:
    diffusion_model:
      scheduler:
        _use: unipc          # or _class: "package.module:Class"
        num_inference_steps: 8
```
"""

EXIT_CODES = """\
## Exit codes

| code | means |
|---|---|
| 0 | it worked |
| 1 | the run failed or was broken off, or `list --check` found something broken |
| 2 | something that the user can put right; three lines on stderr say what and how |
| 130, 143 | interrupted with Ctrl-C, or stopped with SIGTERM |
| 141 | whoever read the output has left |
"""


def cli_page(commands: Mapping[str, str] | None = None) -> str:
    """``reference/cli.md``.

    Args:
        commands: The module of each command by its name; core's own by default.

    Raises:
        UndocumentedError: A command does not say what it does.
    """
    found = main.COMMANDS if commands is None else commands
    with environment.exported("COLUMNS", "80"), environment.exported("NO_COLOR", "1"):
        sections = [section for item in found.items() for section in _command(*item)]
        blocks = [INTRODUCTION, code(main.overview([])), *sections]
    return "\n".join([*blocks, FLAGS, *_tables(), EXIT_CODES, _variables()])


def _command(name: str, module_name: str) -> Iterator[str]:
    module = import_module(module_name)
    documented(f"The command {name}", getattr(module, "SUMMARY", ""))
    yield f"## flashdreams {name}\n\n{code(_help(module))}"
    for action, target in getattr(module, "ACTIONS", {}).items():
        if isinstance(target, str):  # a module of its own, and not described by the command's help
            told = import_module(target)
            documented(f"{name} {action}", getattr(told, "SUMMARY", ""))
            yield f"### flashdreams {name} {action}\n\n{code(_help(told))}"


def _help(module: ModuleType) -> str:
    of_slugs = getattr(module, "COMMAND", None)
    if of_slugs is not None:
        # The slugs that happen to be installed here are nobody else's.
        return str(of_slugs.overview([]))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        module.main(["--help"])
    return printed.getvalue()


def _tables() -> Iterator[str]:
    schedulers = [spec for spec in flashdreams_components() if spec.kind == "scheduler"]
    model = ("pipeline", "diffusion_model")
    yield SLUG_FLAGS
    yield _table(RunnerConfig, ())
    yield _table(StreamInferencePipelineConfig, ("pipeline",))
    yield _table(TransformerConfig, (*model, "transformer"))
    yield _table(DecoderConfig, ("pipeline", "decoder"))
    yield "### Flags of the schedulers\n"
    for spec in schedulers:
        yield f"With `--use scheduler={spec.name}`: {spec.summary}\n"
        yield _table(load_target(spec.target), (*model, "scheduler"))


SLUG_FLAGS = """\
### Flags of every slug

A slug adds its own, and has its own defaults. [Config fields](config.md) has the rest.
"""


def _table(cls: type, path: tuple[str, ...]) -> str:
    """The flags of a config. Those that lie deep are listed by their last part: a table has no more room."""
    fields = config_fields(cls)
    flags = [flag_text((*path, info.name)) for info in fields]
    prefix = f"{flag_text(path)}." if path else ""
    rows = [_row(info, flag.removeprefix(prefix)) for info, flag in zip(fields, flags, strict=True)]
    told = f"Each after `{prefix}`, as in `{flags[0]}`:\n\n" if path else ""
    return told + table(("flag", "takes", "default", "meaning"), rows)


def _row(info: FieldInfo, flag: str) -> tuple[str, str, str, str]:
    takes = cell(describe(info.type)) if not _is_part(info.type) else "a component"
    meaning = cell(documented(f"{info.config_class.__name__}.{info.name}", info.doc))
    return f"`{flag}`", takes, default(info.default, "the slug's"), meaning


def _is_part(type: Any) -> bool:
    return any(is_config_class(member) for member in type_members(type))


def _variables() -> str:
    rows = [(f"`{name}`", cell(documented(name, what))) for name, what in environment.VARIABLES.items()]
    return "## Environment variables\n\n" + table(("variable", "does"), rows)
