"""The ways in which weights are published, written as their authors write them."""

import contextlib
import json
import zipfile
from random import Random

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flashdreams.errors import WeightsError, WeightsFileError, WeightsKeyError, WeightsLayoutError
from flashdreams.io.layout import Layout
from flashdreams.io.weights import load_weights

OFFICIAL = Layout("official", marker=r"^blocks\.0\.q\.weight$")
DIFFUSERS = Layout(
    "diffusers",
    renames=((r"^transformer_blocks\.", "blocks."), (r"\.attn\.to_q\.", ".q."), (r"^proj_out\.", "head.")),
    marker=r"^transformer_blocks\.0\.attn\.to_q",
)
LAYOUTS = (OFFICIAL, DIFFUSERS)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.q = nn.Linear(width, width)


class Net(nn.Module):
    def __init__(self, width=8, blocks=3, out=4):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.head = nn.Linear(width, out)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def official(net):
    return dict(net.state_dict())


def diffusers(net):
    names = {
        name: name.replace("blocks.", "transformer_blocks.").replace(".q.", ".attn.to_q.")
        for name in official(net)
    }
    return {names[name].replace("head.", "proj_out."): value for name, value in official(net).items()}


def loaded(path, layouts=LAYOUTS, **sizes):
    with torch.device("meta"):
        net = Net(**sizes)
    load_weights(net, path, layouts=layouts, device="cpu")
    return net


def equal(left, right):
    left, right = left.state_dict(), right.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def write_shards(folder, state, names, suffix="safetensors"):
    folder.mkdir()
    where = {key: names[n % len(names)] for n, key in enumerate(state)}
    for name in names:
        shard = {key: state[key].clone() for key in state if where[key] == name}
        save_file(shard, folder / name) if suffix == "safetensors" else torch.save(shard, folder / name)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / f"model.{suffix}.index.json").write_text(json.dumps(index))
    return folder


class TestFolders:
    SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")

    @pytest.mark.parametrize("published", [official, diffusers])
    def test_shards_and_their_index(self, net, tmp_path, published):
        folder = write_shards(tmp_path / "transformer", published(net), self.SHARDS)
        save_file({"foreign": torch.zeros(1)}, folder / "foreign.safetensors")
        assert equal(loaded(folder), net)

    def test_shards_of_pickles(self, net, tmp_path):
        names = ("model-00001-of-00002.bin", "model-00002-of-00002.bin")
        assert equal(loaded(write_shards(tmp_path / "w", official(net), names, "bin")), net)

    @pytest.mark.parametrize("name", ["diffusion_pytorch_model.safetensors", "model.safetensors"])
    def test_one_file(self, net, tmp_path, name):
        save_file(diffusers(net), tmp_path / name)
        (tmp_path / "config.json").write_text("{}")
        assert equal(loaded(tmp_path), net)

    def test_a_missing_shard(self, net, tmp_path):
        folder = write_shards(tmp_path / "w", official(net), self.SHARDS)
        (folder / self.SHARDS[1]).unlink()
        with pytest.raises(WeightsFileError) as caught:
            loaded(folder)
        assert caught.value.what == (
            f"{folder}/model.safetensors.index.json names {self.SHARDS[1]}, which is not there"
            " (1 of 2 are missing)."
        )

    @pytest.mark.parametrize(
        "text", ["", "{}", "[]", "[" * 100_000, '{"weight_map": 7}', '{"weight_map": {"a": "../a.bin"}}']
    )
    def test_a_damaged_index(self, tmp_path, text):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(WeightsFileError, match=r"The index .*model\.safetensors\.index\.json"):
            loaded(tmp_path)

    def test_a_folder_of_parts_is_answered_with_the_parts(self, net, tmp_path):
        for part in ("vae", "transformer"):
            (tmp_path / part).mkdir()
            save_file(official(net), tmp_path / part / "model.safetensors")
        with pytest.raises(WeightsFileError) as caught:
            loaded(tmp_path)
        assert caught.value.what == f"The folder {tmp_path} has no weights files."
        assert caught.value.next == (f"Name the part that is meant: {tmp_path}/transformer, {tmp_path}/vae.")

    def test_a_folder_of_several_files(self, net, tmp_path):
        for name in ("a", "b"):
            save_file(official(net), tmp_path / f"{name}.safetensors")
        with pytest.raises(WeightsFileError) as caught:
            loaded(tmp_path)
        assert caught.value.next == "Name one of them: a.safetensors, b.safetensors."


class TestTrainingCheckpoints:
    def test_the_averaged_generator_is_taken(self, net, tmp_path):
        worse = {f"model.{name}": value + 1 for name, value in official(net).items()}
        better = {f"model.{name}": value for name, value in official(net).items()}
        torch.save(
            {"generator": worse, "critic": worse, "generator_ema": better, "step": 7}, tmp_path / "w.pt"
        )
        assert equal(loaded(tmp_path / "w.pt"), net)

    def test_where_there_is_none_the_generator(self, net, tmp_path):
        torch.save({"generator": official(net), "critic": diffusers(net)}, tmp_path / "w.pt")
        assert equal(loaded(tmp_path / "w.pt"), net)

    def test_what_fsdp_compile_and_checkpointing_put_between(self, net, tmp_path):
        wrapped = {
            "model._fsdp_wrapped_module."
            + name.replace(".q.", "._checkpoint_wrapped_module._orig_mod.q."): value
            for name, value in official(net).items()
        }
        torch.save({"generator_ema": wrapped}, tmp_path / "w.pt")
        assert equal(loaded(tmp_path / "w.pt"), net)

    def test_a_flat_file_of_wrapped_names(self, net, tmp_path):
        save_file(
            {f"model.{name}": value for name, value in official(net).items()}, tmp_path / "w.safetensors"
        )
        assert equal(loaded(tmp_path / "w.safetensors"), net)

    def test_a_layout_that_asks_for_the_wrapper(self, net, tmp_path):
        torch.save({"generator_ema": {f"model.{n}": v for n, v in official(net).items()}}, tmp_path / "w.pt")
        for prefix in ("model.", "generator_ema.model."):
            assert equal(loaded(tmp_path / "w.pt", [Layout("wrapped", prefix=prefix)]), net)

    def test_tensors_that_share_memory_or_are_views(self, tmp_path):
        whole = torch.arange(40.0)
        torch.save({"weight": whole[8:24].view(4, 4).t(), "bias": whole[2:6]}, tmp_path / "w.pth")
        with torch.device("meta"):
            module = nn.Linear(4, 4)
        load_weights(module, tmp_path / "w.pth", device="cpu")
        assert torch.equal(module.weight, whole[8:24].view(4, 4).t())
        assert torch.equal(module.bias, whole[2:6])


class TestDamagedCheckpoints:
    """Every file is written by torch, and then damaged."""

    @pytest.fixture(params=[True, False], ids=["zip", "older"])
    def content(self, net, tmp_path, request):
        torch.save(official(net), tmp_path / "w.pth", _use_new_zipfile_serialization=request.param)
        return (tmp_path / "w.pth").read_bytes()

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_any_damage_is_a_typed_error_or_none(self, content, tmp_path):
        random = Random(0)
        for _ in range(150):
            damaged = bytearray(content)
            for _ in range(4):
                damaged[random.randrange(len(damaged))] = random.randrange(256)
            (tmp_path / "w.pth").write_bytes(damaged[: random.randrange(len(damaged), len(damaged) * 2)])
            with contextlib.suppress(WeightsError):
                loaded(tmp_path / "w.pth")

    def test_cut_off_anywhere(self, content, tmp_path):
        for part in range(0, len(content), len(content) // 20):
            (tmp_path / "w.pth").write_bytes(content[:part])
            with pytest.raises(WeightsFileError, match=r"w\.pth is no whole torch checkpoint"):
                loaded(tmp_path / "w.pth")

    def test_cut_off_within_a_name(self, content, tmp_path):
        end = content.index(b"OrderedDict") + len(b"OrderedDic")
        (tmp_path / "w.pth").write_bytes(content[:end])
        with pytest.raises(WeightsFileError, match=r"w\.pth is no whole torch checkpoint"):
            loaded(tmp_path / "w.pth")

    def test_an_archive_that_was_compressed_again(self, net, tmp_path):
        torch.save(official(net), tmp_path / "w.pth")
        with (
            zipfile.ZipFile(tmp_path / "w.pth") as source,
            zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as target,
        ):
            for name in source.namelist():
                target.writestr(name, source.read(name))
        assert equal(loaded(tmp_path / "small.pth"), net)

    def test_sparse_tensors(self, net, tmp_path):
        torch.save({**official(net), "table": torch.eye(3).to_sparse()}, tmp_path / "w.pth")
        with pytest.raises(WeightsFileError, match=r"table in .*w\.pth is sparse"):
            loaded(tmp_path / "w.pth")


class TestLayouts:
    def test_the_first_that_fits_is_taken(self, net, tmp_path):
        save_file(diffusers(net), tmp_path / "w.safetensors")
        assert equal(loaded(tmp_path / "w.safetensors"), net)

    def test_a_part_of_a_file(self, net, tmp_path):
        state = {**official(net), "encoder.weight": torch.zeros(3)}
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(WeightsKeyError):
            loaded(tmp_path / "w.safetensors")
        only = [Layout("part", only=r"^(blocks|head)\.")]
        assert equal(loaded(tmp_path / "w.safetensors", only), net)

    def test_none_fits(self, tmp_path):
        save_file({f"unet.{n}": torch.zeros(1) for n in range(6)}, tmp_path / "w.safetensors")
        with pytest.raises(WeightsLayoutError) as caught:
            loaded(tmp_path / "w.safetensors")
        assert caught.value.what == (
            f"{tmp_path}/w.safetensors is in no layout that is known here;"
            " it holds unet.0, unet.1, unet.2, unet.3, unet.4, ...."
        )
        assert caught.value.right == "Known are: official, diffusers."

    def test_another_architecture_is_named_by_the_sizes_that_differ(self, tmp_path):
        save_file(Net(width=20, blocks=5).state_dict(), tmp_path / "big.safetensors")
        with pytest.raises(WeightsKeyError) as caught:
            loaded(tmp_path / "big.safetensors")
        assert caught.value.what == (
            f"{tmp_path}/big.safetensors does not fit Net: 0 missing, 4 unexpected, 7 of another shape."
        )
        assert caught.value.right.splitlines()[0] == (
            "The file is of another architecture: 5 blocks where the module has 3;"
            " a size of 20 where the module has 8."
        )
        assert caught.value.next == "Use the slug or the config that the weights are for."


def test_writing_to_mapped_weights_leaves_the_file_alone(net, tmp_path):
    save_file(official(net), tmp_path / "w.safetensors")
    torch.save(official(net), tmp_path / "w.pth")
    for path in (tmp_path / "w.safetensors", tmp_path / "w.pth"):
        before = path.read_bytes()
        with torch.no_grad():
            loaded(path).head.weight.zero_()
        assert path.read_bytes() == before


def test_every_type_of_the_format_comes_out_as_it_went_in(tmp_path):
    class Types(nn.Module):
        def __init__(self, tensors):
            super().__init__()
            for name, value in tensors.items():
                self.register_buffer(f"{name}_", value)

    names = "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 int64 int32 int16 int8 uint8 bool"
    tensors = {name: torch.ones(3, 2).to(getattr(torch, name)) for name in names.split()}
    tensors |= {"empty": torch.zeros(0, 3), "scalar": torch.tensor(7.0)}
    save_file({f"{name}_": value for name, value in tensors.items()}, tmp_path / "w.safetensors")
    module = Types({name: value.to("meta") for name, value in tensors.items()})
    load_weights(module, tmp_path / "w.safetensors", device="cpu")
    for name, value in tensors.items():
        found = getattr(module, f"{name}_")
        assert found.dtype == value.dtype
        assert torch.equal(found.float(), value.float())
