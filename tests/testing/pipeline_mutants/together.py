"""Faults that show only where rollouts with conditions of their own are computed as one batch."""

from flashdreams.testing.toy import ToyDecoder, ToyTransformer
from pipeline_mutants.mutant import Mutant
from pipeline_mutants.remembering import Box, Boxed


class SideBySide(Box):
    """As it should be: several boxes in one, each in a row of its own."""

    def gather(self, others):
        for row, other in zip(self.tensor, others, strict=True):
            row.copy_(other.tensor[0])

    def scatter(self, others):
        for row, other in zip(self.tensor, others, strict=True):
            other.tensor[0].copy_(row)


class TestControlOfTheFirstForAll(Mutant):
    found_by = "test_rollouts_computed_together_equal_each_alone"

    class transformer(ToyTransformer):
        def _condition(self, timestep, prompt, control, like):
            return super()._condition(timestep, prompt, control[:1], like)


class TestGathersTheFirstAlone(Mutant):
    found_by = "test_rollouts_computed_together_equal_each_alone"

    class transformer(Boxed):
        class box(SideBySide):
            def gather(self, others):
                self.tensor.copy_(others[0].tensor)


class TestFramesBeforeVideos(Mutant):
    found_by = "test_rollouts_computed_together_equal_each_alone"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            last = None if state is None else state[-1].unsqueeze(2)
            pixels, _ = super().forward(latents, last)
            return pixels, latents.movedim(2, 0).clone()
