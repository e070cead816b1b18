"""The way a block takes on a GPU: the same values, and a handful of kernels between its products."""

from importlib.util import find_spec

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from flashdreams.core.kv_cache import KVCache
from flashdreams_wan.dit.attend import OverCache, WithinChunk, rotations
from flashdreams_wan.dit.blocks import WanBlock
from flashdreams_wan.dit.on_card import fused_block

SETTINGS = {
    "absolute": dict(),
    "window": dict(rope_positions="window", sink=2),
    "a compact cache": dict(cache_dtype="float8_e4m3fn"),
    "guided, with an image": dict(guidance_scale=2.0, image_width=12, image_tokens=5, condition_channels=3),
    "a clip at once": dict(chunk=6),
}


def rollout(pipeline, chunks):
    def drawn(*shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))

    conditions = dict(image=drawn(1, 5, 12), condition=drawn(1, 3, 6 * chunks, 4, 6))
    with pipeline.initialize_cache(prompts="a fox", negative_prompt="blur", **conditions) as cache:
        return torch.cat([chunk.float() for chunk in pipeline.stream(cache, [None] * chunks)], dim=2)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_rollout_is_the_same(setting, tiny_pipeline, monkeypatch):
    pipeline, chunks = tiny_pipeline(**SETTINGS[setting]), 1 if setting == "a clip at once" else 4
    plain = rollout(pipeline, chunks)
    monkeypatch.setattr(WanBlock, "forward", fused_block)
    # The twins run here, and in float32 they are the same operators: no difference was measured.
    torch.testing.assert_close(rollout(pipeline, chunks), plain, atol=1e-6, rtol=0)


def test_in_bfloat16_it_is_as_near_to_float32(tiny_pipeline, monkeypatch):
    exact = rollout(tiny_pipeline(), 3)
    pipeline = tiny_pipeline(dtype="bfloat16")
    plain = rollout(pipeline, 3)
    monkeypatch.setattr(WanBlock, "forward", fused_block)
    fused = rollout(pipeline, 3)
    assert not torch.equal(fused, plain)
    assert (fused - exact).square().mean() <= 2 * (plain - exact).square().mean()


class Kernels(TorchDispatchMode):
    """Names of the kernels that run inside."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        if name.startswith("flashdreams::"):
            self.names.append(name.removeprefix("flashdreams::").removesuffix("_kernel"))
        return function(*args, **(kwargs or {}))


def over_cache(positions):
    cache = KVCache(
        layers=1,
        batch_size=1,
        heads=2,
        head_dim=12,
        frame_tokens=6,
        window=3,
        sink=0,
        chunk=1,
        dtype=torch.bfloat16,
        device="cuda",
        rope_positions=positions,
    )
    cache.begin_chunk(0)
    raw = rotations(cache.key_positions, 2, 3, 12) if positions == "window" else None
    return OverCache(cache.layers[0], rotations(cache.query_positions, 2, 3, 12), raw, "auto")


def within_chunk():
    return WithinChunk(rotations(torch.arange(1, device="cuda"), 2, 3, 12), "auto")


ATTENTION = {
    "absolute": (lambda: over_cache("absolute"), ["norm_rope_write"]),
    "window": (lambda: over_cache("window"), ["norm_rope_write", "norm_rope"]),
    "a clip at once": (within_chunk, ["norm_rope", "norm_rope"]),
}


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize("name", ATTENTION)
def test_on_a_card_kernels_do_what_lies_between_the_products(name):
    attend, kernels = ATTENTION[name]
    with torch.device("meta"):
        block = WanBlock(width=24, mlp_width=48, heads=2, eps=1e-6, looks_at_image=False, backend="auto")
    block.to(torch.bfloat16)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        block.to_empty(device="cuda")
        tokens, told = torch.zeros(1, 6, 24, dtype=torch.bfloat16), torch.zeros(6, 24).unbind(0)
        text = tuple(torch.zeros(1, 5, 2, 12, dtype=torch.bfloat16) for _ in range(2))
        here = attend()
        with Kernels() as ran:
            block(tokens, told, text, None, here)
    assert ran.names == ["modulate", *kernels, "add_modulate", "add_modulate", "gated_add"]
