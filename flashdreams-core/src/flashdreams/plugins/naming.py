"""Components of the registry for the fields of a config, and back."""

from __future__ import annotations

from typing import Any

from flashdreams.errors import UnknownComponentError, did_you_mean
from flashdreams.infra.config.file import FindComponent, NameComponent
from flashdreams.plugins.registry import Registry


def finder(registry: Registry) -> FindComponent:
    """Finds the config of a component, from the dotted path of its field and its name.

    A component is of the kind of its field's name, or of its last words: ``context_encoder`` takes
    components of kind ``context_encoder`` and of kind ``encoder``.

    The function raises:
        UnknownComponentError: No component of that kind has the name.
        PluginError: Its plugin fails, or several claim the name.
    """

    def find(where: str, name: str) -> Any:
        specs = [entry.spec for entry in registry.components()]
        fitting = [spec for spec in specs if _fits(where, spec.kind)]
        kinds = [spec.kind for spec in fitting if spec.name == name] or [spec.kind for spec in fitting]
        if kinds:
            return registry.component_config(max(kinds, key=len), name)
        raise UnknownComponentError(
            f"There is no component {name!r} for {where}.",
            did_you_mean(where.rpartition(".")[2], {spec.kind for spec in specs}),
            "See every kind and name with: flashdreams components",
        )

    return find


def namer(registry: Registry) -> NameComponent:
    """Names the component that a config was made of, for the dotted path of its field."""

    def name(where: str, config: Any) -> tuple[str, Any] | None:
        entry = registry.component_of(config)
        if entry is None or not _fits(where, entry.spec.kind):
            return None
        return entry.spec.name, registry.component_config(entry.spec.kind, entry.spec.name)

    return name


def _fits(where: str, kind: str) -> bool:
    return f"_{where.rpartition('.')[2]}".endswith(f"_{kind}")
