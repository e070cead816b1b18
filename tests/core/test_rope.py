from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from flashdreams.core.rope import apply_rope, rope_angles, wan_split
from flashdreams.errors import FieldValueError


def wan_table_rope(x: Tensor, first_frame: int, grid: tuple[int, int, int]) -> Tensor:
    """RoPE as Wan publishes it: a table of complex turns, looked up and multiplied in float64."""
    t, h, w = grid
    d = x.shape[-1]

    def table(dim: int) -> Tensor:
        rates = 1.0 / torch.pow(10000.0, torch.arange(0, dim, 2).double() / dim)
        angles = torch.outer(torch.arange(1024), rates)
        return torch.polar(torch.ones_like(angles), angles)

    freqs = torch.cat([table(d - 4 * (d // 6)), table(2 * (d // 6)), table(2 * (d // 6))], dim=1)
    parts = freqs.split([d // 2 - 2 * (d // 6), d // 6, d // 6], dim=1)
    turns = torch.cat(
        [
            parts[0][first_frame : first_frame + t].view(t, 1, 1, -1).expand(t, h, w, -1),
            parts[1][:h].view(1, h, 1, -1).expand(t, h, w, -1),
            parts[2][:w].view(1, 1, w, -1).expand(t, h, w, -1),
        ],
        dim=-1,
    ).reshape(t * h * w, 1, -1)
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).float()


@pytest.mark.parametrize("head_dim", [12, 64, 128])
@pytest.mark.parametrize("first_frame", [0, 7, 1000])
def test_it_equals_wans_table_within_its_range(head_dim, first_frame):
    grid = (3, 2, 5)
    x = torch.randn(2, 30, 2, head_dim, generator=torch.Generator().manual_seed(0))
    cos, sin = rope_angles(torch.arange(3) + first_frame, 2, 5, head_dim=head_dim)
    # float32 products against float64 ones, on values up to 4.4: 4.8e-7 measured.
    torch.testing.assert_close(
        apply_rope(x, cos, sin), wan_table_rope(x, first_frame, grid), atol=2e-6, rtol=0
    )


def scores(start: int, head_dim: int = 64) -> Tensor:
    """Scores of 2 latent frames with themselves, the first of them at position ``start``."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 8, 1, head_dim, generator=generator) for _ in range(2))
    angles = rope_angles(torch.arange(2) + start, 2, 2, head_dim=head_dim)
    q, k = (apply_rope(x, *angles).squeeze(2) for x in (q, k))
    return q @ k.transpose(1, 2) / head_dim**0.5


@pytest.mark.parametrize("start", [1, 1000, 3 * 10**7])
def test_scores_depend_on_differences_of_positions_alone(start):
    # Chunk 10**7 of 3 latent frames. In float64 such an angle is known to 4e-9, so what is seen here is
    # the rounding of cosines and products to float32: 3.6e-7 measured on scores up to 3. Angles made in
    # float32 would be off by 1 radian.
    torch.testing.assert_close(scores(start), scores(0), atol=3e-6, rtol=0)


def test_another_split_and_base():
    # A quarter of the pairs for time, the rest shared by height and width, base 100.
    cos, sin = rope_angles(torch.tensor([5]), 2, 3, head_dim=16, split=(4, 6, 6), theta=100.0)
    row, column = 1, 2
    angles = [5 * 100 ** -(i / 2) for i in range(2)]
    angles += [row * 100 ** -(i / 3) for i in range(3)] + [column * 100 ** -(i / 3) for i in range(3)]
    # Both are float64 angles rounded once to float32.
    torch.testing.assert_close(cos[row * 3 + column], torch.tensor(angles).cos(), atol=1e-6, rtol=0)
    torch.testing.assert_close(sin[row * 3 + column], torch.tensor(angles).sin(), atol=1e-6, rtol=0)


def test_channels_left_over_do_not_turn():
    x = torch.randn(1, 4, 2, 16, generator=torch.Generator().manual_seed(0))
    angles = rope_angles(torch.tensor([3]), 2, 2, head_dim=16, split=(4, 2, 2))
    turned = apply_rope(x, *angles)
    assert torch.equal(turned[..., 8:], x[..., 8:])
    assert not torch.equal(turned[..., :4], x[..., :4])


def test_one_axis_may_have_no_channels():
    cos, _ = rope_angles(torch.tensor([3, 4]), 2, 2, head_dim=4, split=(4, 0, 0))
    assert torch.equal(cos[0], cos[3])  # two places of one latent frame
    assert not torch.equal(cos[0], cos[4])


def test_pairs_of_halves_are_the_rotate_half_of_other_models():
    x = torch.randn(1, 6, 2, 8, generator=torch.Generator().manual_seed(0))
    cos, sin = rope_angles(torch.tensor([3]), 2, 3, head_dim=8)
    first, second = x.chunk(2, dim=-1)
    cos2, sin2 = (torch.cat([t, t], dim=-1).unsqueeze(1) for t in (cos, sin))
    expected = x * cos2 + torch.cat([-second, first], dim=-1) * sin2
    assert torch.equal(apply_rope(x, cos, sin, pairs="halves"), expected)


def test_bfloat16_is_turned_in_float32_and_rounded_once():
    x = torch.randn(1, 4, 2, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    angles = rope_angles(torch.tensor([123]), 2, 2, head_dim=16)
    assert torch.equal(apply_rope(x, *angles), apply_rope(x.float(), *angles).bfloat16())


def test_a_slice_of_frames_has_a_slice_of_the_angles():
    # So a chunk's angles equal those the whole video would have, and ranks may cut them by token.
    whole = rope_angles(torch.arange(6), 2, 2, head_dim=16)
    part = rope_angles(torch.arange(2, 4), 2, 2, head_dim=16)
    assert all(torch.equal(w[8:16], p) for w, p in zip(whole, part, strict=True))


def test_nothing_waits_for_the_device():
    # On a GPU made of shapes alone, any value that had to come to the host would raise.
    with FakeTensorMode():
        frames = torch.arange(3, device="cuda")
        cos, sin = rope_angles(frames, 2, 2, head_dim=12)
        x = torch.empty(1, 12, 2, 12, device="cuda", dtype=torch.bfloat16)
        turned = apply_rope(x, cos, sin)
    assert (cos.device.type, cos.dtype, tuple(cos.shape)) == ("cuda", torch.float32, (12, 6))
    assert (turned.device.type, turned.dtype) == ("cuda", torch.bfloat16)


def test_wans_division_of_a_head():
    assert wan_split(128) == (44, 42, 42)


@pytest.mark.parametrize("split", [(3, 2, 2), (8, 8, 8), (-2, 4, 4)])
def test_a_split_that_does_not_fit_is_refused(split):
    with pytest.raises(FieldValueError) as caught:
        rope_angles(torch.arange(2), 2, 2, head_dim=16, split=split)
    parts = ", ".join(map(str, split))
    assert f"A head of 16 channels was split into {parts} for rotation." in str(caught.value)
    assert "Take (8, 4, 4), for instance." in str(caught.value)
