"""Chunks over the KV cache, against one dense pass over all latent frames under a mask."""

import pytest
import torch

from flashdreams.core.kv_cache_naive import NaiveKVCache
from flashdreams.core.rope import apply_rope, rope_angles
from flashdreams_wan.dit.transformer import WanTransformer

CHUNKS = 6
SIZE = (4, 6)
TOKENS = 6  # of a latent frame
TIMESTEP = torch.tensor([500.0])


class DenseAttention:
    """The slow twin: every chunk's queries over all tokens at once, softmax written out, under a mask."""

    def __init__(self, config, *, masked=True):
        self.config, self.masked = config, masked

    def chunks_in_sight(self, index):
        if not self.masked:
            return list(range(CHUNKS))
        sink, window = (size // self.config.chunk for size in (self.config.sink, self.config.window))
        recent = range(max(0, index + 1 - (window - sink)), index + 1)
        return sorted({*range(min(sink, index)), *recent})

    def positions(self, index):
        """Positions of all latent frames, as chunk ``index`` counts them; of those out of sight, anything."""
        chunk = self.config.chunk
        if self.config.rope_positions == "absolute":
            return torch.arange(CHUNKS * chunk)
        frames = torch.zeros(CHUNKS * chunk, dtype=torch.int64)
        for place, seen in enumerate(self.chunks_in_sight(index)):
            frames[seen * chunk : (seen + 1) * chunk] = torch.arange(place * chunk, (place + 1) * chunk)
        return frames

    def __call__(self, q, k, v):
        length = self.config.chunk * TOKENS
        read = []
        for index in range(CHUNKS):
            here = slice(index * length, (index + 1) * length)
            angles = rope_angles(
                self.positions(index), SIZE[0] // 2, SIZE[1] // 2, head_dim=self.config.head_width
            )
            queries, keys = apply_rope(q, *angles)[:, here], apply_rope(k, *angles)
            scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys) / self.config.head_width**0.5
            hidden = torch.ones(CHUNKS, length, dtype=torch.bool)
            hidden[self.chunks_in_sight(index)] = False
            weights = scores.masked_fill(hidden.flatten(), -torch.inf).softmax(dim=-1)
            read.append(torch.einsum("bhqk,bkhd->bqhd", weights, v))
        return torch.cat(read, dim=1)


def begun(transformer, batch=1, prompts=("a", "b")):
    """A rollout that has begun."""
    config = transformer.config
    cache = transformer.allocate_cache(batch, transformer.latent_shape(*SIZE))
    texts = [transformer.context_encoder.encode_prompts([prompt] * batch) for prompt in prompts]
    assert config.text_tokens == texts[0].shape[1]
    transformer.begin_rollout(cache, {"text": texts[0], "negative": texts[1]})
    return cache


def latents_of(config, batch=1):
    shape = (batch, config.latent_channels, CHUNKS * config.chunk, *SIZE)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def chunk_by_chunk(transformer, cache, latents):
    flows = []
    for index, chunk in enumerate(latents.split(transformer.config.chunk, dim=2)):
        transformer.begin_chunk(cache, index)
        flows.append(transformer.predict_flow(chunk, TIMESTEP, cache, None))
    return torch.cat(flows, dim=2)


def dense(transformer, cache, latents, *, masked=True):
    attends = [DenseAttention(transformer.config, masked=masked)] * transformer.config.layers
    return transformer.network(latents, TIMESTEP, cache.text, None, attends)


WINDOWS = {
    "all in sight": dict(chunk=1, window=6),
    "a short window": dict(chunk=1, window=3),
    "chunks of 2": dict(chunk=2, window=4),
    "chunks of 3": dict(chunk=3, window=12),
    "a sink": dict(chunk=1, window=4, sink=2),
    "a sink, chunks of 2": dict(chunk=2, window=6, sink=2),
    "a sink, 3 heads of 16": dict(chunk=2, window=8, sink=4, heads=3, width=48),
}


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
@pytest.mark.parametrize("window", WINDOWS)
def test_chunks_over_the_cache_are_one_dense_pass_under_a_mask(window, rope_positions, tiny, parity):
    transformer = WanTransformer(tiny(rope_positions=rope_positions, **WINDOWS[window]))
    cache, latents = begun(transformer), latents_of(transformer.config)
    flow = chunk_by_chunk(transformer, cache, latents)
    expected = dense(transformer, cache, latents)
    error = (flow - expected).abs().max().item()
    parity("causal chunks over the KV cache, against one dense pass under a mask", error)
    assert 0.8 < expected.std() < 1.6
    assert error <= 2e-6
    assert (flow - dense(transformer, cache, latents, masked=False)).abs().max() > 1e-3


CHANGES = {
    "window": (dict(), dict(window=4)),
    "sink": (dict(), dict(sink=2)),
    "rope_positions beside a sink": (dict(sink=2), dict(sink=2, rope_positions="window")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_setting_of_the_window_matters(change, tiny):
    flows = [flow_with(tiny(**fields)) for fields in CHANGES[change]]
    assert (flows[0] - flows[1]).abs().max() > 1e-3


def test_without_a_sink_only_differences_of_positions_matter(tiny):
    flows = [flow_with(tiny(rope_positions=positions)) for positions in ("absolute", "window")]
    assert (flows[0] - flows[1]).abs().max() <= 2e-6


def flow_with(config):
    transformer = WanTransformer(config)
    return chunk_by_chunk(transformer, begun(transformer), latents_of(config))


def test_a_clip_at_once_is_the_dense_pass_without_a_mask(tiny):
    transformer = WanTransformer(tiny(chunk=CHUNKS, window=CHUNKS))
    cache, latents = begun(transformer), latents_of(transformer.config)[:, :, :CHUNKS]
    assert cache.past is None
    assert cache.clean is None
    transformer.begin_chunk(cache, 0)
    flow = transformer.predict_flow(latents, TIMESTEP, cache, None)
    causal = tiny(chunk=1, window=CHUNKS)
    attends = [DenseAttention(causal, masked=False)] * transformer.config.layers
    expected = transformer.network(latents, TIMESTEP, cache.text, None, attends)
    assert (flow - expected).abs().max() <= 2e-6


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
def test_a_rollout_over_the_ring_is_one_over_lists(rope_positions, tiny_pipeline):
    latents = []
    for naive in (False, True):
        pipeline = tiny_pipeline(rope_positions=rope_positions, window=6, sink=2)
        with pipeline.initialize_cache(prompts="a") as rollout:
            if naive:
                rollout.slot.transformer.past = lists_for(pipeline.diffusion_model.transformer.config)
                rollout.slot.transformer.clean = None
            latents.append(torch.cat(list(pipeline.stream(rollout, [None] * 5)), dim=2))
    assert (latents[0] - latents[1]).abs().max() <= 5e-6


def lists_for(config):
    return NaiveKVCache(
        layers=config.layers,
        batch_size=1,
        heads=config.heads,
        head_dim=config.head_width,
        frame_tokens=TOKENS,
        window=config.window,
        sink=config.sink,
        chunk=config.chunk,
        dtype=torch.float32,
        device="cpu",
        rope_positions=config.rope_positions,
    )


@pytest.mark.parametrize("window", [6, 4, 2], ids=["causal", "short", "a clip at once"])
def test_guidance_in_one_batch_is_two_passes(window, tiny):
    changes = dict(window=window, rope_positions="absolute")
    guided = WanTransformer(tiny(guidance_scale=3.0, **changes))
    plain = WanTransformer(tiny(**changes))
    latents = latents_of(plain.config, batch=2)
    if window == 2:
        latents = latents[:, :, :2]
    flow = chunk_by_chunk(guided, begun(guided, batch=2), latents)
    toward = chunk_by_chunk(plain, begun(plain, batch=2, prompts=("a", "b")), latents)
    away = chunk_by_chunk(plain, begun(plain, batch=2, prompts=("b", "b")), latents)
    assert (toward - away).abs().max() > 1e-3
    assert (flow - (away + 3.0 * (toward - away))).abs().max() <= 2e-5


def test_the_clean_pass_leaves_what_later_chunks_see(tiny):
    """Keys and values are those at ``context_noise``, not those of the last denoising step."""
    for context_noise in (0.0, 120.0):
        transformer = WanTransformer(tiny(context_noise=context_noise))
        cache, latents = begun(transformer), latents_of(transformer.config)[:, :, :2]
        transformer.begin_chunk(cache, 0)
        transformer.predict_flow(latents, TIMESTEP, cache, None)
        noisy = cache.past.keys.clone()
        transformer.write_context(latents, cache, None)
        written = cache.past.keys.clone()
        assert (noisy - written).abs().max() > 1e-3
        transformer.predict_flow(latents, torch.tensor([context_noise]), cache, None)
        assert torch.equal(cache.past.keys, written)
