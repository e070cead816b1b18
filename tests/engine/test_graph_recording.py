"""The recording backend: what it replays, what it poisons, and what it refuses."""

import pytest
import torch

from flashdreams.engine.graphs.recording import RecordingBackend
from flashdreams.errors import GraphFaultError


def captured(function, **options):
    return RecordingBackend(**options).capture(function, "pool")


def test_a_replay_reads_and_writes_the_memory_that_was_captured():
    x, y = torch.ones(3), torch.zeros(3)
    graph = captured(lambda: y.copy_(x * 2 + 1))
    x.fill_(5.0)
    graph.replay()
    assert y.tolist() == [11.0] * 3


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.int64])
def test_views_strides_and_operators_in_place(dtype, checks):
    x = torch.arange(24).to(dtype).view(2, 3, 4)
    places = torch.tensor([2, 0])
    y, z = torch.zeros(4, 6, dtype=dtype), torch.zeros(2, 12, dtype=dtype)

    def work():
        turned = x.permute(2, 0, 1).reshape(4, 6)
        part = turned[:, ::2].mul(3)
        y.copy_(turned)
        y[:, 1::2].copy_(part)
        y[0] = 7
        z.copy_(y.index_select(0, places).repeat(1, 2))
        z[places[:1] * 0].add_(1)
        torch.add(z, z, out=z)

    graph = captured(work, checks=checks)
    work()
    expected = (y.clone(), z.clone())
    y.zero_(), z.zero_()
    graph.replay()
    assert torch.equal(y, expected[0])
    assert torch.equal(z, expected[1])


def test_operators_with_several_results():
    x, y = torch.randn(4, 6), torch.zeros(4)
    graph = captured(lambda: y.copy_(torch.stack([part.max(dim=1).values for part in x.split(3, 1)]).sum(0)))
    x.copy_(torch.arange(24.0).view(4, 6))
    graph.replay()
    assert y.tolist() == [2.0 + 5, 8 + 11.0, 14 + 17.0, 20 + 23.0]


def test_what_is_made_on_the_way_is_poisoned():
    x, y, made = torch.ones(2), torch.zeros(2), []

    def work():
        made.append((x + 1).data_ptr())
        y.copy_(x + 1)

    graph = captured(work)
    for place in graph.tape.inside:
        values = torch.empty(0).set_(place.storage)
        assert values.isnan().all()
    assert y.tolist() == [2.0, 2.0]


def test_memory_that_outlives_its_capture_is_refused():
    kept = []
    x = torch.ones(2)
    with pytest.raises(GraphFaultError, match="kept beyond the stage"):
        captured(lambda: kept.append(x + 1))


def test_memory_that_was_freed_is_noticed():
    x, y = [torch.ones(2)], torch.zeros(2)
    graph = captured(lambda: y.copy_(x[0]))
    x[0] = torch.full((2,), 3.0)
    with pytest.raises(GraphFaultError, match=r"A stale pointer: aten.copy_.default at .*freed"):
        graph.replay()


def test_a_recording_keeps_no_memory_from_outside():
    from torch.multiprocessing.reductions import StorageWeakRef

    x, y = torch.ones(2), torch.zeros(2)
    reference = StorageWeakRef(x.untyped_storage())
    holder = [x]
    graph = captured(lambda: y.copy_(holder[0]))
    del x
    holder.clear()
    assert reference.expired()
    assert graph.bytes == 0


def test_numbers_of_the_host_are_kept_as_they_were_and_compared():
    x, number = torch.zeros(3), [4.0]

    def work():
        x[1:] = number[0]

    captured(work).replay()
    assert x.tolist() == [0.0, 4.0, 4.0]
    graph = captured(work, checks=True)
    number[0] = 5.0
    with pytest.raises(GraphFaultError, match=r"given 5\.0, and was given 4\.0"):
        graph.replay()


def test_dropout_of_nothing_and_elements_by_number_are_no_faults():
    q, y, places = torch.randn(1, 1, 4, 8), torch.zeros(1, 1, 4, 8), torch.tensor([1, 0, 3, 2])
    attend = torch.nn.functional.scaled_dot_product_attention
    captured(lambda: y.copy_(attend(q, q, q)[:, :, places])).replay()
    assert torch.equal(y, attend(q, q, q)[:, :, places])


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: bool((x > 0).all()),
        lambda x: torch.equal(x, x),
        lambda x: x.add_(torch.tensor([1.0, 2.0])),
        lambda x: x.normal_(),
        lambda x: x.add_(torch.rand(2)),
    ],
)
def test_what_a_card_could_not_capture_is_refused(work):
    x = torch.ones(2)
    with pytest.raises(GraphFaultError, match="cannot be captured"):
        captured(lambda: work(x))
