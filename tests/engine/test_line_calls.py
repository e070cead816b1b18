"""Calls that a line must get right, or not be run for: those of a kind that our own models do not make."""

import pytest
import torch
from torch import nn

from flashdreams.engine.lines.recording import record

X = torch.linspace(-1, 1, 48).view(2, 3, 8)


def test_a_call_that_returns_more_than_tensors_is_made_again():
    attend = nn.MultiheadAttention(8, 2, batch_first=True).eval().requires_grad_(False)
    with torch.no_grad():
        result, line = record(lambda: attend(X * 2, X, X, need_weights=False)[0])
        assert line.unfit is None
        assert torch.equal(line.function()(), result)


def test_a_call_that_hands_back_what_it_was_given_leaves_its_name():
    result, line = record(lambda: sum(torch.broadcast_tensors(X, X[:, :1] * 2)) + X)
    assert torch.equal(line.function()(), result)


@pytest.mark.parametrize(
    "write",
    [
        lambda place: torch._foreach_add_([place], [torch.ones(3)]),
        lambda place: torch.ops.aten._foreach_add_.List([place], [torch.ones(3)]),
    ],
)
def test_a_call_that_writes_and_returns_nothing_is_made_again(write):
    place = torch.zeros(3)
    _, line = record(lambda: write(place))
    line.function()()
    assert torch.equal(place, torch.full((3,), 2.0))


def under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        return X @ X.transpose(1, 2)


def by_a_comparison():
    return X + 1 if (X * 1).allclose(X) else X


def by_another_memory():
    y = X * 1
    y.data = X + 1
    return y * 2


@pytest.mark.parametrize(
    ("function", "said"),
    [(under_autocast, "autocast"), (by_a_comparison, "reads values"), (by_another_memory, "an attribute")],
)
def test_what_a_line_would_leave_out_makes_it_unfit(function, said):
    assert said in record(function)[1].unfit
