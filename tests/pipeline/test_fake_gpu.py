import pytest
import torch

from flashdreams.testing.fake_gpu import _get_item

INDICES = [
    0,
    slice(1, 2),
    (..., None),
    None,
    (None, ..., 0),
    (0, ..., slice(1, 3), None),
    (slice(None), 2, ...),
    (..., 1, 2),
    (1, None, slice(0, 2), ..., 3),
    (slice(None), torch.tensor([2, 0])),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_without_a_driver_is_indexing(index):
    tensor = torch.randn(3, 4, 5, 6)
    assert torch.equal(_get_item(tensor, index), tensor[index])
