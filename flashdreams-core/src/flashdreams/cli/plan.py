"""``flashdreams plan SLUG``: what a run would need, before anything is loaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flashdreams.cli.options import JSON, Option, stdout_kept, whole_number
from flashdreams.cli.request import SlugCommand

if TYPE_CHECKING:
    from flashdreams.infra.runner.config import RunnerConfig
    from flashdreams.plan.cards import Card

SUMMARY = "Show the memory and the work of a slug, and how fast each card can be at best; loads nothing."

_CARD = Option("--card", "Only this card, such as H100, or cpu for this machine; may be repeated.", "NAME")
_BATCH = Option("--batch", "Videos side by side.", "N")
COMMAND = SlugCommand("plan", SUMMARY, (_CARD, _BATCH, JSON))


def main(argv: Sequence[str]) -> int:
    """Print the plan of what the line would run.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    request = COMMAND.read(argv)
    if request is None:
        return 0
    from flashdreams.cli.plan_text import plan_text
    from flashdreams.plan import plan_of

    names, batch = request.options.get(_CARD.name, []), request.options.get(_BATCH.name, [])
    if sys.stderr.isatty():
        print(f"Running {request.slug} on shapes; a large model takes some seconds.", file=sys.stderr)
    with stdout_kept():
        cards = _cards(names, request.config)
        plan = plan_of(request.config, batch_size=_count(batch[-1]) if batch else None, cards=cards)
    print(json.dumps(plan.as_dict(), indent=2) if JSON.name in request.options else plan_text(plan))
    return 0


def _cards(names: Sequence[str], config: RunnerConfig) -> list[Card]:
    """The cards of these names, all where none is named; the CPU is measured as the run would use it."""
    from flashdreams.infra.device import cpu_threads
    from flashdreams.plan.cards import CARDS, THIS_CPU, find_card
    from flashdreams.plan.this_cpu import measure_cpu

    wanted = [name.lower() if name.lower() == THIS_CPU else find_card(name).name for name in names]
    cards = [CARDS[name] for name in CARDS if name in (wanted or CARDS)]
    if THIS_CPU in (wanted or [THIS_CPU]):
        with cpu_threads(config.threads):
            cards.append(measure_cpu(config.effective_pipeline.dtype))
    return cards


def _count(text: str) -> int:
    return whole_number(_BATCH, text, right="It counts videos, 1 or more.", next=f"Write {_BATCH.name} 1.")
