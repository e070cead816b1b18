"""The VAE in tiles: seams are blended, the inside of a tile is that of the whole, streaming stays exact."""

import pytest
import torch

from flashdreams.errors import FieldValueError
from flashdreams.infra import state_tree
from flashdreams.infra.config import derive_config
from flashdreams_wan.vae.config import WanVAEDecoderConfig, WanVAEEncoderConfig
from flashdreams_wan.vae.past import Past
from flashdreams_wan.vae.spans import spans
from flashdreams_wan.vae.tiles import in_tiles

CPU = torch.device("cpu")


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def deviation(result, exact):
    """Root of the mean square difference, in deviations of what is exact."""
    return ((result - exact).square().mean().sqrt() / exact.std()).item()


HALVES = {
    "decoder": (WanVAEDecoderConfig(base_width=4), noise(1, 16, 4, 6, 9), [1, 2, 1]),
    "encoder": (WanVAEEncoderConfig(base_width=4), noise(1, 3, 9, 48, 40).clamp(-1, 1), [5, 4]),
}
"""Config, clip, and frames of each chunk."""


@pytest.mark.parametrize("tile", [4, 5, 8, 16, 31])
def test_weights_of_the_tiles_sum_to_one(tile):
    for size in range(1, 70):
        places = spans(size, tile)
        total = torch.zeros(size * 8)
        for span in places:
            assert span.stop - span.start <= tile
            total[span.of(8)] += span.weight(8, CPU)
        assert (places[0].start, places[-1].stop) == (0, size)
        assert torch.allclose(total, torch.ones(size * 8), atol=1e-6)
        assert (len(places) == 1) == (size <= tile)


@pytest.mark.parametrize("tile", [4, 5, 8, 16, 31])
def test_every_place_is_owned_by_one_tile(tile):
    for size in range(1, 70):
        owners, covered = torch.zeros(size), torch.zeros(size)
        for span in reversed(spans(size, tile)):
            early, late = span.owned
            assert span.start <= early.start < early.stop == late.start <= late.stop <= span.stop
            owners[early.start : late.stop] += 1
            assert not covered[early].any()
            assert covered[late].all()
            covered[span.start : span.stop] = 1
        assert torch.equal(owners, torch.ones(size))


def test_seams_are_blended_linearly():
    """Two tiles that give 0 and 1 meet in a straight line from one to the other."""
    made = iter([0.0, 1.0])

    def run(frames, past):
        larger = frames.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return torch.full_like(larger, next(made))

    result = in_tiles(run, torch.zeros(1, 1, 4, 14, 1), Past(None), tile=8, scales=(1, 2))
    line = result[0, 0, 0, :, 0]
    assert torch.equal(line[:12], torch.zeros(12))
    assert torch.allclose(line[12:16], torch.tensor([0.125, 0.375, 0.625, 0.875]))
    assert torch.equal(line[16:], torch.ones(12))


def test_one_tile_that_covers_all_is_the_whole():
    whole = WanVAEDecoderConfig(base_width=4).setup()
    tiled = WanVAEDecoderConfig(base_width=4, tile=64).setup()
    latents = noise(1, 16, 3, 8, 6)
    assert torch.equal(tiled.decode(latents), whole.decode(latents))


@pytest.mark.parametrize("half", HALVES)
def test_tiles_are_streamed_exactly(half):
    config, clip, counts = HALVES[half]
    part = derive_config(config, tile=32).setup()
    whole, _ = part(clip, None)
    state, results = None, []
    for chunk in clip.split(counts, dim=2):
        result, state = part(chunk, state)
        results.append(result)
    assert torch.equal(torch.cat(results, dim=2), whole)


@pytest.mark.parametrize("half", HALVES)
def test_tiles_have_the_state_of_the_whole(half):
    """So a video may go on in tiles, or without."""
    config, clip, counts = HALVES[half]
    whole, tiled = config.setup(), derive_config(config, tile=32).setup()
    first, second = clip.split([counts[0], clip.shape[2] - counts[0]], dim=2)
    _, state = whole(first, None)
    _, tiled_state = tiled(first, None)
    assert state_tree.signature(tiled_state) == state_tree.signature(state)
    assert deviation(tiled(second, state)[0], whole(second, state)[0]) < 0.2


def test_the_decoder_in_tiles_is_the_whole_but_at_the_seams():
    config = WanVAEDecoderConfig(base_width=8)
    latents = noise(1, 16, 3, 8, 48)
    whole = config.setup().decode(latents)
    tiled = derive_config(config, tile=32 * 8).setup().decode(latents)
    error = (tiled - whole).abs() / whole.std()
    seam = slice(18 * 8, 30 * 8)
    assert [(span.start, span.stop) for span in spans(48, 32)] == [(0, 28), (20, 48)]
    assert error[..., seam].mean() < 0.02
    error[..., seam] = 0
    assert error.max() < 0.02
    assert error.mean() < 0.001


def test_the_encoder_in_tiles_is_near_the_whole():
    """Its attention comes after the seams, so a little of them is everywhere."""
    config = WanVAEEncoderConfig(base_width=8)
    pixels = WanVAEDecoderConfig(base_width=8).setup().decode(noise(1, 16, 2, 4, 48))
    whole = config.setup().encode(pixels)
    assert deviation(derive_config(config, tile=32 * 8).setup().encode(pixels), whole) < 0.02


def test_seams_are_no_steps():
    """Neighbouring columns differ no more where tiles meet than elsewhere."""
    latents = noise(1, 16, 2, 4, 24)
    tiled = WanVAEDecoderConfig(base_width=8, tile=64).setup().decode(latents)
    steps = tiled.diff(dim=-1).abs().mean(dim=(0, 1, 2, 3))
    for span in spans(24, 8)[1:]:
        assert steps[span.start * 8 - 2 : span.start * 8 + 18].max() < 4 * steps.mean()


@pytest.mark.parametrize("tile", [-8, 24, 100])
def test_tiles_that_cannot_be(tile):
    with pytest.raises(FieldValueError, match=f"^tile is {tile}"):
        WanVAEDecoderConfig(tile=tile)
