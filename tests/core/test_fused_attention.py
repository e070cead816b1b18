"""Attention without values: shapes, FLOPs and memory of a fused kernel."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from flashdreams.core.attention import attention
from flashdreams.core.fused_attention import fused_attention
from flashdreams.errors import DeviceError


@pytest.mark.parametrize("backend", ["auto", "sdpa", "flash", "cudnn"])
def test_on_meta_attention_is_one_operation(backend):
    q, k = (torch.empty(2, length, 3, 16, device="meta", dtype=torch.bfloat16) for length in (5, 7))
    with FlopCounterMode(display=False) as counter:
        result = attention(q, k, k, backend=backend)
    assert (result.shape, result.dtype, result.device.type) == (q.shape, q.dtype, "meta")
    assert counter.get_total_flops() == 2 * 2 * (2 * 3) * 5 * 7 * 16
    (counted,) = {str(op) for ops in counter.flop_counts.values() for op in ops}
    assert "fused_attention" in counted


def test_math_stays_what_it_is():
    q = torch.empty(1, 5, 3, 16, device="meta")
    with FlopCounterMode(display=False) as counter:
        attention(q, q, q, backend="math")
    assert counter.get_total_flops() == 2 * 2 * 3 * 5 * 5 * 16
    assert "fused" not in str(counter.flop_counts)


def test_a_dtype_that_a_backend_lacks_is_refused_on_meta_too():
    q = torch.empty(1, 5, 3, 16, device="meta")
    with pytest.raises(DeviceError, match="'flash' cannot run on meta in float32"):
        attention(q, q, q, backend="flash")


def test_with_values_the_operation_is_torchs_attention():
    q, k, v = (torch.randn(1, 2, length, 8) for length in (4, 6, 6))
    torch.testing.assert_close(fused_attention(q, k, v), F.scaled_dot_product_attention(q, k, v))
