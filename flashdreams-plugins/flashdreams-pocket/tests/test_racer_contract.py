"""pocket-racer keeps every promise of a pipeline."""

from flashdreams.testing import PipelineContract


class TestRacer(PipelineContract):
    slug = "pocket-racer"
