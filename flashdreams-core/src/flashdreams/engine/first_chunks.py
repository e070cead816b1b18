"""The first chunks of a rollout, made before anybody asks for them."""

from __future__ import annotations

from typing import Any

from flashdreams.errors import FlashDreamsError
from flashdreams.infra.pipeline.rollout import Rollout


def make_first_chunks(rollout: Rollout, control: Any) -> None:
    """Make the first two chunks, so that memory which a slot allocates later is there, and code is called.

    Raises:
        FlashDreamsError: The rollout cannot make even the first.
    """
    pipeline = rollout.pipeline
    try:
        for index in range(2):
            pipeline.generate(index, rollout, input=control)
            pipeline.finalize(index, rollout)
    except FlashDreamsError:
        if rollout.next_index == 0:
            raise  # some models make videos of one chunk
