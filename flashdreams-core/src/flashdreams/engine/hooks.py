"""Whether somebody watches the modules of a pipeline."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module


class HookWatch:
    """Knows whether any module of a pipeline has a forward hook.

    Graphs, lines and compiled code call no module, and so no hook. One that is there when a chunk begins is
    called for that chunk all the same: the chunk is computed as it is written.
    """

    def __init__(self, pipeline: nn.Module) -> None:
        self._hooks: list[dict[int, Any]] = [
            torch_module._global_forward_hooks,
            torch_module._global_forward_pre_hooks,
            *(m._forward_hooks for m in pipeline.modules()),
            *(m._forward_pre_hooks for m in pipeline.modules()),
        ]

    @property
    def is_watching(self) -> bool:
        """Whether there is a hook now."""
        return any(self._hooks)
