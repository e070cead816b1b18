"""The run-time hooks: plugins that watch rollouts, told one at a time. Imported where torch is."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from flashdreams.infra.pipeline.observers import Observers
from flashdreams.plugins.blame import FAILURES, broken
from flashdreams.plugins.loading import LoadedPlugin

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.rollout import Rollout

_LOG = logging.getLogger(__name__)


class PluginObservers(Observers):
    """Tells every plugin that listens. One that raises is logged once and told nothing more."""

    def __init__(self, plugins: Iterable[LoadedPlugin]) -> None:
        self._plugins = list(plugins)

    def rollout_started(self, rollout: Rollout) -> None:
        """A rollout has begun; no chunk has been made yet."""
        self._tell("flashdreams_rollout_started", rollout=rollout)

    def chunk_generated(self, rollout: Rollout, index: int, chunk: Tensor) -> None:
        """Chunk ``index`` has been made: pixels (or latents) ``[B, C, T, H, W]``, not to be changed."""
        self._tell("flashdreams_chunk_generated", rollout=rollout, index=index, chunk=chunk)

    def rollout_finished(self, rollout: Rollout) -> None:
        """The rollout is about to be closed."""
        self._tell("flashdreams_rollout_finished", rollout=rollout)

    def _tell(self, hook: str, **event: Any) -> None:
        for plugin in self._plugins:
            try:
                getattr(plugin.manager.hook, hook)(**event)
            except FAILURES as error:
                self._plugins = [other for other in self._plugins if other is not plugin]
                self._log(plugin, hook, error)

    def _log(self, plugin: LoadedPlugin, hook: str, error: BaseException) -> None:
        fault = broken(f"plugin {plugin.origin.plugin}", plugin.origin, error)
        _LOG.warning("%s, in %s(); it is told nothing more.", fault.blame, hook)
        _LOG.debug("%s", fault.traceback)
