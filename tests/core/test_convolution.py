"""Convolutions are those of torch, whichever library makes them."""

import pytest
import torch
import torch.nn.functional as F

from flashdreams.core.convolution import convolution

CASES = [
    ((1, 3, 5, 7), (4, 3, 3, 3), dict(padding=1)),
    ((2, 8, 6, 8), (4, 8, 3, 3), dict(stride=2)),
    ((1, 4, 9, 9), (2, 4, 1, 1), {}),
    ((1, 3, 4, 6, 5), (5, 3, 3, 3, 3), dict(padding=(0, 1, 1))),
    ((2, 4, 5, 4, 4), (4, 4, 3, 1, 1), dict(stride=(2, 1, 1))),
    ((1, 64, 3, 24, 24), (32, 64, 3, 3, 3), dict(padding=(0, 1, 1))),
]


@pytest.mark.parametrize(("shape", "kernel", "steps"), CASES)
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_result_is_that_of_torch(shape, kernel, steps, has_bias):
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(size, generator=generator) for size in (shape, kernel))
    bias = torch.randn(kernel[0], generator=generator) if has_bias else None
    torchs = F.conv3d if len(kernel) == 5 else F.conv2d
    exact = torchs(x.double(), weight.double(), bias.double() if has_bias else None, **steps)
    result = convolution(x, weight, bias, **steps)
    assert result.dtype == torch.float32
    assert torch.allclose(result.double(), exact, rtol=1e-5, atol=1e-4)
    double = convolution(x.double(), weight.double(), bias.double() if has_bias else None, **steps)
    assert torch.equal(double, exact)


def test_channels_stay_last():
    x = torch.randn(1, 8, 4, 6, 6).to(memory_format=torch.channels_last_3d)
    weight = torch.randn(16, 8, 3, 3, 3).to(memory_format=torch.channels_last_3d)
    result = convolution(x, weight, None, padding=(0, 1, 1))
    assert result.is_contiguous(memory_format=torch.channels_last_3d)


def test_small_inputs_take_no_slow_path():
    """What torch gives to a kernel of its own is made by oneDNN, where there is one."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN")
    x, weight = torch.randn(1, 4, 5, 6, 6), torch.randn(4, 4, 3, 3, 3)
    with torch.profiler.profile() as profile:
        convolution(x, weight, None)
    names = {event.key for event in profile.key_averages()}
    assert "aten::mkldnn_convolution" in names
    assert not [name for name in names if "slow" in name]


def test_it_runs_on_meta_and_in_half_precision():
    x, weight = torch.randn(1, 4, 5, 6, 6), torch.randn(2, 4, 3, 3, 3)
    assert convolution(x.to("meta"), weight.to("meta"), None).shape == (1, 2, 3, 4, 4)
    half = convolution(x.bfloat16(), weight.bfloat16(), None)
    assert torch.equal(half, F.conv3d(x.bfloat16(), weight.bfloat16()))
