"""The promise about rollouts that are computed together: what it tries, and what it leaves out."""

from unittest import SkipTest

import pytest
import torch
from pipeline_mutants.mutant import Mutant
from pipeline_mutants.remembering import Boxed
from pipeline_mutants.together import SideBySide

from flashdreams.errors import BrokenPromiseError
from flashdreams.testing.toy import ToyControlEncoder, ToyPromptEncoder, ToyTransformer


class BoxesSideBySide(Mutant):
    class transformer(Boxed):
        box = SideBySide


class ControlWithoutRows(Mutant):
    """Its chunks are one batch where both are steered alike."""

    class encoder(ToyControlEncoder):
        def forward(self, input, state):
            control, state = super().forward(input, None)
            return control[0], state


@pytest.mark.parametrize("sound", [BoxesSideBySide, ControlWithoutRows])
def test_sound_models_keep_it(sound):
    sound().test_rollouts_computed_together_equal_each_alone()


def test_the_prompt_of_one_for_all_breaks_it():
    class PromptOfTheFirst(Mutant):
        class transformer(ToyTransformer):
            def _condition(self, timestep, prompt, control, like):
                return super()._condition(timestep, prompt[:1].expand_as(prompt), control, like)

    with pytest.raises(BrokenPromiseError, match="Chunk 1 of rollout 0 of two computed together"):
        PromptOfTheFirst().test_rollouts_computed_together_equal_each_alone()


def test_a_model_that_fails_at_a_batch_is_told_what_is_asked_of_it():
    class OneRowAlone(Mutant):
        class transformer(ToyTransformer):
            def _condition(self, timestep, prompt, control, like):
                return super()._condition(timestep, prompt, control.expand(1), like)

    with pytest.raises(
        BrokenPromiseError, match=r"as one batch: RuntimeError(.|\n)*a row for each of several"
    ):
        OneRowAlone().test_rollouts_computed_together_equal_each_alone()


def test_prompts_that_keep_rollouts_apart_are_left_out():
    """Those of other lengths do here; a fault is found all the same."""

    class ARowForEachLetter(Mutant):
        class prompt_encoder(ToyPromptEncoder):
            def forward(self, conditions):
                return super().forward(conditions).unsqueeze(1).repeat(1, len(conditions.prompts[0]), 1)

        class transformer(ToyTransformer):
            def _condition(self, timestep, prompt, control, like):
                return super()._condition(timestep, prompt.mean(1), control[:1], like)

    with pytest.raises(BrokenPromiseError, match="Chunk 1 of rollout 0 of two computed together"):
        ARowForEachLetter().test_rollouts_computed_together_equal_each_alone()


def test_what_cannot_be_gathered_is_left_out():
    class BoxesApart(Mutant):
        transformer = Boxed

    with pytest.raises(SkipTest, match="states have different forms, or cannot be gathered"):
        BoxesApart().test_rollouts_computed_together_equal_each_alone()


def test_a_model_none_of_whose_chunks_is_made_in_a_batch_is_left_out():
    class AllGiven(Mutant):
        class transformer(ToyTransformer):
            def given_chunk(self, cache, index):
                return torch.zeros(1, 4, 2, 4, 4)

    with pytest.raises(SkipTest, match="chunk 2 of one is given, and not made"):
        AllGiven().test_rollouts_computed_together_equal_each_alone()
