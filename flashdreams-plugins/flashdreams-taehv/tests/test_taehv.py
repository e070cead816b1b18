"""TAEHV against a twin that decodes a whole clip at once, its published tensors, and as a plugin."""

import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from flashdreams.errors import FieldValueError, WeightsError
from flashdreams.infra import state_tree
from flashdreams.infra.config import derive_config
from flashdreams.io.lock import find_entry, references_of
from flashdreams.plugins.targets import load_component
from flashdreams.testing.toy import toy_pipeline_config
from flashdreams_taehv.config import TAEHVDecoderConfig, taew2_1
from flashdreams_taehv.plugin import flashdreams_components

TINY = dict(widths=(12, 8, 6, 4))
CASES = {
    "tiny": (TINY, (1, 16, 5, 3, 4)),
    "two videos": (TINY, (2, 16, 4, 2, 5)),
    "one latent frame": (TINY, (1, 16, 1, 4, 4)),
    "one block": (dict(widths=(8, 8, 8, 8), blocks=1, latent_channels=4), (1, 4, 6, 3, 3)),
    "as published": ({}, (1, 16, 2, 2, 3)),
}


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def twin(weights, latents, blocks=3, growth=(1, 2, 2)):
    """The published decoder of a whole clip: every layer sees all frames. Latents ``[B, C, T, H, W]``."""

    def conv(name, x):
        weight = weights[f"decoder.{name}.weight"]
        return F.conv2d(x, weight, weights.get(f"decoder.{name}.bias"), padding=weight.shape[-1] // 2)

    batch, frames = latents.shape[0], latents.shape[2]
    x = torch.tanh(latents.transpose(1, 2).flatten(0, 1) / 3) * 3
    x = F.relu(conv("1", x))
    number = 3
    for grows in growth:
        for _ in range(blocks):
            clips = x.unflatten(0, (batch, -1))
            before = F.pad(clips, (0, 0) * 3 + (1, 0))[:, :-1].flatten(0, 1)
            hidden = F.relu(conv(f"{number}.conv.0", torch.cat([x, before], dim=1)))
            hidden = F.relu(conv(f"{number}.conv.2", hidden))
            x = F.relu(conv(f"{number}.conv.4", hidden) + x)
            number += 1
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        channels = x.shape[1]
        x = conv(f"{number + 1}.conv", x).reshape(-1, channels, *x.shape[2:])
        assert len(x) == batch * frames * grows
        frames *= grows
        x = conv(f"{number + 2}", x)
        number += 3
    rgb = conv(f"{number + 1}", F.relu(x)).unflatten(0, (batch, -1)).transpose(1, 2)
    trimmed = rgb[:, :, 2 ** growth.count(2) - 1 :]
    return (trimmed * 2 - 1).clamp(-1, 1)


def in_chunks(decoder, latents, counts):
    state, pixels, states = None, [], []
    for chunk in latents.split(counts, dim=2):
        made, state = decoder(chunk, state)
        pixels.append(made)
        states.append(state)
    return torch.cat(pixels, dim=2), states


@pytest.mark.parametrize("case", CASES)
def test_streaming_is_the_whole_clip(case, record_property):
    fields, shape = CASES[case]
    decoder, latents = TAEHVDecoderConfig(**fields).setup(), 2 * noise(shape)
    weights, blocks = decoder.network.state_dict(), fields.get("blocks", 3)
    exact = twin({name: tensor.double() for name, tensor in weights.items()}, latents.double(), blocks)
    batch, _, frames, height, width = shape
    assert exact.shape == (batch, 3, 4 * frames - 3, 8 * height, 8 * width)
    assert exact.std() > 0.1
    assert (exact.abs() < 1).float().mean() > 0.9
    twins_error = (twin(weights, latents, blocks) - exact).abs().max()
    chunkings = ([1] * frames, [frames], [1, frames - 1] if frames > 1 else [1])
    for counts in chunkings:
        pixels, _ = in_chunks(decoder, latents, counts)
        error = (pixels - exact).abs().max()
        title = "TAEHV in chunks, beside the whole clip computed at once"
        record_property("parity", json.dumps([title, error.item(), twins_error.item()]))
        assert error <= 2 * twins_error < 1e-5
    for counts in chunkings:
        pixels, _ = in_chunks(decoder.double(), latents.double(), counts)
        assert (pixels - exact).abs().max() <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_chunking_changes_a_bit(dtype):
    decoder = TAEHVDecoderConfig(**TINY).setup().to(dtype)
    latents = noise((1, 16, 7, 3, 4)).to(dtype)
    whole, _ = decoder(latents, None)
    assert whole.dtype == dtype
    for counts in ([3, 3, 1], [1, 2, 4], [1] * 7):
        assert torch.equal(in_chunks(decoder, latents, counts)[0], whole)


def test_state_goes_in_and_comes_out():
    decoder, latents = TAEHVDecoderConfig(**TINY).setup(), noise((1, 16, 6, 2, 3))
    names = set(vars(decoder.network))
    pixels, states = in_chunks(decoder, latents, [2, 2, 2])
    assert len({str(state_tree.signature(state)) for state in states}) == 1
    saved = state_tree.snapshot(states[0])
    for _ in range(2):
        again, _ = decoder(latents[:, :, 2:4], states[0])
        assert torch.equal(again, pixels[:, :, 5:13])
    assert all(map(torch.equal, states[0], saved))
    assert set(vars(decoder.network)) == names


def test_memory_matters():
    """The state is read: without it the second chunk would be another."""
    decoder, latents = TAEHVDecoderConfig(**TINY).setup(), noise((1, 16, 4, 2, 3))
    pixels, _ = in_chunks(decoder, latents, [2, 2])
    _, other = decoder(noise((1, 16, 2, 2, 3), seed=1), None)
    assert (decoder(latents[:, :, 2:], other)[0] - pixels[:, :, 5:]).abs().max() > 0.01


def test_fewer_and_smaller_frames_from_the_same_weights():
    latents = noise((1, 16, 3, 2, 3))
    whole = TAEHVDecoderConfig(**TINY).setup()
    fields = dict(TINY, upscale_time=(True, False), temporal_compression=2)
    slower = TAEHVDecoderConfig(**fields).setup()
    assert slower.network.state_dict().keys() == whole.network.state_dict().keys()
    pixels, _ = in_chunks(slower, latents, [1, 2])
    assert pixels.shape == (1, 3, 5, 16, 24)
    last_rows = {
        name: tensor[-tensor.shape[1] :] if name == "decoder.19.conv.weight" else tensor
        for name, tensor in slower.network.state_dict().items()
    }
    assert (pixels - twin(last_rows, latents, growth=(1, 2, 1))).abs().max() <= 1e-6
    small = dict(TINY, upscale_space=(True, False, True), spatial_compression=4)
    assert TAEHVDecoderConfig(**small).setup()(latents, None)[0].shape == (1, 3, 9, 8, 12)


def test_it_decodes_in_a_pipeline_and_a_chunk_may_be_made_again():
    decoder = TAEHVDecoderConfig(**TINY, latent_channels=4)
    pipeline = derive_config(toy_pipeline_config(), decoder=decoder, height=16, width=24).setup()
    with pipeline.initialize_cache(seed=0) as rollout:
        latents, chunks = [], []
        for index in range(3):
            chunk = pipeline.generate(index, rollout)
            assert torch.equal(pipeline.generate(index, rollout), chunk)
            latents.append(rollout.pending.latents)
            chunks.append(chunk)
            pipeline.finalize(index, rollout)
    assert [chunk.shape[2] for chunk in chunks] == [5, 8, 8]
    whole, _ = pipeline.decoder(torch.cat(latents, dim=2), None)
    assert torch.equal(torch.cat(chunks, dim=2), whole)


def published_names():
    folder = os.environ.get("FLASHDREAMS_ORACLES")
    if not folder:
        pytest.skip("FLASHDREAMS_ORACLES names no folder of golden files")
    return json.loads((Path(folder) / "keys/taehv_keys.json").read_text())["keys"]


def test_every_published_tensor_of_the_decoder_is_taken():
    stored = published_names()
    ours = TAEHVDecoderConfig().setup(device="meta").network.state_dict()
    decoders = {name: shape for name, shape in stored.items() if name.startswith("decoder.")}
    assert {name: list(tensor.shape) for name, tensor in ours.items()} == decoders
    assert all(name.startswith("encoder.") for name in stored.keys() - decoders.keys())


def test_a_published_checkpoint_loads_and_its_encoder_is_left(tmp_path):
    """As it lies in the author's repository: a .pth of float16, both halves in it."""
    source = TAEHVDecoderConfig(**TINY).setup()
    tensors = {name: tensor.half() for name, tensor in source.network.state_dict().items()}
    torch.save({**tensors, "encoder.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "taew2_1.pth")
    decoder = TAEHVDecoderConfig(**TINY, weights=str(tmp_path / "taew2_1.pth"), weights_seed=5).setup()
    latents = noise((1, 16, 2, 2, 2))
    pixels = source(latents, None)[0]
    assert (decoder(latents, None)[0] - pixels).abs().max() < 0.02 * pixels.std()
    with pytest.raises(WeightsError, match="shape"):
        TAEHVDecoderConfig(weights=str(tmp_path / "taew2_1.pth")).setup()


def test_the_component_has_the_published_weights():
    (component,) = flashdreams_components()
    assert (component.kind, component.name) == ("decoder", "taehv-wan2.1")
    config = load_component(component)
    assert config == taew2_1()
    (reference,) = references_of(config)
    entry = find_entry(reference)
    assert (entry.licence, [file.path for file in entry.files]) == ("MIT", ["taew2_1.pth"])
    assert entry.address(entry.files[0]).endswith("/taew2_1.pth")
    assert references_of(TAEHVDecoderConfig()) == []


@pytest.mark.parametrize(
    "fields",
    [
        dict(blocks=0),
        dict(spatial_compression=4),
        dict(temporal_compression=2),
        dict(upscale_time=(False, True)),
    ],
)
def test_decoders_that_cannot_be(fields):
    with pytest.raises(FieldValueError):
        TAEHVDecoderConfig(**fields)
