"""The form in which code for other devices than CPUs is kept, as far as a CPU can tell."""

import pytest
import torch
from torch import nn

from flashdreams.engine.compile.blueprint import tensors_of
from flashdreams.engine.compile.call import Call
from flashdreams.engine.compile.code import load_code, make_code


class Block(nn.Module):
    """Reads by a callable, as blocks of transformers do."""

    def __init__(self, width=8):
        super().__init__()
        self.out = nn.Linear(width, width)

    def forward(self, tokens, attend):
        q = tokens.unflatten(-1, (2, -1))
        return tokens + self.out(attend(q, q, q).flatten(2))


def double(q, k, v):
    return q + v


def made(block, folder):
    call = Call((torch.randn(1, 4, 8), double), {})
    make_code(block, call.template(), call.tensors, "function", folder)
    return call


@pytest.mark.slow
@torch.no_grad()
def test_a_function_computes_what_the_block_does_with_other_weights_and_callables(tmp_path):
    call = made(Block(), tmp_path)
    code = load_code(tmp_path)
    for attend in (double, lambda q, k, v: q * 3 + k - v):
        other = Block()
        again = Call((torch.randn(1, 4, 8), attend), {})
        assert again.signature == call.signature
        expected = other(again.tensors[0], attend)
        torch.testing.assert_close(code.run(again, tensors_of(other)), expected, atol=1e-6, rtol=0)
