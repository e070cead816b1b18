"""The contract of a pipeline, on toys that keep it, and how it is told which pipeline is meant."""

from typing import ClassVar

import pytest

from flashdreams.errors import BrokenPromiseError, UnknownSlugError
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.testing import PipelineContract
from flashdreams.testing.contract import run_checks
from flashdreams.testing.toy import ToyDecoder, toy_pipeline_config


class Toy(PipelineContract):
    pipeline_config = toy_pipeline_config()
    controls = (0.5, -1.0)
    capabilities = Capabilities(prompts=True, controls=True)

    def conditions(self):
        return {"prompts": ["a road"]}


class TestToyWithoutEnd(Toy):
    overrides: ClassVar = dict(diffusion_model=dict(transformer=dict(sink=2, rope_positions="window")))


class TestToyInBfloat16(Toy):
    overrides: ClassVar = dict(dtype="bfloat16")


class TestToyOfLatentsThatNothingSteers(PipelineContract):
    pipeline_config = derive_config(toy_pipeline_config(), encoder=None, decoder=None)


def outcomes(contract):
    return {result.check: (result.outcome, result.message) for result in run_checks(contract)}


def test_what_is_declared_absent_is_skipped_and_said():
    class Modest(Toy):
        capabilities = Capabilities(
            seeds=False, past=False, prompts=False, controls=False, chunks=1, batch=False, graphs=False
        )

    found = outcomes(Modest)
    assert {outcome for outcome, _ in found.values()} == {"passed", "skipped"}
    said = {check: why for check, (outcome, why) in found.items() if outcome == "skipped"}
    assert said["test_another_seed_makes_another_video"] == "It is declared to depend on no seed."
    assert said["test_the_prompt_matters"] == "It is declared to take no prompts."
    assert said["test_the_control_matters"] == "It is declared to take no controls."
    assert said["test_graph_keys_settle"] == "It is declared not to be held by graphs."
    assert (
        said["test_far_chunks_are_like_near_ones"]
        == "A video has at most 1 of the 1000000 chunks that this takes."
    )
    assert (
        said["test_videos_of_a_batch_do_not_see_each_other"] == "It is declared to make one video at a time."
    )
    assert (
        said["test_whatever_people_set_steers_a_chunk"]
        == "Without a slug there is no runner that offers anything."
    )
    assert len(said) == 21


def test_controls_that_are_declared_have_to_be_shown():
    class Secretive(Toy):
        controls = ()

    with pytest.raises(BrokenPromiseError, match=r"1 is given to try(.|\n)*control_examples\(\)"):
        Secretive().test_the_control_matters()


def test_a_contract_names_its_pipeline():
    class Nameless(PipelineContract):
        pass

    with pytest.raises(BrokenPromiseError, match=r'Write slug = "my-model" in Nameless'):
        Nameless().test_pixels_are_finite()


def test_a_slug_is_one_that_is_installed():
    class Absent(PipelineContract):
        slug = "no-such-slug"

    with pytest.raises(UnknownSlugError, match="no-such-slug"):
        Absent().test_pixels_are_finite()


def test_a_pipeline_is_built_once_and_again_after_a_check_broke_it():
    class Watched(Toy):
        built = 0

        def make_config(self):
            Watched.built += 1
            return super().make_config()

        def test_zzz_breaks(self):
            with self.trial():
                raise BrokenPromiseError("It broke.", "It should not.", "Mend it.")

    Watched().test_pixels_are_finite()
    Watched().test_the_past_matters()
    assert Watched.built == 1
    with pytest.raises(BrokenPromiseError, match="It broke"):
        Watched().test_zzz_breaks()
    Watched().test_pixels_are_finite()
    assert Watched.built == 2


def test_rollouts_that_a_check_left_open_are_closed():
    contract = Toy()
    with contract.trial() as subject:
        pipeline = subject.pipeline
        subject.begin()
        assert pipeline.slots.lent == 1
    assert pipeline.slots.lent == 0


def test_the_config_of_the_contract_is_left_as_it_was():
    before = derive_config(Toy.pipeline_config)

    class Changed(Toy):
        overrides: ClassVar = dict(height=16, slots=1)

    Changed().test_pixels_are_finite()
    assert Changed.pipeline_config == before


class Flickering(ToyDecoder):
    """What a seam looks like where it is small: the first frame of a chunk is a little brighter."""

    def forward(self, latents, state):
        pixels, new = super().forward(latents, state)
        pixels[:, :, :1] *= 0.99
        return pixels, new


class Seamed(Toy):
    def make_config(self):
        config = toy_pipeline_config()
        config.decoder._target = Flickering
        return config


class OpenlySeamed(Seamed):
    capabilities = Capabilities(prompts=True, controls=True, decode_tolerance=0.02)


def test_a_seam_is_allowed_as_far_as_it_is_declared():
    OpenlySeamed().test_decoding_chunk_by_chunk_equals_decoding_the_whole()
    with pytest.raises(BrokenPromiseError, match="Chunk 1 of a video decoded chunk by chunk"):
        Seamed().test_decoding_chunk_by_chunk_equals_decoding_the_whole()
