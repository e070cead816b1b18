"""What a slug needs, before anything is loaded: memory, FLOPs, and the shortest time they can take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flashdreams.plan.cards import CARDS, Card
    from flashdreams.plan.figures import Plan
    from flashdreams.plan.planner import plan_of

__all__ = ["CARDS", "Card", "Plan", "plan_of"]

_HOMES = {"CARDS": "cards", "Card": "cards", "Plan": "figures", "plan_of": "planner"}


def __getattr__(name: str) -> Any:
    """Import a module only when something of it is asked for: most runs need none but the first check."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
