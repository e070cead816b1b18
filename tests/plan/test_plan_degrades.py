"""What cannot be planned is told; and nothing is read, whatever the config names."""

import pytest

from flashdreams.cli.plan_text import plan_text
from flashdreams.errors import FieldValueError
from flashdreams.infra.config import derive_config
from flashdreams.plan import CARDS, plan_of
from flashdreams.plugins.registry import installed_registry


def test_a_context_that_depends_on_values_is_told_and_the_rest_is_planned(plan_toys):
    plan = plan_of(plan_toys.SECRETIVE, cards=CARDS.values())
    reasons = {each.part: each.reason for each in plan.unplanned}
    assert {*reasons} == {"context", "step", "finalize"}  # the transformer needs a context
    assert "meta" in reasons["context"]
    weights = {each.part: each.parameters for each in plan.weights}
    assert (weights["context.table"], weights["decoder"]) == (4 * 16 + 16, 108)
    assert plan.memory.kv_cache > 0
    decode = next(each for each in plan.passes if each.name == "decode")
    assert decode.full.flops == 6144
    assert {each.period for each in plan.cards} == {None}
    text = plan_text(plan)
    assert "not planned: context, once, which needs values: " in text
    assert "unknown" in text


def test_a_control_that_must_be_given_is_told_and_chunks_are_planned_without(plan_toys):
    plan, toy = (plan_of(config, cards=[CARDS["H100"]]) for config in (plan_toys.NEEDY, plan_toys.TOY))
    assert [(each.part, each.reason) for each in plan.unplanned] == [("control", "No control was given.")]
    assert plan.per_chunk().flops == toy.per_chunk().flops
    assert plan.cards[0].period == pytest.approx(toy.cards[0].period, rel=1e-3)


def test_weights_that_nobody_has_do_not_matter(plan_toys):
    plan = plan_of(plan_toys.PROMISED)
    assert plan.unplanned == []
    text = next(each for each in plan.weights if each.part == "context.text")
    assert (text.transient, text.parameters) == (True, 2048 * 1024)
    assert plan.busiest == "context"


def test_an_input_that_is_not_named_yet_does_not_matter(plan_toys):
    runner = plan_toys.PROMISED.setup()
    with pytest.raises(Exception, match="No image was named"):
        runner.check()
    assert plan_of(plan_toys.PROMISED).unplanned == []


def test_pocket_racer_is_planned_with_a_file_that_does_not_exist():
    config = installed_registry().runner_config("pocket-racer")
    nowhere = "/nowhere/at/all.safetensors"
    transformer = dict(weights=nowhere, context_encoder=dict(weights=nowhere))
    changes = dict(diffusion_model=dict(transformer=transformer), decoder=dict(weights=nowhere))
    plan = plan_of(derive_config(config, pipeline=changes))
    assert plan.unplanned == []
    assert plan.memory.weights == plan_of(config).memory.weights


def test_a_size_that_the_model_refuses_is_refused():
    config = installed_registry().runner_config("pocket-racer")
    with pytest.raises(FieldValueError, match="dreams 64 x 64 pixels"):
        plan_of(derive_config(config, pipeline=dict(height=128, width=128)))
