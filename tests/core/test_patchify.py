from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from flashdreams.core.patchify import grid_size, patchify, unpatchify
from flashdreams.errors import FieldValueError

three = st.tuples(*[st.integers(1, 3)] * 3)


@settings(max_examples=30, deadline=None)
@given(patch=three, grid=three, order=st.sampled_from(["channels_first", "channels_last"]))
def test_there_and_back(patch, grid, order):
    size = [p * g for p, g in zip(patch, grid, strict=True)]
    latents = torch.arange(2 * 4 * size[0] * size[1] * size[2]).view(2, 4, *size)
    tokens = patchify(latents, patch, order)
    assert tokens.shape == (2, grid[0] * grid[1] * grid[2], 4 * patch[0] * patch[1] * patch[2])
    assert torch.equal(unpatchify(tokens, grid, patch, order), latents)


def test_a_token_is_what_a_strided_convolution_reads():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, 1, 2, 2, generator=generator) / 4
    latents = torch.randn(2, 4, 3, 4, 6, generator=generator)
    convolved = F.conv3d(latents, weight, stride=(1, 2, 2)).flatten(2).transpose(1, 2)
    # The same 16 products summed in another order: 4.8e-7 measured on values up to 3.9.
    torch.testing.assert_close(patchify(latents) @ weight.flatten(1).T, convolved, atol=2e-6, rtol=0)


def test_channels_last_is_what_wans_head_writes():
    tokens = torch.randn(3 * 2 * 4, 1 * 2 * 2 * 5)
    published = torch.einsum("fhwpqrc->cfphqwr", tokens.view(3, 2, 4, 1, 2, 2, 5)).reshape(5, 3, 4, 8)
    assert torch.equal(unpatchify(tokens[None], (3, 2, 4), order="channels_last")[0], published)


def test_latents_that_hold_no_whole_patches_are_refused():
    with pytest.raises(FieldValueError) as caught:
        patchify(torch.zeros(1, 4, 3, 15, 26))
    assert str(caught.value) == (
        "Latents of 3 x 15 x 26 (time x height x width) were cut into patches of 1 x 2 x 2.\n"
        "Each side of the latents is a multiple of the patch's.\n"
        "Choose height and width so that the latents are 3 x 16 x 26, for instance."
    )
    assert grid_size((3, 16, 26)) == (3, 8, 13)
