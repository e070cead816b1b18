"""The same on a card, where there is one; `nox -s gpu` does more."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from flashdreams.engine.graphs.choice import graphs_on
from flashdreams.engine.graphs.cuda import CudaBackend
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


class Cuda:
    """Stands for torch.cuda, where a capture fails at its end and leaves its stream the current one."""

    CUDAGraph = object

    def __init__(self):
        self.here = "the caller's"

    def Stream(self, device):
        return "of captures"

    def graph_pool_handle(self):
        return 0

    def memory_reserved(self, device):
        return 0

    def current_stream(self, device):
        return self.here

    def device(self, device):
        return nullcontext()

    @contextmanager
    def stream(self, stream):
        before, self.here = self.here, stream
        try:
            yield
        finally:
            self.here = before

    @contextmanager
    def graph(self, graph, *, stream, **options):
        self.here = stream
        yield
        raise RuntimeError("operation not permitted when stream is capturing")


def test_a_capture_that_fails_gives_the_caller_its_stream_back(monkeypatch):
    cuda = Cuda()
    monkeypatch.setattr("flashdreams.engine.graphs.cuda.torch.cuda", cuda)
    backend = CudaBackend(torch.device("cuda"))
    with pytest.raises(RuntimeError, match="not permitted"):
        backend.capture(lambda: None, "in turn")
    assert cuda.here == "the caller's"
