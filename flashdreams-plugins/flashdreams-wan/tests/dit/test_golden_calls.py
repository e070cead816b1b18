"""Every network call of the published Self-Forcing rollouts: flow, clean latents, and what is cached."""

import json

import pytest
import torch
from safetensors.torch import load_file

from flashdreams.infra.config.placement import placing
from flashdreams_wan.dit.transformer import WanTransformer

CALLS = range(15)
SIZE = (8, 12)


class Golden:
    """One golden rollout."""

    def __init__(self, folder, tiny):
        self.folder, self.tiny = folder, tiny
        self.io = load_file(folder / "io.safetensors")
        self.model = json.loads((folder / "config.json").read_text())["model"]

    def call(self, number, name):
        return self.io[f"call.{number:03d}.{name}"]

    def latents(self, number, name):
        """``[B, T, C, H, W]`` in the file."""
        return self.call(number, name).transpose(1, 2)

    def sigma(self, number):
        """The noise level of a call: the published code looks up the nearest of a thousand."""
        distances = (self.io["timesteps"] - self.call(number, "timestep")[0, 0]).abs()
        return self.io["sigmas"][distances.argmin()]

    def replayed(self, dtype):
        """Our flow, and the cache after it, for each call with what the published code handed in."""
        config = self.tiny(
            latent_channels=16,
            chunk=3,
            window=21,
            width=self.model["dim"],
            text_tokens=self.model["text_len"],
            text_width=self.model["text_dim"],
            weights=str(self.folder / "model.safetensors"),
        )
        with placing(dtype=dtype):
            transformer = WanTransformer(config).to(getattr(torch, dtype))
        cache = transformer.allocate_cache(1, transformer.latent_shape(*SIZE))
        transformer.begin_rollout(cache, {"text": self.io["prompt_embeds"]})
        for number in CALLS:
            noisy = self.latents(number, "noisy").to(getattr(torch, dtype))
            transformer.begin_chunk(cache, number // 5)
            yield transformer.predict_flow(noisy, self.call(number, "timestep")[0, :1], cache, None), cache


@pytest.fixture(scope="module")
def golden(oracles, tiny):
    return Golden(oracles / "sf_tiny", tiny)


@pytest.fixture(scope="module")
def short_golden(oracles, tiny):
    return Golden(oracles / "sf_tiny_bf16", tiny)


def difference(ours, theirs):
    return (ours.float() - theirs.float()).abs().max().item()


def test_each_call_is_the_published_one(golden):
    for number, (flow, cache) in enumerate(golden.replayed("float32")):
        assert difference(flow, golden.latents(number, "flow")) < 1e-5
        clean = golden.latents(number, "noisy") - golden.sigma(number) * flow
        assert difference(clean, golden.latents(number, "x0")) < 1e-5
        filled = int(golden.call(number, "local_end"))
        assert cache.past.filled == filled
        for layer in range(2):
            for cached, name in ((cache.past.keys, "k"), (cache.past.values, "v")):
                theirs = golden.call(number, f"{name}{layer}")[:, :filled]
                assert difference(cached[layer, :, :filled], theirs) < 1e-5


def test_the_error_of_bfloat16_is_at_most_twice_the_published_ones(short_golden, parity):
    """Against float32 with the same weights and inputs, call by call."""
    ours, theirs = [], []
    runs = zip(short_golden.replayed("bfloat16"), short_golden.replayed("float32"), strict=True)
    for number, ((short, _), (long, _)) in enumerate(runs):
        ours.append(difference(short, long))
        theirs.append(difference(short_golden.latents(number, "flow"), long))
    parity(
        "transformer in bfloat16, against Self-Forcing's published code in bfloat16", max(ours), max(theirs)
    )
    assert min(theirs) > 1e-3
    assert max(ours) <= 2 * max(theirs)
    assert sum(ours) <= 2 * sum(theirs)
