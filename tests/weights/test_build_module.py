import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flashdreams.errors import ComponentError, WeightsFileError
from flashdreams.infra.config.placement import placing
from flashdreams.io.build import build_module
from flashdreams.io.layout import Layout


class Net(nn.Module):
    def __init__(self, table_device="cpu"):
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.again = nn.Linear(3, 4)
        self.again.weight = self.embed.weight
        self.register_buffer("count", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("table", torch.arange(4.0, device=table_device), persistent=False)


def seeded(module):
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    module.count.fill_(5)


def built(weights="random", build=Net, **options):
    options = {"layouts": [Layout("plain")], "initialise": seeded, **options}
    return build_module(build, weights, **options)


def test_random_weights_are_the_same_every_time_and_tied_ones_stay_tied():
    first, second = built(), built()
    assert torch.equal(first.embed.weight, second.embed.weight)
    assert first.again.weight is first.embed.weight
    assert first.count.tolist() == [5, 5]
    assert first.table.tolist() == [0, 1, 2, 3]


def test_they_come_in_the_dtype_that_is_being_built():
    with placing(dtype="bfloat16"):
        module = built()
    assert module.embed.weight.dtype == torch.bfloat16
    assert module.count.dtype == torch.int64
    assert torch.equal(module.embed.weight.float(), built().embed.weight.bfloat16().float())


def test_a_skeleton_reads_nothing():
    with placing(dtype="bfloat16", device="meta"):
        module = built("nowhere.safetensors", lora=["nowhere.safetensors"])
    assert {value.device.type for value in module.parameters()} == {"meta"}
    assert module.embed.weight.dtype == torch.bfloat16


def test_a_file_is_loaded_in_dtype(tmp_path):
    source = built()
    state = {name: value for name, value in source.state_dict().items() if name != "again.weight"}
    save_file(state, tmp_path / "w.safetensors")
    with placing(dtype="bfloat16"):
        module = built(str(tmp_path / "w.safetensors"))
    assert torch.equal(module.embed.weight, source.embed.weight.bfloat16())
    assert module.again.weight is module.embed.weight


def test_only_takes_the_place_of_that_of_the_layouts(tmp_path):
    state = {"embed.weight": torch.ones(4, 3), "embed.bias": torch.ones(4), "other": torch.ones(1)}
    save_file(state, tmp_path / "w.safetensors")

    def part():
        return nn.ModuleDict({"embed": nn.Linear(3, 4)})

    layouts = [Layout("plain", only="^other")]
    module = built(str(tmp_path / "w.safetensors"), part, layouts=layouts, only=r"^embed\.")
    assert torch.equal(module["embed"].weight, torch.ones(4, 3))


def test_a_lora_is_merged(tmp_path):
    state = {"x.lora_A.weight": torch.ones(1, 3), "x.lora_B.weight": torch.ones(4, 1)}
    save_file(state, tmp_path / "l.safetensors")
    layouts = [Layout("plain", renames=((r"^x\.", "embed."),))]
    changed = built(lora=[f"{tmp_path}/l.safetensors:0.5", f"{tmp_path}/l.safetensors"], layouts=layouts)
    assert torch.allclose(changed.embed.weight, built().embed.weight + 1.5)


def test_an_absent_file():
    with pytest.raises(WeightsFileError, match="There is no weights file or folder nowhere"):
        built("nowhere")


def test_a_table_on_meta_is_the_author_s_mistake():
    with pytest.raises(ComponentError, match="Net keeps the buffer table on meta"):
        built(build=lambda: Net("meta"), initialise=lambda module: None)
