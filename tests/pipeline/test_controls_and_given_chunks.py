"""What a transformer takes up once a chunk, chunks that are given to it, and where parts are built."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from flashdreams.errors import ComponentError
from flashdreams.infra.config import derive_config
from flashdreams.infra.config.placement import placement, placing
from flashdreams.testing.toy import (
    ToyDecoder,
    ToyDecoderConfig,
    ToyTransformer,
    ToyTransformerConfig,
    toy_pipeline_config,
)


@dataclass(kw_only=True)
class GivenConfig(ToyTransformerConfig):
    """A toy whose first chunk is given."""

    _target: Any = field(default_factory=lambda: Given)


class Given(ToyTransformer):
    """Begins with ones, and steers the other way."""

    def given_chunk(self, cache, index):
        return torch.ones(1, 4, 2, 4, 4) if index == 0 else None

    def take_control(self, cache, index, control):
        return -control


def pipeline():
    transformer = GivenConfig()
    return derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=transformer)).setup()


def test_a_given_chunk_is_decoded_and_seen_by_later_ones():
    ours = pipeline()
    with ours.initialize_cache() as rollout:
        first = ours.generate(0, rollout, input=0.0)
        assert torch.equal(rollout.pending.latents, torch.ones(1, 4, 2, 4, 4))
        expected, _ = ours.decoder(torch.ones(1, 4, 2, 4, 4), None)
        assert torch.equal(first, expected)
        ours.finalize(0, rollout)
        with_given = ours.generate(1, rollout, input=0.0)
    toy = toy_pipeline_config().setup()
    with toy.initialize_cache() as rollout:
        toy.generate(0, rollout, input=0.0)
        toy.finalize(0, rollout)
        assert not torch.equal(with_given, toy.generate(1, rollout, input=0.0))


def test_a_given_chunk_of_another_size_or_dtype_is_refused():
    ours = pipeline()
    for given in (torch.ones(1, 4, 2, 4, 1), torch.ones(1, 4, 2, 4, 4, dtype=torch.float64)):
        ours.diffusion_model.transformer.given_chunk = lambda cache, index, given=given: given
        with ours.initialize_cache() as rollout, pytest.raises(ComponentError) as caught:
            ours.generate(0, rollout, input=0.0)
        assert caught.value.what == f"Given.given_chunk returned {list(given.shape)} in {given.dtype}."


def test_the_passes_get_the_control_that_the_transformer_took_up():
    ours, toy = pipeline(), toy_pipeline_config().setup()
    ours.diffusion_model.transformer.given_chunk = lambda cache, index: None
    with ours.initialize_cache() as one, toy.initialize_cache() as other:
        for index, control in enumerate([0.5, -1.0]):
            assert torch.equal(
                ours.generate(index, one, input=control), toy.generate(index, other, input=-control)
            )
            ours.finalize(index, one)
            toy.finalize(index, other)


@dataclass(kw_only=True)
class PlacedConfig(ToyDecoderConfig):
    """A decoder that remembers where it was built."""

    _target: Any = field(default_factory=lambda: Placed)


class Placed(ToyDecoder):
    """Looks where it is being built."""

    def __init__(self, config):
        super().__init__(config)
        self.built_in = placement()


def test_parts_are_told_the_dtype_and_device_that_they_will_have():
    config = derive_config(toy_pipeline_config(), decoder=PlacedConfig(), dtype="bfloat16")
    assert config.setup().decoder.built_in.dtype == "bfloat16"
    skeleton = config.setup(device="meta")
    assert skeleton.decoder.built_in.device == "meta"
    assert {parameter.device.type for parameter in skeleton.parameters()} == {"meta"}
    assert (placement().dtype, placement().device) == ("float32", "cpu")


def test_what_is_not_said_stays_as_it_was():
    with placing(dtype="float16"), placing(device="meta") as inner:
        assert (inner.dtype, inner.device) == ("float16", "meta")
    assert placement().dtype == "float32"
