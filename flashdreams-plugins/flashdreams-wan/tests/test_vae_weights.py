"""The VAE's tensors: every published name and shape, both layouts, and random ones that show a picture."""

import json

import pytest
import torch
from safetensors.torch import save_file

from flashdreams.errors import FieldValueError, WeightsError
from flashdreams.infra.config.placement import placing
from flashdreams_wan.vae.config import PUBLISHED_MEAN, PUBLISHED_STD, WanVAEDecoderConfig, WanVAEEncoderConfig
from flashdreams_wan.vae.layouts import DECODER, ENCODER, layouts

HALVES = ((WanVAEEncoderConfig, ENCODER), (WanVAEDecoderConfig, DECODER))


def consumed(stored, **fields):
    """Names and shapes that the two halves take of a file, by the file's names; shapes are compared."""
    taken = {}
    for config_class, half in HALVES:
        config = config_class(**fields)
        layout = next(each for each in layouts(config, half) if each.fits(stored))
        wanted = {name: list(t.shape) for name, t in config.setup(device="meta").network.state_dict().items()}
        ours = {layout.renamed(name): name for name in stored if layout.renamed(name)}
        assert {name: stored[stored_name] for name, stored_name in ours.items()} == wanted
        taken |= {name: stored[name] for name in ours.values()}
    return taken


@pytest.mark.parametrize("names", ["wan21_vae_keys", "wan21_vae_diffusers_keys"])
def test_every_published_tensor_is_taken(oracles, names):
    stored = json.loads((oracles / f"keys/{names}.json").read_text())["keys"]
    assert len(stored) == 194
    assert consumed(stored) == stored


@pytest.mark.parametrize(
    "fields",
    [
        {},
        dict(base_width=4, residual_blocks=1, latent_channels=4),
        dict(
            base_width=6, multipliers=(1, 3), temporal=(True,), spatial_compression=2, temporal_compression=2
        ),
    ],
)
def test_every_tensor_of_diffusers_is_taken(fields):
    from diffusers import AutoencoderKLWan

    config = WanVAEDecoderConfig(**fields)
    with torch.device("meta"):
        theirs = AutoencoderKLWan(
            base_dim=config.base_width,
            z_dim=config.latent_channels,
            dim_mult=list(config.multipliers),
            num_res_blocks=config.residual_blocks,
            temperal_downsample=list(config.temporal),
        )
    stored = {name: list(tensor.shape) for name, tensor in theirs.state_dict().items()}
    assert consumed(stored, **fields) == stored


def test_statistics_are_those_that_diffusers_publishes():
    from diffusers import AutoencoderKLWan

    defaults = AutoencoderKLWan(base_dim=2).config
    assert (list(PUBLISHED_MEAN), list(PUBLISHED_STD)) == (defaults.latents_mean, defaults.latents_std)
    other = WanVAEDecoderConfig(latent_channels=3)
    assert (other.mean, other.std) == ((0.0,) * 3, (1.0,) * 3)
    assert WanVAEDecoderConfig(latent_channels=2, latent_mean=(1.0, 2.0)).mean == (1.0, 2.0)


def test_statistics_stay_exact_in_half_precision():
    with placing(dtype="bfloat16"):
        decoder = WanVAEDecoderConfig(base_width=4).setup().to(torch.bfloat16)
    zeros = decoder.statistics.denormalised(torch.zeros(1, 16))
    assert torch.equal(zeros[0], torch.tensor(PUBLISHED_MEAN))


def test_both_halves_load_from_one_file_that_we_write(tmp_path):
    decoder, encoder = WanVAEDecoderConfig(base_width=4).setup(), WanVAEEncoderConfig(base_width=4).setup()
    file = tmp_path / "vae.safetensors"
    tensors = decoder.network.state_dict() | encoder.network.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    latents = torch.randn(1, 16, 2, 2, 2)
    again = WanVAEDecoderConfig(base_width=4, weights=str(file), weights_seed=9).setup()
    assert torch.equal(again.decode(latents), decoder.decode(latents))
    with pytest.raises(WeightsError, match="another shape"):
        WanVAEEncoderConfig(base_width=8, weights=str(file)).setup()


def test_decoded_noise_is_a_moving_picture_of_soft_colours():
    decoder = WanVAEDecoderConfig(base_width=8).setup()
    latents = torch.randn(1, 16, 3, 14, 24, generator=torch.Generator().manual_seed(0))
    pixels = decoder.decode(latents)[0]
    assert pixels.abs().max() <= 1
    assert (pixels.abs() == 1).float().mean() < 0.25
    contrast = pixels.std(dim=(2, 3)).mean()
    assert contrast > 0.1
    assert pixels.std(dim=0).mean() > 0.1, "the channels differ, so it is no grey"
    assert pixels.diff(dim=-1).abs().mean() < contrast / 5, "it is smooth"
    assert pixels.diff(dim=1).abs().mean() > 0.02, "it moves"
    other = WanVAEDecoderConfig(base_width=8, weights_seed=1).setup().decode(latents)[0]
    assert (other - pixels).abs().mean() > 0.1


def test_what_was_decoded_is_encoded_to_something():
    decoder, encoder = WanVAEDecoderConfig(base_width=8).setup(), WanVAEEncoderConfig(base_width=8).setup()
    clips = torch.randn(2, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    latents = encoder.encode(decoder.decode(clips))
    assert latents.std(dim=(0, 2, 3, 4)).min() > 0.01
    assert (latents[0] - latents[1]).abs().mean() > 0.1


def test_random_weights_are_those_of_their_seed_in_every_dtype():
    with placing(dtype="bfloat16"):
        half = WanVAEDecoderConfig(base_width=4).setup().network.state_dict()
    whole = WanVAEDecoderConfig(base_width=4).setup().network.state_dict()
    assert all(torch.equal(half[name], tensor.bfloat16()) for name, tensor in whole.items())


@pytest.mark.parametrize(
    "fields",
    [
        dict(base_width=0),
        dict(multipliers=(1,)),
        dict(temporal=(True, True)),
        dict(spatial_compression=16),
        dict(temporal_compression=8),
        dict(base_width=3, multipliers=(1, 1, 2, 2)),
        dict(latent_mean=(0.0,)),
        dict(latent_std=(0.0,) * 16),
    ],
)
@pytest.mark.parametrize("config_class", [WanVAEDecoderConfig, WanVAEEncoderConfig])
def test_architectures_that_cannot_be(config_class, fields):
    with pytest.raises(FieldValueError, match="^" + "|".join(fields)):
        config_class(**fields)


def test_only_references_of_lock_files_are_told():
    assert WanVAEDecoderConfig(weights="flashdreams_wan:vae").weight_references() == ["flashdreams_wan:vae"]
    assert WanVAEEncoderConfig(weights="vae.safetensors").weight_references() == []
    assert WanVAEEncoderConfig().weight_references() == []
