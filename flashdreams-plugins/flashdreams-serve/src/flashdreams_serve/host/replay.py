"""A rollout made again from its control log: the same frames, without clients and without a clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.dream import Dream

if TYPE_CHECKING:
    from flashdreams.infra.runner.base import Runner
    from flashdreams.io.writer import Frames


def replay(runner: Runner, log: ControlLog) -> Iterator[tuple[Frames, str]]:
    """The frames of each chunk of a log, uint8 ``[T, H, W, 3]`` as the model makes them, and its path.

    Raises:
        InputError: The model does not take what the log holds.
        NoFreeSlotError: As many rollouts are alive as the pipeline has slots.
    """
    dream = Dream.begin(runner, log.begun_again())
    try:
        for news in log.per_chunk():
            leaving, how = runner.showing(dream.make(news)), dream.rollout.path
            dream.finish(news)
            yield leaving.arrived(), how
    finally:
        dream.close()
