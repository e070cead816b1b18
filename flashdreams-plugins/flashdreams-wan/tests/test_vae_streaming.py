"""The VAE chunk by chunk: the same as the whole clip to the last bit, with all state outside of it."""

import pytest
import torch

from flashdreams.errors import InputError
from flashdreams.infra import state_tree
from flashdreams.testing.graph_readiness import GraphRecorder
from flashdreams_wan.vae.config import WanVAEDecoderConfig, WanVAEEncoderConfig

SIZES = [(1, 3, 5), (2, 4, 2)]
"""Batch, and height and width in latents."""
CHUNKINGS = [(1,) * 7, (3, 3, 1), (2, 5), (1, 2, 4), (7,)]
"""Latent frames of each chunk."""
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(scope="module")
def decoder():
    return WanVAEDecoderConfig(base_width=4).setup()


@pytest.fixture(scope="module")
def encoder():
    return WanVAEEncoderConfig(base_width=4).setup()


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def in_chunks(part, clip, counts, state=None):
    """What a streaming component makes of a clip chunk by chunk, and every state that it gave."""
    results, states = [], []
    for chunk in clip.split(counts, dim=2):
        result, state = part(chunk, state)
        results.append(result)
        states.append(state)
    return torch.cat(results, dim=2), states


def pixel_counts(chunking):
    return [4 * count - (3 if index == 0 else 0) for index, count in enumerate(chunking)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_decoding_in_chunks_is_decoding_the_clip(size, dtype, parity):
    decoder = WanVAEDecoderConfig(base_width=4).setup().to(dtype)
    batch, height, width = size
    latents = noise(batch, 16, 7, height, width).to(dtype)
    whole = decoder.decode(latents)
    assert whole.shape == (batch, 3, 25, 8 * height, 8 * width)
    assert whole.dtype == dtype
    for chunking in CHUNKINGS:
        pixels, _ = in_chunks(decoder, latents, chunking)
        parity("VAE decoder in chunks, against the whole clip", (pixels - whole).abs().max().item())
        assert torch.equal(pixels, whole), chunking


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_encoding_in_chunks_is_encoding_the_clip(size, dtype, parity):
    encoder = WanVAEEncoderConfig(base_width=4).setup().to(dtype)
    batch, height, width = size
    pixels = noise(batch, 3, 25, 8 * height, 8 * width).clamp(-1, 1).to(dtype)
    whole = encoder.encode(pixels)
    assert whole.shape == (batch, 16, 7, height, width)
    for chunking in CHUNKINGS:
        latents, _ = in_chunks(encoder, pixels, pixel_counts(chunking))
        parity("VAE encoder in chunks, against the whole clip", (latents - whole).abs().max().item())
        assert torch.equal(latents, whole), chunking


def test_frames_depend_on_the_past_and_not_on_the_future(decoder, encoder):
    latents = noise(1, 16, 4, 3, 3)
    other = latents.clone()
    other[:, :, 2] += 1
    one, two = decoder.decode(latents), decoder.decode(other)
    assert torch.equal(one[:, :, :5], two[:, :, :5])
    assert (one - two)[:, :, 5:9].abs().max() > 0.01
    assert (one - two)[:, :, 9:].abs().max() > 0.001
    changed = one.clone()
    changed[:, :, 8] = -changed[:, :, 8]
    before, after = encoder.encode(one), encoder.encode(changed)
    assert torch.equal(before[:, :, :2], after[:, :, :2])
    assert (before - after)[:, :, 2:].abs().amax(dim=(0, 1, 3, 4)).min() > 1e-4


@pytest.mark.parametrize("half", ["decoder", "encoder"])
def test_state_goes_in_and_comes_out(half, request):
    part = request.getfixturevalue(half)
    clip = noise(1, 16, 6, 2, 3) if half == "decoder" else noise(1, 3, 21, 16, 24).clamp(-1, 1)
    counts = [2, 2, 2] if half == "decoder" else [5, 8, 8]
    held = {name: tensor.clone() for name, tensor in part.state_dict(keep_vars=True).items()}
    names = set(vars(part.network))
    result, states = in_chunks(part, clip, counts)
    assert len({str(state_tree.signature(state)) for state in states}) == 1
    kept = state_tree.snapshot(states[0])
    again, _ = in_chunks(part, clip[:, :, counts[0] :], counts[1:], state=states[0])
    assert torch.equal(again, result[:, :, -again.shape[2] :]), "a chunk can be made again"
    assert all(map(torch.equal, state_tree.tensors(states[0]), state_tree.tensors(kept)))
    assert set(vars(part.network)) == names
    assert all(torch.equal(tensor, held[name]) for name, tensor in part.state_dict().items())


def test_results_share_no_memory_with_what_they_were_made_of(decoder, encoder):
    latents = noise(1, 16, 2, 2, 2)
    before = latents.clone()
    pixels, state = decoder(latents, None)
    encoded, encoder_state = encoder(pixels, None)
    places = [t.untyped_storage().data_ptr() for t in (latents, pixels, encoded, *state, *encoder_state)]
    assert len(places) == len(set(places))
    assert torch.equal(latents, before)


def test_the_decoder_could_be_captured(decoder):
    """Two successive chunks, with latents and state at fixed addresses, are the same operators on them."""
    place = noise(1, 16, 2, 2, 3)
    state = decoder(place, None)[1]
    keys = []
    for seed in (1, 2):
        place.copy_(noise(1, 16, 2, 2, 3, seed=seed))
        with GraphRecorder() as recorder:
            _, after = decoder(place, state)
        keys.append(recorder.key)
        assert recorder.host_syncs == []
        state = state_tree.updated(state, after)
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("frames", "height", "given"),
    [(4, 16, False), (0, 16, False), (5, 16, True), (1, 20, False)],
)
def test_clips_that_the_encoder_does_not_take(encoder, frames, height, given):
    state = encoder(noise(1, 3, 1, 16, 16), None)[1] if given else None
    with pytest.raises(InputError, match=str(height) if height % 8 else f"^{frames} pixel frames"):
        encoder(noise(1, 3, frames, height, 16), state)
