"""What a pipeline checks before a rollout begins or goes on."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flashdreams.errors import FieldValueError, InputError, RolloutError, SnapshotError
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.streaming import Streaming

if TYPE_CHECKING:
    import torch

    from flashdreams.infra.pipeline.base import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout


def check_channels(config: StreamInferencePipelineConfig) -> None:
    """Refuse a decoder of latents that the transformer does not make, where it says what it decodes.

    Raises:
        FieldValueError: Its ``latent_channels`` are others than the transformer's.
    """
    decoded = getattr(config.decoder, "latent_channels", None)
    made = config.diffusion_model.transformer.latent_channels
    if decoded not in (None, made):
        name = type(config.decoder).__name__
        raise FieldValueError(
            f"The decoder {name} has {decoded} latent_channels, the transformer {made}.",
            "A decoder turns the latents of its transformer into pixels.",
            "Take a decoder of such latents (flashdreams components decoder), or set both to the same.",
        )


def check_seed(seed: int) -> int:
    """The seed, a whole number in [0, 2**63).

    Raises:
        InputError: It is none.
    """
    try:
        whole = operator.index(seed)
    except TypeError:
        whole = -1
    if not 0 <= whole < 2**63:
        raise InputError(
            f"The seed is {seed!r}.",
            "A seed is a whole number from 0 to 2**63 - 1.",
            "Take 0, for instance.",
        )
    return whole


def prompt_per_member(
    prompts: str | list[str] | None, text: str | list[str] | None, batch_size: int
) -> list[str] | None:
    """One prompt for each video of the batch; None where there are none.

    Raises:
        InputError: The batch is no number of videos, prompts were given twice, or do not match the batch.
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(
            f"batch_size is {batch_size!r}.",
            "It counts the videos made side by side, 1 or more.",
            "Take 1, for instance.",
        )
    if prompts is not None and text is not None:
        raise InputError(
            "Both prompts and text were given.",
            "They are two names of the same thing.",
            "Give prompts alone.",
        )
    given = text if prompts is None else prompts
    if given is None:
        return None
    members = [given] if isinstance(given, str) else list(given)
    if len(members) not in (1, batch_size):
        raise InputError(
            f"{len(members)} prompts were given for a batch of {batch_size}.",
            "Every video of the batch has one prompt, or all share one.",
            f"Give 1 or {batch_size} prompts, or set batch_size to {len(members)}.",
        )
    return members if len(members) == batch_size else members * batch_size


def initial_state(component: Any, context: Mapping[str, Any] | None) -> Any:
    """The state that a component begins a rollout with.

    Raises:
        InputError: A context was given to a component that takes none.
    """
    if isinstance(component, Streaming):
        return component.initialize_state(**(context or {}))
    if context:
        raise InputError(
            f"A context with {', '.join(context)} was given.",
            "Only a streaming encoder or decoder takes one.",
            "Leave it out.",
        )
    return None


def check_ours(rollout: Rollout, pipeline: StreamInferencePipeline) -> None:
    """Refuse a rollout of another pipeline.

    Raises:
        RolloutError: It is one.
    """
    if rollout.pipeline is not pipeline:
        raise RolloutError(
            f"A rollout of the pipeline {rollout.pipeline.config.name!r} was given to another.",
            "A rollout goes on where it began.",
            "Use rollout.pipeline, or restore a snapshot of it here.",
        )


def check_same_config(taken: StreamInferencePipelineConfig, here: StreamInferencePipelineConfig) -> None:
    """Refuse a snapshot from a pipeline that computes something else.

    Raises:
        SnapshotError: The configs differ in more than name and slots.
    """
    if replace(taken, name="", slots=1) != replace(here, name="", slots=1):
        raise SnapshotError(
            f"The snapshot was taken from the pipeline {taken.name!r}, whose config differs.",
            "A snapshot goes on where every part is the same.",
            "Set a pipeline up from the config that it was taken with, snapshot.config.",
        )


def check_may_move(lent: int, dtype: torch.dtype, cast_to: torch.dtype) -> None:
    """Refuse to move or cast a pipeline whose rollouts would not come along.

    Raises:
        RolloutError: Rollouts are alive.
        FieldValueError: It would be cast to another dtype.
    """
    if lent:
        raise RolloutError(
            f"The pipeline was moved or cast with {lent} rollouts alive.",
            "Their memory lies where the pipeline was.",
            "Close them first, or snapshot them and restore them afterwards.",
        )
    if cast_to != dtype:
        raise FieldValueError(
            f"The pipeline was cast from {dtype} to {cast_to}.",
            "Its dtype is part of its config, where noise and caches take it from.",
            "Derive a config with another dtype and set that up.",
        )
