"""Pages of the models that are downloaded: docs/models/SLUG.md, from their configs, lock files and plans."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.lock import LockEntry, find_entry, references_of
from flashdreams.plan import CARDS, Plan, plan_of
from flashdreams.plugins.registry import installed_registry

HERE = Path(__file__).parent
PLUGINS = ("flashdreams-wan", "flashdreams-self-forcing", "flashdreams-causal-forcing")
POCKET = "flashdreams-pocket"
BESIDE = ("pocket-racer-training", "wan", "parity")
"""Pages of docs/models that are no slug's."""
GIB = 2**30

PARITY = {
    "flashdreams-wan": "against diffusers, transformers and Wan's published code",
    "flashdreams-self-forcing": "against a rollout of Self-Forcing's published code, latents and pixels",
    "flashdreams-causal-forcing": "against Wan's and Self-Forcing's published code, whose network it shares",
}


def slugs() -> dict[str, str]:
    """Every slug of :data:`PLUGINS`, and its distribution."""
    return {slug: distribution for slug, distribution, _ in _entries() if distribution in PLUGINS}


def _entries() -> list[tuple[str, str, str]]:
    """Slug, distribution and summary of each slug in this repository."""
    entries = installed_registry().runners()
    found = [(entry.spec.slug, entry.origin.distribution, entry.spec.summary) for entry in entries]
    return sorted(entry for entry in found if entry[1] in (*PLUGINS, POCKET))


def index_page() -> str:
    """``models/index.md``: every slug, with its page."""
    rows = [f"| [{slug}]({_page_of(slug)}.md) | {what} | {by} |" for slug, by, what in _entries()]
    table = "\n".join(["| slug | makes | from |", "|---|---|---|", *rows])
    pages = dict.fromkeys([_page_of(slug) for slug, _, _ in _entries()] + list(BESIDE))
    tree = "\n".join(["```{toctree}", ":hidden:", "", *pages, "```"])
    return f"{INDEX}\n{table}\n\n{tree}\n"


INDEX = """\
# Models

<!-- Written by docs/generate.py: nox -s docs -->

What the plugins in this repository add; `flashdreams list` shows what is installed. The slugs of Wan's size
want a GPU and a download, which [plan](../plan.md) and [download](../weights.md) tell beforehand; the others
run on any CPU, at once.
"""


def _page_of(slug: str) -> str:
    """The page of a slug: its own, or that of the slug which it is a variant of."""
    pages = {path.stem for path in (HERE / "models").glob("*.md")} | slugs().keys()
    return max((page for page in pages if slug.startswith(page)), key=len)


@cache
def page(slug: str, distribution: str) -> str:
    """The page of a slug."""
    config = installed_registry().runner_config(slug)
    plan = plan_of(config, cards=CARDS.values())
    blocks = [
        f"# {slug}\n\n<!-- Written by docs/generate.py: nox -s docs -->",
        config.description,
        "\n".join(_command(config, distribution)),
        "\n".join(_checkpoints(config)),
        "\n".join(_memory(plan)),
        "\n".join(_floors(plan)),
        f"## Parity\n\nThe same code at a tiny size is held {PARITY[distribution]}: see [parity](parity.md).",
    ]
    return "\n\n".join(blocks) + "\n"


def _command(config: RunnerConfig, distribution: str) -> Iterator[str]:
    image = " --image start.png" if "i2v" in config.runner_name else ""
    yield f"From `{distribution}`. What it would fetch, what it would need, and the video:\n"
    yield f"```sh\nflashdreams download {config.runner_name} --dry-run"
    yield f"flashdreams plan {config.runner_name}"
    if references_of(config):
        yield "```\n\n```sh needs: gpu"
    yield f'flashdreams run {config.runner_name}{image} --prompt "A red fox trots through snow"\n```'


def _checkpoints(config: RunnerConfig) -> Iterator[str]:
    yield "## Checkpoints\n"
    references = references_of(config)
    if not references:
        yield "None: its weights are random, made on this machine from a seed, the same every time."
        return
    yield "| weights | from | licence |"
    yield "|---|---|---|"
    for reference in references:
        entry = find_entry(reference)
        yield f"| `{reference}` | {_source(entry)} | {entry.licence or 'as its model card says'} |"


def _source(entry: LockEntry) -> str:
    files = ", ".join(f"`{path}`" for path in entry.paths)
    return f"`{entry.repo or entry.url}`: {files}" if entry.repo else f"<{entry.url}>"


def _memory(plan: Plan) -> Iterator[str]:
    size, memory = plan.size, plan.memory
    yield "## Memory\n"
    yield (
        f"At {size.width}x{size.height} pixels in {size.dtype}, chunks of {size.chunk} latent frames in a "
        f"window of {size.window}:\n"
    )
    yield "| what | GiB |"
    yield "|---|---|"
    held = {
        "weights that stay": memory.weights,
        "KV cache": memory.kv_cache,
        "conditions, noise and the last chunk": memory.context + memory.noise + memory.pixels,
        "states of encoder and decoder": memory.states,
        "most at once in a chunk": plan.chunk_peak,
        "most at once while the prompt is encoded": plan.peak if plan.busiest == "context" else 0,
    }
    for what, count in held.items():
        if count:
            yield f"| {what} | {_figure(count / GIB)} |"


def _floors(plan: Plan) -> Iterator[str]:
    yield "## The shortest a chunk can take\n"
    yield (
        "From its FLOPs and the fewest bytes that it moves, by the cards' data sheets: a floor that nobody "
        "reaches, not a measurement.\n"
    )
    yield "| card | fits | chunk, s | pixel frames per second |"
    yield "|---|---|---|---|"
    for verdict in plan.cards:
        yield (
            f"| {verdict.card.name} | {_fits(verdict.fits, verdict.context_on_host)} "
            f"| {_figure(verdict.period)} | {_figure(verdict.fps)} |"
        )


def _fits(fits: bool, on_host: bool) -> str:
    if not fits:
        return "no"
    return "yes, with the prompt encoded in host memory" if on_host else "yes"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
