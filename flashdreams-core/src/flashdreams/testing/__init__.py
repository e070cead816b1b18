"""The conformance kit: what authors of plugins test with.

Subclass a contract, set its attribute, and pytest runs its checks; ``flashdreams plugins check`` runs those
of an installed plugin from outside. A toy model and finer tools lie in the modules beside this one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flashdreams.testing.component_contracts import DecoderContract, EncoderContract, SchedulerContract
    from flashdreams.testing.contract import Contract
    from flashdreams.testing.kernel_contract import KernelContract
    from flashdreams.testing.pipeline_contract import PipelineContract
    from flashdreams.testing.plugin_contract import PluginContract

__all__ = [
    "Contract",
    "DecoderContract",
    "EncoderContract",
    "KernelContract",
    "PipelineContract",
    "PluginContract",
    "SchedulerContract",
]

_MODULES = {
    "Contract": "contract",
    "DecoderContract": "component_contracts",
    "EncoderContract": "component_contracts",
    "KernelContract": "kernel_contract",
    "PipelineContract": "pipeline_contract",
    "PluginContract": "plugin_contract",
    "SchedulerContract": "component_contracts",
}


def __getattr__(name: str) -> Any:
    """Import a contract only when it is asked for: checking how a plugin is installed needs no torch."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
