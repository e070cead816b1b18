"""A small kernel that keeps the contract, and mutants of it with one fault each.

pytest runs this file in a process of its own, for test_kernel_mutants.py: every class but the first fails.
"""

import os
from functools import cache

import torch

from flashdreams.testing import KernelContract

BLOCK = 16
CAUGHT_BY = {
    "TestImportsTriton": "test_it_runs_without_triton",
    "TestAddsInPlace": "test_it_overwrites_what_it_says",
    "TestOtherFormula": "test_the_function_equals_its_twin",
    "TestOtherDtype": "test_the_function_equals_its_twin",
    "TestIgnoresStrides": "test_any_strides_will_do",
    "TestForgetsTheLastBlock": "test_the_kernel_equals_its_twin",
    "TestKernelInHalf": "test_the_kernel_equals_its_twin",
    "TestIsNotFoundAgain": "test_the_kernel_equals_its_twin",
    "TestCannotBeLaunched": "test_the_kernel_equals_its_twin",
}


@cache
def _kernel():
    import triton
    import triton.language as tl

    @triton.jit
    def scaled_add_rows(x, y, out, scale, count, x_stride, SHORT: tl.constexpr, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = at < count
        one = tl.load(x + at * x_stride, inside, 0.0).to(tl.float32)
        other = tl.load(y + at, inside, 0.0).to(tl.float32)
        total = one + scale * other
        if SHORT:
            total = total.to(tl.float16).to(tl.float32)
        tl.store(out + at, total.to(out.dtype.element_ty), inside)

    return scaled_add_rows


def launch(x, y, scale, short=False, blocks=None):
    flat, out = x.flatten(), torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    count = flat.numel()
    blocks = -(-count // BLOCK) if blocks is None else blocks(count)
    _kernel()[(blocks,)](flat, y.contiguous(), out, scale, count, flat.stride(0), SHORT=short, BLOCK=BLOCK)
    return out


def scaled_add_twin(x, y, scale):
    return (x.float() + scale * y.float()).to(x.dtype)


def scaled_add(x, y, scale):
    return scaled_add_twin(x, y, scale)


class TestScaledAdd(KernelContract):
    function = staticmethod(scaled_add)
    twin = staticmethod(scaled_add_twin)
    kernel = staticmethod(launch)

    def inputs(self, draw):
        shape = draw.among(1, 3), draw.among(1, 8, 33)
        return draw.strided(*shape), draw.normal(*shape), 0.5


class Mutant(TestScaledAdd):
    pass


class TestImportsTriton(Mutant):
    @staticmethod
    def function(x, y, scale):
        import triton  # noqa: F401

        return scaled_add_twin(x, y, scale)


class TestAddsInPlace(Mutant):
    @staticmethod
    def function(x, y, scale):
        return x.copy_(scaled_add_twin(x, y, scale))


class TestOtherFormula(Mutant):
    @staticmethod
    def function(x, y, scale):
        return scaled_add_twin(x, y, scale * 1.001)


class TestOtherDtype(Mutant):
    @staticmethod
    def function(x, y, scale):
        return x.float() + scale * y.float()


class TestIgnoresStrides(Mutant):
    @staticmethod
    def function(x, y, scale):
        return scaled_add_twin(x.as_strided(x.shape, (x.shape[1], 1)), y, scale)

    def inputs(self, draw):
        shape = draw.among(1, 3), draw.among(1, 8, 33)
        return draw.normal(*shape), draw.normal(*shape), 0.5


class TestForgetsTheLastBlock(Mutant):
    @staticmethod
    def kernel(x, y, scale):
        return launch(x, y, scale, blocks=lambda count: max(count // BLOCK, 1))


class TestKernelInHalf(Mutant):
    @staticmethod
    def kernel(x, y, scale):
        return launch(x, y, scale, short=True)


if os.environ.get("TRITON_INTERPRET") != "1":

    class TestIsNotFoundAgain(Mutant):
        pass


class TestCannotBeLaunched(Mutant):
    @staticmethod
    def kernel(x, y):
        return launch(x, y, 0.5)
