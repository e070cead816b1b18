"""The VAE against diffusers on the same weights, and against golden files of the published implementation."""

import json
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from flashdreams_wan.vae.config import WanVAEDecoderConfig, WanVAEEncoderConfig

ARCHITECTURES = {
    "base 4": dict(base_dim=4),
    "base 3, one residual block, 4 latent channels": dict(base_dim=3, num_res_blocks=1, z_dim=4),
    "two resolutions": dict(base_dim=6, dim_mult=[1, 2], temperal_downsample=[True]),
}
CLIPS = [(1, 16, 24), (5, 40, 16), (13, 24, 32)]
"""Pixel frames, height and width."""


class Pair:
    """Diffusers' VAE of random weights in float32 and float64, and ours from the file that it saves."""

    def __init__(self, folder, architecture):
        from diffusers import AutoencoderKLWan

        torch.manual_seed(0)
        self.theirs = AutoencoderKLWan(**architecture).eval().requires_grad_(False)
        file = folder / "diffusers.safetensors"
        save_file(self.theirs.state_dict(), file)
        self.exact = AutoencoderKLWan(**architecture).eval().requires_grad_(False).double()
        self.exact.load_state_dict(self.theirs.double().state_dict())
        self.theirs.float()
        self.enlarge_exactly()
        fields = our_fields(architecture)
        self.decoder = WanVAEDecoderConfig(weights=str(file), **fields).setup()
        self.encoder = WanVAEEncoderConfig(weights=str(file), **fields).setup()

    def enlarge_exactly(self):
        """Diffusers enlarges in float32 whatever it is given; the reference may not."""
        for part in self.exact.decoder.modules():
            if hasattr(part, "resample"):
                part.resample[0] = torch.nn.Upsample(scale_factor=(2.0, 2.0), mode="nearest-exact")


def our_fields(architecture):
    """Fields of our configs for an architecture of diffusers, with latents that are not normalised."""
    channels = architecture.get("z_dim", 16)
    temporal = architecture.get("temperal_downsample", [False, True, True])
    multipliers = architecture.get("dim_mult", [1, 2, 4, 4])
    return dict(
        base_width=architecture["base_dim"],
        residual_blocks=architecture.get("num_res_blocks", 2),
        latent_channels=channels,
        multipliers=tuple(multipliers),
        temporal=tuple(temporal),
        spatial_compression=2 ** (len(multipliers) - 1),
        temporal_compression=2 ** sum(temporal),
        latent_mean=(0.0,) * channels,
        latent_std=(1.0,) * channels,
    )


@pytest.fixture(scope="module", params=ARCHITECTURES)
def pair(request, tmp_path_factory):
    return Pair(tmp_path_factory.mktemp("vae"), ARCHITECTURES[request.param])


def error(result, exact):
    return (result.double() - exact).abs().max().item()


def deviation(result, exact):
    return (result.double() - exact).square().mean().sqrt().item()


def clips(config):
    """Latents and pixels of several sizes, for an architecture."""
    generator = torch.Generator().manual_seed(1)
    step, scale = config.temporal_compression, config.spatial_compression
    for frames, height, width in CLIPS:
        size = (1 + (frames - 1) // step, height // scale, width // scale)
        latents = torch.randn(2, config.latent_channels, *size, generator=generator)
        yield latents, torch.rand(2, 3, frames, height, width, generator=generator) * 2 - 1


def check_errors(ours, theirs, exact, record):
    """Each is a list over clips. The largest error of a clip is luck, that of all hardly."""
    record(max(map(error, ours, exact)), max(map(error, theirs, exact)))
    assert min(reference.std() for reference in exact) > 0.05
    for mine, other, reference in zip(ours, theirs, exact, strict=True):
        assert deviation(mine, reference) <= 2 * deviation(other, reference)
    assert max(map(error, ours, exact)) <= 2 * max(map(error, theirs, exact)) < 1e-4


def test_our_decoding_error_is_at_most_twice_diffusers_own(pair, parity):
    given = [latents for latents, _ in clips(pair.decoder.config)]
    exact = [pair.exact.decode(latents.double()).sample for latents in given]
    theirs = [pair.theirs.decode(latents).sample for latents in given]
    record = partial(parity, "VAE decoder, against diffusers")
    check_errors([pair.decoder.decode(latents) for latents in given], theirs, exact, record)


def test_our_encoding_error_is_at_most_twice_diffusers_own(pair, parity):
    if pair.encoder.config.temporal_compression != 4:
        pytest.skip("diffusers encodes four frames at a time whatever the architecture")
    given = [pixels for _, pixels in clips(pair.encoder.config)]
    exact = [pair.exact.encode(pixels.double()).latent_dist.mean for pixels in given]
    theirs = [pair.theirs.encode(pixels).latent_dist.mean for pixels in given]
    record = partial(parity, "VAE encoder, against diffusers")
    check_errors([pair.encoder.encode(pixels) for pixels in given], theirs, exact, record)


def test_latents_are_normalised_as_published(tmp_path):
    pair = Pair(tmp_path, ARCHITECTURES["base 4"])
    fields = dict(base_width=4, weights=str(tmp_path / "diffusers.safetensors"))
    statistics = (pair.theirs.config.latents_mean, pair.theirs.config.latents_std)
    mean, std = (torch.tensor(values).view(-1, 1, 1, 1) for values in statistics)
    pixels = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    latents = (pair.theirs.encode(pixels).latent_dist.mean - mean) / std
    assert error(WanVAEEncoderConfig(**fields).setup().encode(pixels), latents.double()) < 1e-5
    decoded = pair.theirs.decode(latents * std + mean).sample
    assert error(WanVAEDecoderConfig(**fields).setup().decode(latents), decoded.double()) < 1e-5


def test_half_precision_is_as_near_as_diffusers(tmp_path):
    from diffusers import AutoencoderKLWan

    pair = Pair(tmp_path, ARCHITECTURES["base 4"])
    half = AutoencoderKLWan(**ARCHITECTURES["base 4"]).to(torch.bfloat16)
    half.load_state_dict(pair.theirs.bfloat16().state_dict())
    latents = torch.randn(1, 16, 3, 3, 4).bfloat16()
    exact = pair.exact.decode(latents.double()).sample
    ours = pair.decoder.bfloat16().decode(latents)
    assert ours.dtype == torch.bfloat16
    with torch.no_grad():
        assert error(ours, exact) <= 2 * error(half.decode(latents).sample, exact)


def golden(oracles, name):
    return load_file(oracles / name)


def test_the_published_encoder_and_decoder(oracles):
    tensors = golden(oracles, "wan21_tiny/vae_io.safetensors")
    assert json.loads((oracles / "wan21_tiny/config.json").read_text())["vae"]["dim"] == 8
    fields = dict(base_width=8, weights=str(oracles / "wan21_tiny/vae.safetensors"))
    latents = WanVAEEncoderConfig(**fields).setup().encode(tensors["video"])
    assert error(latents, tensors["z"].double()) <= 1e-4
    pixels = WanVAEDecoderConfig(**fields).setup().decode(tensors["z"])
    assert error(pixels, tensors["dec"].clamp(-1, 1).double()) <= 1e-4


@pytest.mark.parametrize("chunk", [1, 3, 9])
def test_the_video_of_a_published_rollout(oracles, chunk):
    tensors = golden(oracles, "sf_tiny/io.safetensors")
    decoder = WanVAEDecoderConfig(base_width=8, weights=str(oracles / "sf_tiny/vae.safetensors")).setup()
    state, pixels = None, []
    for latents in tensors["latents"].transpose(1, 2).split(chunk, dim=2):
        made, state = decoder(latents, state)
        pixels.append(made)
    video = (torch.cat(pixels, dim=2).transpose(1, 2) + 1) / 2
    assert error(video, tensors["video"].double()) <= 1e-4
