"""The tiny slug keeps every promise of a pipeline, with each way of knowing where a key stands."""

from typing import ClassVar

import pytest

from flashdreams.testing import PipelineContract

SMALL = dict(height=32, width=48)


class TestTiny(PipelineContract):
    slug = "self-forcing-tiny"
    overrides: ClassVar = dict(SMALL, diffusion_model=dict(transformer=dict(window=9, layers=2)))


@pytest.mark.slow
class TestTinyWithoutEnd(PipelineContract):
    slug = "self-forcing-tiny"
    overrides: ClassVar = dict(
        SMALL,
        diffusion_model=dict(transformer=dict(window=9, layers=2, sink=3, rope_positions="window")),
    )
