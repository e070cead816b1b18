import pytest
import torch

from flashdreams.errors import DeviceError
from flashdreams.infra.device import available_devices, cpu_threads, resolve_device


def test_auto_takes_the_fastest_there_is():
    assert resolve_device("auto") == torch.device(available_devices()[0])
    assert available_devices()[-1] == "cpu"


def test_the_cpu_is_always_there():
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "", "cuda:-1", "cpu:0"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    here = available_devices()
    assert str(caught.value).splitlines() == [
        f"The device is {name!r}.",
        f"This machine has {', '.join(sorted(here))}.",
        f"Set --device to one of these, or to auto, which takes {here[0]} here.",
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_by_kind_and_by_number():
    assert resolve_device("cuda").type == "cuda"
    assert resolve_device("cuda:0") == torch.device("cuda:0")


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with cpu_threads(before + 2) as count:
        assert count == torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before
    with cpu_threads(None) as count:
        assert count == before


def test_threads_are_given_back_after_an_error():
    before = torch.get_num_threads()

    @cpu_threads(before + 2)
    def fail():
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert torch.get_num_threads() == before
