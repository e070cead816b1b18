import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flashdreams.errors import WeightsFileError, WeightsHashError, WeightsKeyError
from flashdreams.io.row_quantised import dequantise_rows, quantise_rows
from flashdreams.io.weights import load_weights, sha256_of


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(6, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.register_buffer("steps", torch.arange(3))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def file(net, tmp_path):
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def other_net(**options):
    torch.manual_seed(1)
    return Net().to(**options)


def equal(left, right):
    left, right = left.state_dict(), right.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_module_is_filled_in_place(net, file):
    other = other_net()
    addresses = [value.data_ptr() for value in other.state_dict().values()]
    load_weights(other, file)
    assert equal(other, net)
    assert [value.data_ptr() for value in other.state_dict().values()] == addresses


def test_a_module_on_meta_gets_its_tensors(net, file):
    with torch.device("meta"):
        other = Net()
    other.requires_grad_(False)
    load_weights(other, file)
    assert equal(other, net)
    assert {value.device.type for value in other.state_dict().values()} == {"cpu"}
    assert isinstance(other.blocks[0].weight, nn.Parameter)
    assert not other.blocks[0].weight.requires_grad
    assert torch.equal(other.embed(torch.ones(6)), net.embed(torch.ones(6)))


@pytest.mark.parametrize("meta", [False, True])
def test_the_dtype_is_the_module_s(net, file, meta):
    with torch.device("meta" if meta else "cpu"):
        other = Net().to(torch.bfloat16)
    load_weights(other, file)
    assert other.embed.weight.dtype == torch.bfloat16
    assert torch.equal(other.embed.weight, net.embed.weight.bfloat16())
    assert torch.equal(other.steps, net.steps)


def test_weights_on_meta_are_mapped_and_not_copied(tmp_path):
    save_file({"weight": torch.zeros(4096, 4096), "bias": torch.zeros(4096)}, tmp_path / "big.safetensors")
    with torch.device("meta"):
        module = nn.Linear(4096, 4096)
    load_weights(module, tmp_path / "big.safetensors")
    start = module.weight.data_ptr()
    with open("/proc/self/maps") as maps:
        mapped = [line for line in maps if "big.safetensors" in line]
    spans = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in mapped]
    assert any(low <= start < high for low, high in spans)


def test_tied_parameters_need_one_tensor_and_stay_tied(net, tmp_path):
    def tied(device):
        with torch.device(device):
            module = Net()
        module.blocks[1].weight = module.blocks[0].weight
        return module

    state = tied("cpu").state_dict()
    del state["blocks.1.weight"]
    save_file(state, tmp_path / "w.safetensors")
    for device in ("cpu", "meta"):
        module = tied(device)
        load_weights(module, tmp_path / "w.safetensors")
        assert module.blocks[1].weight is module.blocks[0].weight
        assert torch.equal(module.blocks[1].weight, state["blocks.0.weight"])


def test_prefix_and_renames(net, tmp_path):
    state = {
        f"model.dit.{name.replace('blocks.', 'layers_')}": value for name, value in net.state_dict().items()
    }
    save_file({**state, "model.vae.weight": torch.ones(1)}, tmp_path / "w.safetensors")
    other = other_net()
    load_weights(
        other, tmp_path / "w.safetensors", prefix="model.dit.", renames=[(r"layers_(\d+)", r"blocks.\1")]
    )
    assert equal(other, net)


def test_two_tensors_renamed_to_one(file):
    with pytest.raises(WeightsKeyError) as caught:
        load_weights(other_net(), file, renames=[(r"blocks\.\d", "embed")])
    assert "become embed." in caught.value.what
    assert caught.value.next == "Correct the renames."


def test_what_does_not_fit_is_listed_with_nearest_names_and_nothing_is_loaded(net, tmp_path):
    state = net.state_dict()
    state["blocks.0.wieght"] = state.pop("blocks.0.weight")
    state["embed.weight"] = torch.zeros(5, 6)
    state["ema_decay"] = torch.zeros(1)
    del state["steps"]
    save_file(state, tmp_path / "w.safetensors")
    other, untouched = other_net(), other_net()
    with pytest.raises(WeightsKeyError) as caught:
        load_weights(other, tmp_path / "w.safetensors")
    error = caught.value
    assert error.what == (
        f"{tmp_path}/w.safetensors does not fit Net: 2 missing, 2 unexpected, 1 of another shape."
    )
    assert error.right.splitlines() == [
        "missing: steps, blocks.0.weight (the file has blocks.0.wieght)",
        "unexpected: blocks.0.wieght (the module has blocks.0.weight), ema_decay",
        "of another shape: embed.weight is [5, 6] in the file, [4, 6] in the module",
    ]
    assert error.next == (
        "Use the config that the weights were saved with, or map their names (renames, prefix)."
    )
    assert error.missing == ["steps", "blocks.0.weight"]
    assert sorted(error.unexpected) == ["blocks.0.wieght", "ema_decay"]
    assert error.misshapen == ["embed.weight"]
    assert equal(other, untouched)


def test_a_long_list_is_cut(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsKeyError, match="20 missing, 1 unexpected") as caught:
        load_weights(nn.Sequential(*(nn.Linear(1, 1) for _ in range(10))), tmp_path / "w.safetensors")
    assert ", and 12 more\n" in caught.value.right


def test_the_right_hash(net, file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert sha256_of(file) == digest
    other = other_net()
    load_weights(other, file, sha256=digest.upper())
    assert equal(other, net)


def test_a_wrong_hash(file):
    other, untouched = other_net(), other_net()
    with pytest.raises(WeightsHashError) as caught:
        load_weights(other, file, sha256="ab" * 32)
    error = caught.value
    assert (error.expected, error.actual) == ("ab" * 32, sha256_of(file))
    assert error.what == f"{file} has the SHA-256 {sha256_of(file)[:12]}..."
    assert error.right == "The pinned one is abababababab..."
    assert error.next == "Install or download the file again; if it changed on purpose, pin its new hash."
    assert equal(other, untouched)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_truncated_file(file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(WeightsFileError) as caught:
        load_weights(other_net(), file)
    assert caught.value.what.startswith(f"{file} is no whole safetensors file: ")
    assert caught.value.right == (
        "A download that broke off, or a file renamed from another format, reads like this."
    )
    assert caught.value.next == "Download or install it again."


def test_no_file_and_no_known_suffix(tmp_path):
    (tmp_path / "w.h5").touch()
    with pytest.raises(WeightsFileError, match=r"There is no weights file .*absent\.safetensors\."):
        load_weights(other_net(), tmp_path / "absent.safetensors")
    with pytest.raises(
        WeightsFileError, match=r"absent\.safetensors cannot be read: No such file or directory\."
    ):
        load_weights(other_net(), tmp_path / "absent.safetensors", sha256="00")
    with pytest.raises(
        WeightsFileError, match=r"has the suffix '\.h5'\.\nWeights are \.safetensors, or a torch"
    ):
        load_weights(other_net(), tmp_path / "w.h5")


class TestRowQuantised:
    def save(self, net, path):
        state = {name: value for name, value in net.state_dict().items() if value.dim() < 2}
        for name, value in net.state_dict().items():
            if value.dim() >= 2:
                state[name], state[f"{name}.scale"] = quantise_rows(value)
        save_file(state, path)

    def test_a_row_is_off_by_little_more_than_half_a_level(self):
        sizes = torch.logspace(-3, 3, 5)[:, None, None, None]
        matrix = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * sizes
        matrix[3] = 0
        values, scale = quantise_rows(matrix)
        assert (values.dtype, scale.dtype) == (torch.int8, torch.float16)
        assert (values.shape, scale.shape) == (matrix.shape, (5,))
        error = (dequantise_rows(values, scale) - matrix).flatten(1).abs().amax(dim=1)
        assert (error <= 0.75 / 127 * matrix.flatten(1).abs().amax(dim=1)).all()

    def test_rows_whose_scale_float16_cannot_hold_are_still_zero_or_finite(self):
        values, scale = quantise_rows(torch.full((1, 4), 1e-9))
        assert torch.isfinite(dequantise_rows(values, scale)).all()

    @pytest.mark.parametrize("device", ["cpu", "meta"])
    def test_it_is_dequantised_while_it_is_loaded(self, net, tmp_path, device):
        self.save(net, tmp_path / "w.safetensors")
        with torch.device(device):
            other = Net()
        load_weights(other, tmp_path / "w.safetensors")
        expected = dequantise_rows(*quantise_rows(net.embed.weight))
        assert torch.equal(other.embed.weight, expected)
        assert torch.equal(other.embed.bias, net.embed.bias)
        assert (other.embed.weight - net.embed.weight).abs().max() < 0.01

    def test_a_parameter_called_scale_is_a_parameter(self, tmp_path):
        class Scaled(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm = nn.Module()
                self.norm.scale = nn.Parameter(torch.rand(3))
                self.register_buffer("codes", torch.zeros(2, 2, dtype=torch.int8))

        module, other = Scaled(), Scaled()
        save_file(module.state_dict(), tmp_path / "w.safetensors")
        load_weights(other, tmp_path / "w.safetensors")
        assert equal(other, module)


class TestCheckpoints:
    def test_tensors_alone_are_loaded(self, net, tmp_path):
        torch.save(net.state_dict(), tmp_path / "w.pt")
        other = other_net()
        load_weights(other, tmp_path / "w.pt")
        assert equal(other, net)

    def test_nested_dicts_are_joined_by_dots(self, net, tmp_path):
        torch.save(
            {"step": 7, "ema": {"net": net.state_dict()}, "optimizer": {"lr": 0.1}}, tmp_path / "w.pth"
        )
        other = other_net()
        load_weights(other, tmp_path / "w.pth", prefix="ema.net.")
        assert equal(other, net)

    def test_the_old_format_too(self, net, tmp_path):
        torch.save(net.state_dict(), tmp_path / "w.bin", _use_new_zipfile_serialization=False)
        other = other_net()
        load_weights(other, tmp_path / "w.bin")
        assert equal(other, net)

    def test_code_in_a_pickle_is_refused_and_not_run(self, tmp_path):
        torch.save({"weight": torch.zeros(1), "extra": Trap(tmp_path / "ran")}, tmp_path / "w.pt")
        with pytest.raises(WeightsFileError) as caught:
            load_weights(other_net(), tmp_path / "w.pt")
        assert caught.value.what.startswith(f"{tmp_path}/w.pt holds more than tensors, and is not loaded: ")
        assert caught.value.right == (
            "A checkpoint that holds tensors alone; anything else in it can run code when it is loaded."
        )
        assert caught.value.next == (
            "Ask for it as .safetensors, or save its tensors so with safetensors.torch.save_file()."
        )
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("content", [b"", b"no checkpoint at all", None])
    def test_a_broken_checkpoint(self, net, tmp_path, content):
        torch.save(net.state_dict(), tmp_path / "w.pt")
        whole = (tmp_path / "w.pt").read_bytes()
        (tmp_path / "w.pt").write_bytes(whole[: len(whole) // 2] if content is None else content)
        with pytest.raises(
            WeightsFileError, match=r"w\.pt (is no whole torch checkpoint|holds more than tensors)"
        ):
            load_weights(other_net(), tmp_path / "w.pt")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")
