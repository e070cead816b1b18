"""Every hook that a plugin can implement. This file is the whole plugin API.

A plugin is a light module (no torch, no numpy) named by one entry point of its distribution::

    [project.entry-points."flashdreams.plugins"]
    my-plugin = "my_package.plugin"

In it, functions marked with :data:`hookimpl` implement hooks by their name. Each hook is optional. An
implementation may take fewer arguments than the hook offers, so hooks can gain arguments later.

The first three hooks say what the plugin adds. They are called once per process, before any work, each
plugin on its own: a plugin that raises is named in one line and the rest goes on. The others tell what
happens while a video is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from flashdreams.plugins.specs import CommandSpec, ComponentSpec, RunnerSpec

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.infra.pipeline.rollout import Rollout

__all__ = ["hookimpl"]

hookspec = pluggy.HookspecMarker("flashdreams")
hookimpl = pluggy.HookimplMarker("flashdreams")
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def flashdreams_runners() -> list[RunnerSpec]:  # type: ignore[empty-body]
    """The slugs that this plugin adds.

    Called: once, by everything that needs slugs, ``flashdreams list`` among it.
    May not: import torch, numpy or a model; read files; use the network.
    Returns: a list of specs. Their targets are loaded when a slug is asked for.
    """


@hookspec
def flashdreams_components() -> list[ComponentSpec]:  # type: ignore[empty-body]
    """The encoders, transformers, schedulers, decoders, ... that this plugin adds.

    Called: once, by everything that needs slugs or components.
    May not: import torch, numpy or a model; read files; use the network; take the name of one of
    core's own components.
    Returns: a list of specs. Their targets are loaded when a component is asked for.
    """


@hookspec
def flashdreams_commands() -> list[CommandSpec]:  # type: ignore[empty-body]
    """The commands that this plugin adds to ``flashdreams``.

    Called: once, by the command line.
    May not: import torch, numpy or a model; read files; use the network; take the name of one of
    core's own commands.
    Returns: a list of specs. A target is loaded when its command is typed.
    """


@hookspec
def flashdreams_rollout_started(rollout: Rollout) -> None:
    """A rollout has begun, or goes on from a snapshot; ``rollout.next_index`` is the chunk that comes first.

    Called: at the end of ``initialize_cache``, ``restore`` and ``fork``, in the thread that called it.
    May not: change the rollout; wait for the device.
    Returns: nothing. An implementation that raises is logged once and called no more.
    """


@hookspec
def flashdreams_chunk_generated(rollout: Rollout, index: int, chunk: Tensor) -> None:
    """A chunk has been made, and perhaps will be made again before it is final.

    Called: at the end of ``generate``, outside the denoising loop, in the thread that called it.
    May not: change ``chunk`` (pixels ``[B, 3, T, H, W]`` in [-1, 1], or latents where there is no
    decoder) or the rollout; wait for the device longer than the video can.
    Returns: nothing. An implementation that raises is logged once and called no more.
    """


@hookspec
def flashdreams_rollout_finished(rollout: Rollout) -> None:
    """A rollout is about to give its memory back.

    Called: by ``close()`` or at the end of a ``with`` block; not for a rollout that is only collected.
    May not: change the rollout or keep it.
    Returns: nothing. An implementation that raises is logged once and called no more.
    """
