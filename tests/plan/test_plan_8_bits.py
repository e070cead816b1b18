"""A plan counts what 8 bits change: bytes of weights and of the KV cache, and products in float8."""

import pytest

from flashdreams.engine.quantise import WeightOnlyLinear
from flashdreams.infra.config import derive_config
from flashdreams.plan import Card, plan_of

SIZES = dict(width=64, heads=4, layers=3)


def plans(toy_config, *ways):
    config = toy_config(dtype="bfloat16", transformer=SIZES)
    return [plan_of(derive_config(config, pipeline=dict(quantise=how))) for how in ways]


def transformer_bytes(plan):
    return next(each.bytes for each in plan.weights if each.part == "transformer")


@pytest.mark.parametrize("how", ["fp8", "fp8-weights", "int8-weights"])
def test_weights_take_the_bytes_that_they_take(toy_config, how):
    (plan,) = plans(toy_config, how)
    config = derive_config(toy_config(dtype="bfloat16", transformer=SIZES), pipeline=dict(quantise=how))
    pipeline = config.pipeline.setup()
    transformer = pipeline.diffusion_model.transformer
    assert sum(isinstance(part, WeightOnlyLinear) for part in transformer.modules()) == 4 * 3
    tensors = [t for name, t in transformer.state_dict().items() if not name.startswith("context_encoder")]
    assert transformer_bytes(plan) == sum(t.nbytes for t in tensors)


def test_parameters_are_as_many_and_flops_too(toy_config):
    plain, scaled, kept = plans(toy_config, "none", "fp8", "int8-weights")
    for other in (scaled, kept):
        assert sum(w.parameters for w in other.weights) == sum(w.parameters for w in plain.weights)
        assert other.per_chunk().flops == plain.per_chunk().flops
        assert transformer_bytes(other) < 0.6 * transformer_bytes(plain)
        assert other.per_chunk().moved < plain.per_chunk().moved


def test_products_of_blocks_are_in_float8_and_others_are_not(toy_config):
    plain, scaled, kept = plans(toy_config, "none", "fp8", "fp8-weights")
    assert plain.per_chunk().float8_flops == kept.per_chunk().float8_flops == 0
    tokens, passes = 2 * 16, 3
    of_blocks = passes * 3 * 2 * tokens * (64 * 192 + 64 * 64 + 2 * 64 * 128)
    assert scaled.per_chunk().float8_flops == of_blocks
    quick = Card(name="card", flops=1e12, bandwidth=1e30, memory=10**12, source="made up")
    periods = [each.cards[0].period for each in map_cards(toy_config, quick)]
    spared = of_blocks / 1e12 / 2
    assert periods[0] - periods[1] == pytest.approx(spared)


def map_cards(toy_config, card):
    config = toy_config(dtype="bfloat16", transformer=SIZES)
    ways = ("none", "fp8")
    return [plan_of(derive_config(config, pipeline=dict(quantise=how)), cards=[card]) for how in ways]


def test_a_compact_kv_cache_takes_half_and_a_scale(toy_config):
    config = toy_config(dtype="bfloat16", transformer=SIZES)
    small = dict(diffusion_model=dict(transformer=dict(cache_dtype="float8_e4m3fn")))
    plain, compact = plan_of(config), plan_of(derive_config(config, pipeline=small))
    keys_and_values = 3 * 2 * (6 * 16) * 64
    assert plain.memory.kv_cache - compact.memory.kv_cache == keys_and_values * (2 - 1 - 2 / 16)
    steps = [{each.name: each for each in plan.passes}["step"].full.moved for plan in (plain, compact)]
    assert steps[0] - steps[1] == keys_and_values * 8 // 6 * (2 - 1 - 2 / 16)
