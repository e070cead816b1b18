import numpy as np
import pytest
import torch

from flashdreams.infra.pipeline.noise import philox_noise

SHAPE = (4, 2, 3, 3)


def test_noise_depends_on_every_argument_and_on_nothing_else():
    base = philox_noise(7, 3, 1, 2, SHAPE)
    torch.manual_seed(0)
    np.random.seed(0)
    assert torch.equal(base, philox_noise(7, 3, 1, 2, SHAPE))
    for changed in [(8, 3, 1, 2), (7, 4, 1, 2), (7, 3, 2, 2), (7, 3, 1, 3)]:
        assert not torch.equal(base, philox_noise(*changed, SHAPE))


def test_streams_do_not_overlap_for_large_chunks():
    # A draw uses the lowest counter word alone; the next draw, member and chunk are 2**64 away.
    draws = [philox_noise(0, *where, (50_000,)) for where in [(0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0)]]
    values = torch.cat(draws)
    assert torch.unique(values).numel() > 0.98 * values.numel()  # float32 collides now and then


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_noise_is_standard_normal(seed):
    noise = philox_noise(seed, 0, 0, 0, (100_000,))
    assert noise.dtype == torch.float32
    assert abs(float(noise.mean())) < 0.02  # 6 standard errors
    assert abs(float(noise.std()) - 1) < 0.02


def test_known_values_guard_against_silent_change():
    values = philox_noise(42, 1, 0, 0, (3,))
    generator = np.random.Generator(np.random.Philox(key=42, counter=[0, 0, 0, 1]))
    assert values.tolist() == generator.standard_normal(3, dtype=np.float32).tolist()
