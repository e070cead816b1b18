"""The same on a card, where there is one; `nox -s gpu` does more."""

import pytest
import torch

from flashdreams.engine.graphs.choice import graphs_on
from flashdreams.errors import DeviceError
from flashdreams.testing.toy import toy_pipeline_config

on_a_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def video(pipeline, count, seed=0):
    with pipeline.initialize_cache(seed=seed) as rollout:
        return list(pipeline.stream(rollout, [0.5] * count))


@on_a_card
def test_replays_equal_the_code_and_a_second_rollout_captures_nothing():
    device = torch.device("cuda")
    eager, pipeline = (toy_pipeline_config().setup(device="cuda") for _ in range(2))
    graphs = graphs_on(device, True)
    graphs.strict = True
    pipeline.execution = graphs
    pipeline.warmup(controls=[0.5])
    made = graphs.count
    for seed, count in ((1, 7), (2, 20)):
        expected = video(eager, count, seed)
        assert all(map(torch.equal, video(pipeline, count, seed), expected))
    assert graphs.count == made


def test_where_there_are_none():
    cpu = torch.device("cpu")
    assert graphs_on(cpu) is None
    assert graphs_on(cpu, False) is None
    assert graphs_on(torch.device("cuda"), False) is None
    with pytest.raises(DeviceError, match="use_cuda_graph is True, and the device is cpu"):
        graphs_on(cpu, True)
