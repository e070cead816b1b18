"""What the KV ring copies for a chunk: its own keys and values, and not a byte more."""

import pytest
import torch

from flashdreams.bench.copied_bytes import CopiedBytes, RollingWindow
from flashdreams.infra.config import derive_config
from flashdreams.testing.toy import toy_pipeline_config

PASSES = len(toy_pipeline_config().diffusion_model.scheduler.denoising_timesteps) + 1


def chunk_bytes(past):
    """Keys and values of one chunk in all layers."""
    return 2 * past.keys[:, :, : past.write_index.numel()].nbytes


@pytest.mark.parametrize("sink", [0, 2])
def test_a_chunk_writes_its_own_keys_and_values_and_moves_none(sink):
    config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=dict(sink=sink)))
    pipeline = config.setup()
    rollout = pipeline.initialize_cache()
    past = rollout.slot.transformer.past
    for index in range(3 * past.window // past.chunk):
        with CopiedBytes([past.keys, past.values]) as copied:
            pipeline.generate(index, rollout, input=0.5)
            pipeline.finalize(index, rollout)
        assert (copied.written, copied.moved) == (PASSES * chunk_bytes(past), 0)


def test_a_rolling_window_copies_all_that_it_keeps_twice(toy):
    past = toy.initialize_cache().slot.transformer.past
    rolling = RollingWindow(past.keys[0], len(past.keys))
    new = torch.ones_like(past.keys[0, :, : past.write_index.numel()])
    with CopiedBytes(rolling.memory) as copied:
        rolling.begin_chunk(new.shape[1])
        for layer in range(len(past.keys)):
            rolling.update(layer, new, new)
    kept = 2 * past.keys.nbytes - chunk_bytes(past)
    assert (copied.written, copied.moved) == (kept + chunk_bytes(past), kept)
    assert all(memory[:, -new.shape[1] :].all() for memory in rolling.memory)


@pytest.mark.parametrize(
    "fault",
    [
        lambda keys: keys.clone(),
        lambda keys: torch.cat([keys, keys]),
        lambda keys: keys.roll(1, 1),
        lambda keys: keys.mul(2),
        lambda keys: keys[:, :1].copy_(keys[:, 1:2]),
    ],
)
def test_whatever_copies_the_past_is_found(fault):
    keys = torch.zeros(1, 4, 2, 2)
    with CopiedBytes([keys]) as copied:
        fault(keys)
    assert copied.moved > 0


def test_attention_only_reads_the_past():
    keys = torch.zeros(1, 2, 4, 8)
    with CopiedBytes([keys]) as copied:
        torch.nn.functional.scaled_dot_product_attention(torch.ones(1, 2, 3, 8), keys, keys)
        keys.transpose(1, 2)[:, 1:]
    assert (copied.written, copied.moved) == (0, 0)
