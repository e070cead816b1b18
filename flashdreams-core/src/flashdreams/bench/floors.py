"""The least time that a chunk can take, by the plan and the rates of a card."""

from __future__ import annotations

from flashdreams.plan.cards import Card
from flashdreams.plan.figures import Plan, Work


def floor_at(plan: Plan, card: Card, index: int) -> float | None:
    """Least seconds of chunk ``index``, its passes one after another; None where a pass is not known.

    What a pass takes grows evenly from the first chunk to the one with a full window, as the past does that
    attention reads.
    """
    if {each.part for each in plan.unplanned} & {"step", "decode", "finalize"}:
        return None
    full = plan.size.window // plan.size.chunk - 1
    filled = min(index / full, 1.0) if full else 1.0
    works = [
        (each.times, _between(each.first, each.full, 1.0 if each.name == "decode" and index else filled))
        for each in plan.passes
    ]
    dtype = plan.size.dtype
    return sum(
        times * card.seconds(work.flops, work.moved, dtype, work.float8_flops, work.attention_flops)
        for times, work in works
    )


def _between(first: Work, full: Work, share: float) -> Work:
    def mixed(name: str) -> int:
        at_first: int = getattr(first, name)
        grown: int = getattr(full, name) - at_first
        return round(at_first + share * grown)

    return Work(mixed("flops"), mixed("moved"), mixed("float8_flops"), mixed("attention_flops"))
