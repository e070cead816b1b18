"""A chunk that nobody sees: to learn whether the model works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.dream import Dream
from flashdreams_serve.host.orders import Opening

if TYPE_CHECKING:
    from flashdreams.infra.runner.base import Runner


def make_one_chunk(runner: Runner) -> None:
    """Begin a rollout, make its first chunk, and close it.

    Raises:
        Exception: Whatever goes wrong with that.
    """
    dream = Dream.begin(runner, ControlLog(_opening(runner), runner.steering(), most_bytes=0))
    try:
        runner.showing(dream.make({})).arrived()
        dream.finalize()
    finally:
        dream.close()


def _opening(runner: Runner) -> Opening:
    if not runner.steering().needs_image:
        return Opening(seed=0)
    import numpy as np

    pipeline = runner.pipeline.config
    return Opening(seed=0, image=np.zeros((pipeline.height, pipeline.width, 3), dtype=np.uint8))
