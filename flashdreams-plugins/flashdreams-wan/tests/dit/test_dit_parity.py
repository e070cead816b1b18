"""The network against diffusers' on the same weights, and against the published one's golden forward."""

import json

import pytest
import torch
from safetensors.torch import load_file

from flashdreams_wan.dit.attend import WithinChunk, rotations
from flashdreams_wan.dit.layouts import DIFFUSERS
from flashdreams_wan.dit.network import WanDiT
from flashdreams_wan.dit.random_weights import initialise


def stacked(layers):
    keys, values = zip(*layers, strict=True)
    return torch.stack(keys), torch.stack(values)


def flow_of(network, config, latents, timestep, text, image=None):
    """One pass over all latent frames at once."""
    _, _, frames, height, width = latents.shape
    turns = rotations(torch.arange(frames), height // 2, width // 2, config.head_width)
    seen = stacked(network.image_keys_values(image)) if image is not None else None
    read = stacked(network.text_keys_values(text))
    attends = [WithinChunk(turns, "auto")] * len(network.blocks)
    return network(latents, timestep, read, seen, attends)


@pytest.fixture(scope="module")
def twins(tiny):
    """Our network and diffusers' with the same random weights."""
    from diffusers import WanTransformer3DModel

    def build(heads, head_width, layers, image):
        width = heads * head_width
        config = tiny(
            heads=heads,
            width=width,
            mlp_width=2 * width,
            layers=layers,
            latent_channels=16,
            text_tokens=512,  # diffusers counts on it where there is an image
            condition_channels=20 if image else 0,
            image_width=24 if image else 0,
        )
        ours = WanDiT(config)
        initialise(ours, seed=layers)
        theirs = WanTransformer3DModel(
            num_attention_heads=heads,
            attention_head_dim=head_width,
            in_channels=36 if image else 16,
            out_channels=16,
            text_dim=config.text_width,
            freq_dim=config.frequency_width,
            ffn_dim=config.mlp_width,
            num_layers=layers,
            image_dim=config.image_width or None,
            added_kv_proj_dim=width if image else None,
        )
        weights = ours.state_dict()
        theirs.load_state_dict({name: weights[DIFFUSERS.renamed(name)] for name in theirs.state_dict()})
        return config, ours.eval(), theirs.eval()

    return build


SIZES = {
    "2 heads of 12": (2, 12, 2, (1, 3, 8, 12)),
    "4 heads of 16, two videos": (4, 16, 3, (2, 2, 6, 10)),
    "3 heads of 32": (3, 32, 4, (1, 5, 4, 8)),
    "1 head of 128, one frame": (1, 128, 2, (1, 1, 16, 16)),
}


@pytest.mark.parametrize("timestep", [0.0, 1.0, 625.0, 833.3333, 1000.0])
@pytest.mark.parametrize("image", [False, True], ids=["text", "image and text"])
@pytest.mark.parametrize("size", SIZES)
def test_our_error_is_at_most_twice_that_of_diffusers(size, image, timestep, twins, parity):
    """Both in float32, against our network in float64; diffusers' has float32 inside whatever its dtype."""
    heads, head_width, layers, (batch, *frames) = SIZES[size]
    config, ours, theirs = twins(heads, head_width, layers, image)
    draw = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, 36 if image else 16, *frames, generator=draw)
    text = torch.randn(batch, 512, config.text_width, generator=draw)
    text[:, 300:] = 0
    seen = torch.randn(batch, 11, config.image_width, generator=draw) if image else None
    time = torch.tensor([timestep])
    flow = flow_of(ours, config, latents, time, text, seen)
    expected = theirs(latents, time.expand(batch), text, seen).sample
    longer = [None if given is None else given.double() for given in (latents, text, seen)]
    exact = flow_of(ours.double(), config, longer[0], time, *longer[1:])
    error, their_error = ((each - exact).abs().max().item() for each in (flow, expected))
    parity("transformer, one pass, against diffusers", error, their_error)
    assert 0.8 < exact.std() < 1.6
    assert their_error < 5e-5, "both compute the same"
    assert error <= 2 * their_error


def test_the_golden_forward(oracles, tiny, parity):
    config = json.loads((oracles / "wan21_tiny/config.json").read_text())["wan"]
    io = load_file(oracles / "wan21_tiny/wan_model_io.safetensors")
    config = tiny(latent_channels=16, text_tokens=config["text_len"], width=config["dim"])
    network = WanDiT(config)
    network.load_state_dict(load_file(oracles / "wan21_tiny/wan_model.safetensors"))
    text = torch.zeros(1, config.text_tokens, config.text_width)
    text[0, : len(io["context"])] = io["context"]
    flow = flow_of(network, config, io["x"][None], io["t"], text)
    error = (flow[0] - io["out"]).abs().max().item()
    parity("transformer, one pass, against Wan's published code", error)
    assert error < 1e-5
