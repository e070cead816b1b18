"""A slug for ``flashdreams warm --check``: on the CPU, with random weights instead of those to be fetched."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from flashdreams.errors import DeviceMemoryError, UsageError
from flashdreams.infra.config import derive_config
from flashdreams.infra.config.fields import config_fields, is_config
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.lock import is_reference, references_of

RANDOM = "random"
"""What parts call weights that are drawn."""

_log = logging.getLogger(__name__)


def stood_in(config: RunnerConfig) -> tuple[RunnerConfig, list[str]]:
    """The config on the CPU, with random weights wherever its parts name some to be fetched.

    Returns:
        The config, and the dotted paths of the fields that are random now.

    Raises:
        UsageError: Files would have to be fetched all the same, those of a tokenizer for instance.
        DeviceMemoryError: The memory of this machine does not hold what would be checked.
    """
    changed = derive_config(config, **_randomised(config), device="cpu")
    random = [path for path, value in _texts(config) if _is_weights(path, value)]
    _check_here(changed)
    _check_memory(changed)
    return changed, random


def _randomised(config: Any) -> dict[str, Any]:
    """The changes of a config, and of those nested in it, that make weights random."""
    changes: dict[str, Any] = {}
    for info in config_fields(config):
        value = getattr(config, info.name)
        nested = _randomised(value) if is_config(value) else {}
        if nested:
            changes[info.name] = nested
        elif isinstance(value, str) and _is_weights(info.name, value):
            changes[info.name] = RANDOM
    return changes


def _texts(config: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and value of every field that is text."""
    for info in config_fields(config):
        value = getattr(config, info.name)
        if is_config(value):
            yield from _texts(value, f"{where}{info.name}.")
        elif isinstance(value, str):
            yield f"{where}{info.name}", value


def _is_weights(path: str, value: str) -> bool:
    return path.rpartition(".")[2] == "weights" and is_reference(value)


def _check_here(config: RunnerConfig) -> None:
    from flashdreams.io.needs import needs_of

    missing = [reference for reference in references_of(config) if not needs_of(reference).is_complete]
    if missing:
        fields = [f"--{path.replace('_', '-')} {text}" for path, text in _texts(config) if text in missing]
        raise UsageError(
            f"{config.runner_name} needs files that are not here: {', '.join(fields or missing)}.",
            "The check makes weights random, but a model that reads published files, such as the tokenizer "
            "of its context encoder, cannot begin without them.",
            f"{_smaller()} Or give it a context encoder that needs no file.",
        )


def _check_memory(config: RunnerConfig) -> None:
    from flashdreams.io.memory import binary, free_host_memory
    from flashdreams.plan.fit import check_fits

    try:
        check_fits(config)
    except DeviceMemoryError as error:
        raise DeviceMemoryError(error.what, error.right, _smaller()) from error
    free, recorded = free_host_memory(), _least_recorded(config)
    if free is not None and recorded > free:
        raise DeviceMemoryError(
            f"The graphs of {config.runner_name} take {binary(recorded)} at least to be recorded, and this "
            f"machine has {binary(free)} free.",
            "The check keeps all that the operators of every graph make on the way.",
            _smaller(),
        )


def _least_recorded(config: RunnerConfig) -> int:
    """Bytes that recordings keep at least; 0 where that cannot be planned.

    Beside its weights and the context, the plan counts of a first pass the fewest bytes that it can move:
    inputs, results, and keys and values once written and once read. Recorded operator by operator, queries,
    keys, values and what attention makes of them alone are as much, in every pass at every fill level.
    """
    from flashdreams.plan import plan_of

    try:
        plan = plan_of(config, cards=[])
    except Exception:
        _log.info("What is recorded of %s cannot be planned.", config.runner_name, exc_info=True)
        return 0
    transformer = config.effective_pipeline.diffusion_model.transformer
    levels = transformer.window // transformer.chunk if transformer.attention_backend == "auto" else 1
    held = plan.memory.weights + plan.memory.context
    kept = {each.name: each.times * max(0, each.first.moved - held) for each in plan.passes}
    return levels * (kept.get("step", 0) + kept.get("finalize", 0)) + kept.get("decode", 0)


def _smaller() -> str:
    """What to check instead, in words."""
    from flashdreams.plugins.registry import installed_registry

    slugs = [entry.spec.slug for entry in installed_registry().runners()]
    tiny = [slug for slug in slugs if "tiny" in slug.split("-")]
    named = " or ".join(f"`flashdreams warm {slug} --check`" for slug in tiny)
    return (
        f"Check the same code at a toy size: {named}." if tiny else "Check a smaller slug of the same code."
    )
