"""LoRA against peft's own merge, in every style in which files are published."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from flashdreams.errors import LoraError, WeightsFileError
from flashdreams.io.lora import merge_lora
from flashdreams.io.lora_file import split_scale

TARGETS = ["q", "out", "conv"]
DIFFUSERS = ((r"\.attn\.to_q\.", ".q."), (r"^proj_out\.", "out."))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(12, 8)

    def forward(self, x):
        return self.q(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, (2, 2))
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.out = nn.Linear(8, 5)

    def forward(self, x):
        x = self.conv(x).mean((2, 3))
        return self.out(self.blocks[0](x) + self.blocks[1](x))


def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture(scope="module")
def peft_model():
    """Makes a model with a random LoRA of peft on it."""
    import peft

    def make(**options):
        config = {"r": 3, "lora_alpha": 5, "target_modules": TARGETS, **options}
        model = peft.get_peft_model(net(), peft.LoraConfig(**config))
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                nn.init.normal_(parameter, std=0.5)
        return model

    return make


@pytest.fixture
def tensors(tmp_path, peft_model):
    """The tensors of a LoRA by the names of modules, as in `blocks.0.q.lora_A.weight`."""
    peft_model().save_pretrained(tmp_path / "tensors")
    held = load_file(tmp_path / "tensors" / "adapter_model.safetensors")
    return {name.removeprefix("base_model.model."): value for name, value in held.items()}


def merged_by_peft(model, scale=1.0):
    for module in model.modules():
        if hasattr(module, "scaling"):
            module.scaling = {name: value * scale for name, value in module.scaling.items()}
    return model.merge_and_unload()


def difference(left, right):
    right = dict(right.named_parameters())
    return max((value - right[name]).abs().max().item() for name, value in left.named_parameters())


def saved(tensors, path, **metadata):
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata)
    return str(path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"alpha_pattern": {"blocks.0.q": 9, "out": 2}},
        {"rank_pattern": {"out": 7}},
        {"target_modules": ["q"], "lora_alpha": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("scale", [1.0, 0.25, -1.5])
def test_it_is_what_peft_merges(peft_model, tmp_path, options, scale, record_property):
    peft_model(**options).save_pretrained(tmp_path / "lora")
    ours = net()
    merge_lora(ours, f"{tmp_path}/lora:{scale}")
    theirs = merged_by_peft(peft_model(**options), scale)
    assert difference(ours, net()) > 0.1
    record_property("parity", json.dumps(["LoRA, merged, against peft", difference(ours, theirs), None]))
    assert difference(ours, theirs) <= 1e-6


def test_of_several_each_adds_its_own(tensors, tmp_path):
    path = saved(tensors, tmp_path / "l.safetensors")
    twice, once = net(), net()
    merge_lora(twice, f"{path}:0.75")
    merge_lora(twice, f"{path}:0.25")
    merge_lora(once, path)
    assert difference(twice, once) <= 1e-6


class TestStyles:
    def check(self, tensors, path, *renames, alpha=3.0):
        ours, theirs = net(), net()
        merge_lora(ours, path, *renames)
        for module, weight in [
            (name, theirs.get_parameter(f"{name}.weight")) for name in modules_of(tensors)
        ]:
            up, down = tensors[f"{module}.lora_B.weight"], tensors[f"{module}.lora_A.weight"]
            weight.data += alpha / 3 * (up.flatten(1) @ down.flatten(1)).view(weight.shape)
        assert difference(ours, net()) > 0.1
        assert difference(ours, theirs) <= 1e-6

    @pytest.mark.parametrize(
        "prefix", ["base_model.model.", "diffusion_model.", "model.diffusion_model.", "transformer.", ""]
    )
    def test_prefixes(self, tensors, tmp_path, prefix):
        path = saved({f"{prefix}{n}": v for n, v in tensors.items()}, tmp_path / "l.safetensors")
        self.check(tensors, path)

    @pytest.mark.parametrize(
        ("down", "up"),
        [
            (".lora_down.", ".lora_up."),
            (".lora.down.", ".lora.up."),
            (".lora_A.default.", ".lora_B.default."),
        ],
    )
    def test_names_of_the_matrices(self, tensors, tmp_path, down, up):
        state = {n.replace(".lora_A.", down).replace(".lora_B.", up): v for n, v in tensors.items()}
        self.check(tensors, saved(state, tmp_path / "l.safetensors"))

    @pytest.mark.parametrize("shape", [(), (1,)])
    def test_kohya_with_alphas(self, tensors, tmp_path, shape):
        state = {}
        for module in modules_of(tensors):
            name = "lora_unet_" + module.replace(".", "_")
            state[f"{name}.lora_down.weight"] = tensors[f"{module}.lora_A.weight"]
            state[f"{name}.lora_up.weight"] = tensors[f"{module}.lora_B.weight"]
            state[f"{name}.alpha"] = torch.full(shape, 2.0)
        self.check(tensors, saved(state, tmp_path / "l.safetensors"), alpha=2.0)

    def test_names_of_diffusers_through_the_renames_of_its_layout(self, tensors, tmp_path):
        state = {
            "transformer." + re.sub(r"\.q\.", ".attn.to_q.", n).replace("out.", "proj_out."): v
            for n, v in tensors.items()
        }
        self.check(tensors, saved(state, tmp_path / "l.safetensors"), (), DIFFUSERS)

    def test_the_metadata_of_diffusers(self, tensors, tmp_path):
        told = json.dumps({"transformer.lora_alpha": 6, "transformer.r": 3})
        path = saved(tensors, tmp_path / "l.safetensors", lora_adapter_metadata=told)
        self.check(tensors, path, alpha=6.0)

    def test_differences(self, tmp_path):
        state = {"diffusion_model.out.diff": torch.ones(5, 8), "diffusion_model.out.diff_b": torch.ones(5)}
        ours, path = net(), saved(state, tmp_path / "l.safetensors")
        merge_lora(ours, f"{path}:2")
        assert torch.allclose(ours.out.weight, net().out.weight + 2)
        assert torch.allclose(ours.out.bias, net().out.bias + 2)


def modules_of(tensors):
    return sorted({name.partition(".lora_")[0] for name in tensors})


def test_it_is_rounded_once(tensors, tmp_path):
    path = saved(tensors, tmp_path / "l.safetensors")
    exact, rounded = net().bfloat16().float(), net().bfloat16()
    merge_lora(exact, path)
    merge_lora(rounded, path)
    assert rounded.out.weight.dtype == torch.bfloat16
    assert torch.equal(rounded.out.weight, exact.out.weight.bfloat16())


@pytest.mark.parametrize(
    ("text", "path", "scale"),
    [
        ("a/l.safetensors", "a/l.safetensors", 1.0),
        ("a/l.safetensors:0.8", "a/l.safetensors", 0.8),
        ("l:-1", "l", -1.0),
        ("l:.5", "l", 0.5),
        ("l:1e-2", "l", 0.01),
        (r"C:\loras\l.safetensors", r"C:\loras\l.safetensors", 1.0),
        (r"C:\loras\l.safetensors:2", r"C:\loras\l.safetensors", 2.0),
        ("a:b", "a:b", 1.0),
        ("l:nan", "l:nan", 1.0),
        ("l:", "l:", 1.0),
    ],
)
def test_a_scale_is_a_number_after_the_last_colon(text, path, scale):
    found = split_scale(text)
    assert (str(found[0]), found[1]) == (path, scale)


def test_a_file_whose_name_ends_in_a_number_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l:2").mkdir()
    assert split_scale("l:2")[1] == 1.0
    assert split_scale("l:2:3")[1] == 3.0


class TestRefusals:
    def refused(self, state, tmp_path, **metadata):
        ours, path = net(), saved(state, tmp_path / "l.safetensors", **metadata)
        with pytest.raises(LoraError) as caught:
            merge_lora(ours, path)
        assert path in caught.value.what
        assert difference(ours, net()) == 0
        return caught.value

    def test_modules_that_are_not_there(self, tensors, tmp_path):
        state = {f"diffusion_model.{n.replace('.q.', '.qq.')}": v for n, v in tensors.items()}
        error = self.refused(state, tmp_path)
        assert error.what == (
            f"{tmp_path}/l.safetensors changes 2 modules that Net lacks:"
            " diffusion_model.blocks.0.qq, diffusion_model.blocks.1.qq."
        )
        assert error.right == (
            "Nearest here: blocks.0.q (diffusion_model.blocks.0.qq),"
            " blocks.1.q (diffusion_model.blocks.1.qq)."
        )
        assert error.next == "Use the slug or the config that the LoRA is for."

    def test_another_architecture(self, tensors, tmp_path):
        error = self.refused({**tensors, "out.lora_A.weight": torch.zeros(3, 9)}, tmp_path)
        assert "does not fit out: up is [5, 3], down [3, 9], the weight [5, 8]" in error.what
        assert error.right == "The LoRA was made for another architecture."

    def test_matrices_of_two_ranks(self, tensors, tmp_path):
        self.refused({**tensors, "out.lora_A.weight": torch.zeros(4, 8)}, tmp_path)

    def test_a_difference_of_another_shape(self, tmp_path):
        self.refused({"out.diff_b": torch.zeros(6)}, tmp_path)

    def test_half_of_a_product(self, tensors, tmp_path):
        del tensors["out.lora_A.weight"]
        assert "has only a part of the change of out" in self.refused(tensors, tmp_path).what

    def test_matrices_of_no_rank(self, tmp_path):
        state = {"out.lora_A.weight": torch.zeros(0, 8), "out.lora_B.weight": torch.zeros(5, 0)}
        self.refused({**state, "out.alpha": torch.tensor(1.0)}, tmp_path)

    def test_numbers_in_place_of_matrices(self, tmp_path):
        self.refused({f"out.lora_{n}.weight": torch.tensor(1.0) for n in "AB"}, tmp_path)

    def test_an_alpha_that_is_no_number(self, tensors, tmp_path):
        error = self.refused({**tensors, "out.alpha": torch.ones(2)}, tmp_path)
        assert "out.alpha is [2], no number" in error.what

    def test_a_matrix_under_two_names(self, tensors, tmp_path):
        error = self.refused({**tensors, "out.lora_down.weight": torch.ones(3, 8)}, tmp_path)
        assert "says the same twice: out.lora_A.weight and out.lora_down.weight" in error.what

    def test_an_alpha_alone(self, tmp_path):
        self.refused({"out.alpha": torch.tensor(1.0)}, tmp_path)

    @pytest.mark.parametrize("name", ["out.lora_magnitude_vector", "out.hada_w1_a", "out.lora_B.bias"])
    def test_what_is_no_plain_lora(self, tensors, tmp_path, name):
        error = self.refused({**tensors, name: torch.zeros(5)}, tmp_path)
        assert f"holds {name}, which is no part of a plain LoRA" in error.what

    @pytest.mark.parametrize(
        ("config", "says"),
        [
            ({"use_dora": True}, "asks for use_dora"),
            ({"peft_type": "LOHA"}, "asks for peft_type LOHA"),
            ({"lora_alpha": "much"}, "cannot be read"),
            ({"alpha_pattern": {"out(": 2}}, "cannot be read"),
        ],
    )
    def test_a_config_that_asks_for_more(self, tensors, tmp_path, config, says):
        error = self.refused(tensors, tmp_path, lora_adapter_metadata=json.dumps(config))
        assert says in error.what

    def test_a_config_that_is_damaged(self, tensors, tmp_path):
        path = saved(tensors, tmp_path / "l.safetensors")
        (tmp_path / "adapter_config.json").write_text("{")
        with pytest.raises(LoraError, match=r"adapter_config\.json cannot be read"):
            merge_lora(net(), path)

    def test_no_file(self, tmp_path):
        with pytest.raises(LoraError, match=r"absent\.safetensors is not there"):
            merge_lora(net(), f"{tmp_path}/absent.safetensors:0.5")
        with pytest.raises(LoraError, match=r"has 0 \.safetensors files"):
            merge_lora(net(), str(tmp_path))

    def test_a_pickle(self, tmp_path):
        torch.save({}, tmp_path / "l.pt")
        with pytest.raises(LoraError, match=r"l\.pt is no \.safetensors file"):
            merge_lora(net(), str(tmp_path / "l.pt"))

    def test_a_truncated_file(self, tensors, tmp_path):
        path = saved(tensors, tmp_path / "l.safetensors")
        (tmp_path / "l.safetensors").write_bytes((tmp_path / "l.safetensors").read_bytes()[:-9])
        with pytest.raises(WeightsFileError):
            merge_lora(net(), path)
