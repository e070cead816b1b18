"""Write the pages that are generated from the code; with ``--check``, only say which are out of date."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import model_pages

from flashdreams import environment
from flashdreams.cli import main
from flashdreams.cli.flag_tree import flag_text
from flashdreams.infra.config.fields import config_fields, is_config, is_config_class
from flashdreams.infra.config.types import describe, short, type_members
from flashdreams.infra.decoder.config import DecoderConfig
from flashdreams.infra.diffusion.transformer.config import TransformerConfig
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.builtin import flashdreams_components
from flashdreams.plugins.targets import load_target

HERE = Path(__file__).parent

INTRODUCTION = """\
# Command line

<!-- Written by docs/generate.py from the code. Change the code, then run: nox -s docs -->

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


def cli_page() -> str:
    """``reference/cli.md``."""
    with environment.exported("COLUMNS", "80"), environment.exported("NO_COLOR", "1"):
        blocks = [INTRODUCTION + _text(main.overview([])), *map(_command, main.COMMANDS)]
    return "\n".join([*blocks, FLAGS, *_tables(), EXIT_CODES, _variables()])


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
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


def _text(text: str) -> str:
    return f"\n```text\n{text.rstrip()}\n```\n"


def _command(name: str) -> str:
    of_slugs = getattr(import_module(main.COMMANDS[name]), "COMMAND", None)
    if of_slugs is not None:
        # The slugs that happen to be installed here are nobody else's.
        text = of_slugs.overview([])
    else:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            main.main([name, "--help"])
        text = printed.getvalue()
    return f"## flashdreams {name}\n{_text(text)}"


def _tables() -> Iterator[str]:
    schedulers = [spec for spec in flashdreams_components() if spec.kind == "scheduler"]
    model = ("pipeline", "diffusion_model")
    yield "### Flags of every slug\n\nA slug adds its own, and has its own defaults.\n"
    yield _table(RunnerConfig, ())
    yield _table(StreamInferencePipelineConfig, ("pipeline",))
    yield _table(TransformerConfig, (*model, "transformer"))
    yield _table(DecoderConfig, ("pipeline", "decoder"))
    yield "### Flags of the schedulers\n"
    for spec in schedulers:
        yield f"`--use scheduler={spec.name}`: {spec.summary}\n"
        yield _table(load_target(spec.target), (*model, "scheduler"))


def _table(cls: type, path: tuple[str, ...]) -> str:
    rows = ["| flag | takes | default | meaning |", "|---|---|---|---|"]
    for info in config_fields(cls):
        takes = _cell(describe(info.type)) if not _is_part(info.type) else "a component"
        flag = flag_text((*path, info.name))
        rows.append(f"| `{flag}` | {takes} | {_default(info.default)} | {_cell(info.doc)} |")
    return "\n".join(rows) + "\n"


def _is_part(type: Any) -> bool:
    return any(is_config_class(member) for member in type_members(type))


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "the slug's"
    if is_config(value):
        return f"`{type(value).__qualname__}`"
    return f"`{_cell(str(value) if isinstance(value, Path) else short(value))}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _variables() -> str:
    rows = [f"| `{name}` | {_cell(what)} |" for name, what in environment.VARIABLES.items()]
    return "\n".join(["## Environment variables\n", "| variable | does |", "|---|---|", *rows]) + "\n"


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
