"""Cards: their data, and the floors that follow from it."""

import pytest
import torch

from flashdreams.errors import UsageError
from flashdreams.plan import CARDS, Card, plan_of
from flashdreams.plan.cards import find_card
from flashdreams.plan.figures import CUDA_RUNTIME
from flashdreams.plan.this_cpu import measure_cpu


def test_every_card_says_where_its_figures_come_from():
    assert {*CARDS} == {"H100", "H200", "B200", "A100", "L40S", "RTX 4090", "RTX 5090"}
    for card in CARDS.values():
        assert "NVIDIA" in card.source
        assert 100e12 < card.flops < 5e15
        assert 0.5e12 < card.bandwidth < 10e12
        assert 20e9 < card.memory < 200e9
        # Each needs some hundred FLOPs for each byte to be busy.
        assert 100 < card.flops / card.bandwidth < 500


@pytest.mark.parametrize("name", ["RTX 4090", "rtx-4090", "4090", "RTX4090"])
def test_a_card_is_found_however_it_is_written(name):
    assert find_card(name).name == "RTX 4090"


def test_an_unknown_card_names_the_nearest():
    with pytest.raises(UsageError) as caught:
        find_card("B2000")
    assert str(caught.value).splitlines() == [
        "There is no card 'B2000' in the table.",
        "Did you mean 'B200'?",
        "Name one of: H100, H200, B200, A100, L40S, RTX 4090, RTX 5090, cpu.",
    ]


def card(**figures):
    base = dict(name="card", flops=1e12, bandwidth=1e9, memory=10**9, source="made up")
    return Card(**{**base, **figures})


def test_a_pass_takes_as_long_as_what_takes_longer():
    assert card().seconds(10**12, 0, "bfloat16") == 1.0
    assert card().seconds(10**12, 3 * 10**9, "bfloat16") == 3.0
    assert card().seconds(10**12, 0, "float32") == 2.0
    assert card(measured_dtype="float32").seconds(10**12, 0, "float32") == 1.0


def test_products_in_float8_take_half_as_long_where_a_card_has_them():
    assert card().seconds(10**12, 0, "bfloat16", 6 * 10**11) == pytest.approx(0.7)
    assert card(float8_rate=1.0).seconds(10**12, 0, "bfloat16", 6 * 10**11) == pytest.approx(1.0)
    assert card().seconds(10**12, 3 * 10**9, "bfloat16", 10**12) == 3.0
    assert [name for name, each in CARDS.items() if each.float8_rate == 1.0] == ["A100"]


def test_the_floor_of_a_period_is_the_sum_over_its_passes(toy_config):
    quick = card(flops=1e30, bandwidth=1e6)
    plan = plan_of(toy_config(), cards=[quick, card(bandwidth=1e30)])
    by_bytes, by_flops = plan.cards
    assert by_bytes.period == pytest.approx(plan.per_chunk().moved / 1e6)
    assert by_bytes.first_period == pytest.approx(plan.per_chunk(full=False).moved / 1e6)
    assert by_flops.period == pytest.approx(2 * plan.per_chunk().flops / 1e12)
    assert by_flops.fps == pytest.approx(plan.size.frames / by_flops.period)
    assert by_flops.real_time is (by_flops.fps >= 16)


def test_a_card_that_is_too_small_is_told(toy_config):
    config = toy_config(height=64, width=64)
    peak = plan_of(config).peak
    cards = [card(memory=peak + CUDA_RUNTIME + more) for more in (0, -1)]
    fits = [each.fits for each in plan_of(config, cards=cards).cards]
    assert fits == [True, False]


def test_prompts_are_encoded_in_host_memory_where_the_card_has_no_room(plan_toys):
    plan = plan_of(plan_toys.PROMISED)
    assert plan.memory.transient == 4 * 2048 * 1024
    assert plan.peak >= plan.memory.transient > plan.chunk_peak
    cards = [card(memory=CUDA_RUNTIME + peak) for peak in (plan.peak, plan.chunk_peak, plan.chunk_peak - 1)]
    verdicts = [(e.fits, e.context_on_host) for e in plan_of(plan_toys.PROMISED, cards=cards).cards]
    assert verdicts == [(True, False), (True, True), (False, True)]


def test_this_cpu_is_measured():
    found = measure_cpu("float32")
    assert (found.kind, found.measured_dtype) == ("cpu", "float32")
    assert 1e9 < found.flops < 1e14
    assert 1e8 < found.bandwidth < 1e13
    assert f"{torch.get_num_threads()} threads" in found.source
