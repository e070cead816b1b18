"""The CLIP vision tower against transformers, on the same weights."""

import json
import re
import weakref

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from flashdreams.errors import FieldValueError, WeightsKeyError, WeightsLayoutError
from flashdreams.infra.config import derive_config
from flashdreams_wan.image.config import WanImageEncoderConfig
from flashdreams_wan.image.encoder import MEAN, STD, prepare
from flashdreams_wan.image.tower import VisionTower, load_tower, official_layout, transformers_layout

TINY = WanImageEncoderConfig(width=32, mlp_width=48, layers=2, heads=4, patch=4, image_size=20)


def theirs(config, layers=1):
    """transformers' tower, with ``layers`` blocks after those that are run, on random weights in float64."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    model = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=config.width,
            intermediate_size=config.mlp_width,
            num_hidden_layers=config.layers + layers,
            num_attention_heads=config.heads,
            patch_size=config.patch,
            image_size=config.image_size,
            hidden_act="gelu",
        )
    )
    model.double().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        matrix = parameter.dim() > 1 and "position" not in name
        parameter.normal_(std=parameter[0].numel() ** -0.5 if matrix else 0.5)
    return model


def published(model, extra=True):
    """The tensors of transformers' tower as Wan's file has them, beside others that are not used."""
    tensors = {name.removeprefix("vision_model."): t.float() for name, t in model.state_dict().items()}
    layers = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("encoder"))
    file = {
        "visual.cls_embedding": tensors["embeddings.class_embedding"][None, None],
        "visual.pos_embedding": tensors["embeddings.position_embedding.weight"][None],
        "visual.patch_embedding.weight": tensors["embeddings.patch_embedding.weight"],
    }
    for kind in ("weight", "bias"):
        file[f"visual.pre_norm.{kind}"] = tensors[f"pre_layrnorm.{kind}"]
        for i in range(layers):
            inner, block = f"encoder.layers.{i}", f"visual.transformer.{i}"
            parts = [tensors[f"{inner}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            file[f"{block}.attn.to_qkv.{kind}"] = torch.cat(parts)
            file[f"{block}.attn.proj.{kind}"] = tensors[f"{inner}.self_attn.out_proj.{kind}"]
            for ours, other in (
                ("norm1", "layer_norm1"),
                ("norm2", "layer_norm2"),
                ("mlp.0", "mlp.fc1"),
                ("mlp.2", "mlp.fc2"),
            ):
                file[f"{block}.{ours}.{kind}"] = tensors[f"{inner}.{other}.{kind}"]
    unused = {
        "log_scale": torch.ones(()),
        "textual.norm.weight": torch.ones(3),
        "visual.head": torch.ones(2, 2),
    }
    return file | unused if extra else file


def saved(tensors, path):
    save_file({name: t.contiguous().clone() for name, t in tensors.items()}, path)
    return str(path)


def reference(model, pixels):
    """All tokens as they leave the last block but one."""
    images = prepare(pixels, model.config.image_size).to(model.dtype)
    return model(images, output_hidden_states=True).hidden_states[-2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "changes",
    [{}, dict(heads=2, layers=3, width=48), dict(patch=7, image_size=28, mlp_width=128)],
    ids=["tiny", "wide heads", "large patches"],
)
def test_the_error_is_at_most_twice_that_of_transformers(tmp_path, changes, dtype, parity):
    config = derive_config(TINY, **changes)
    model = theirs(config).to(dtype)
    config = derive_config(config, weights=saved(published(model), tmp_path / "clip.safetensors"))
    pixels = torch.rand(3, 3, 33, 47) * 2 - 1
    ours, other = config.setup().to(dtype)(pixels), reference(model, pixels)
    exact = reference(model.double(), pixels)
    assert ours.shape == (3, config.tokens, config.width)
    assert 0.5 < exact.std() < 4
    error, their_error = ((each - exact).abs().max().item() for each in (ours, other))
    parity(f"CLIP, against transformers, {dtype}".replace("torch.", ""), error, their_error)
    assert 0 < error <= 2 * their_error


@pytest.mark.parametrize("prefix", ["", "vision_model."], ids=["CLIPVisionModel", "whole CLIP"])
def test_both_layouts_give_the_same(tmp_path, prefix):
    model = theirs(TINY)
    own = {
        f"{prefix}{name.removeprefix('vision_model.')}": t.float() for name, t in model.state_dict().items()
    }
    official = saved(published(model), tmp_path / "official.safetensors")
    other = saved(own | {"text_model.norm.weight": torch.ones(3)}, tmp_path / "transformers.safetensors")
    pixels = torch.rand(1, 3, 20, 20) * 2 - 1
    one, two = (derive_config(TINY, weights=path).setup()(pixels) for path in (official, other))
    assert (one - two).abs().max() < 1e-5


def test_files_that_are_no_tower_are_refused(tmp_path):
    with pytest.raises(WeightsLayoutError, match="no layout") as error:
        load_tower(derive_config(TINY, weights=saved({"x": torch.ones(1)}, tmp_path / "x.safetensors")))
    assert "official" in error.value.right
    assert "transformers" in error.value.right
    path = saved(published(theirs(TINY, layers=0), extra=False), tmp_path / "shallow.safetensors")
    with pytest.raises(WeightsKeyError, match="missing"):
        load_tower(derive_config(TINY, layers=3, weights=path))


def bicubic_matrix(before, after):
    """Weights of each input sample in each output sample of cubic convolution (Keys 1981, a = -0.75)."""

    def kernel(x, a=-0.75):
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    matrix = np.zeros((after, before))
    for i in range(after):
        centre = (i + 0.5) * before / after - 0.5
        for j in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            matrix[i, min(max(j, 0), before - 1)] += kernel(centre - j)
    return torch.from_numpy(matrix)


@pytest.mark.parametrize("size", [(12, 30), (40, 24)])
def test_images_are_brought_to_a_square_and_normalised(size):
    pixels = torch.rand(2, 3, *size, dtype=torch.float64) * 2 - 1
    levels = bicubic_matrix(size[0], 16) @ ((pixels + 1) / 2) @ bicubic_matrix(size[1], 16).T
    expected = torch.stack([(levels[:, i] - MEAN[i]) / STD[i] for i in range(3)], dim=1)
    assert (prepare(pixels, 16) - expected).abs().max() < 1e-12


def test_what_is_normalised_is_that_of_clip():
    from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    assert list(MEAN) == OPENAI_CLIP_MEAN
    assert list(STD) == OPENAI_CLIP_STD


def test_random_weights_come_from_their_seed():
    pixels = torch.rand(1, 3, 20, 20) * 2 - 1
    first, again, other = (derive_config(TINY, weights_seed=seed).setup()(pixels) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.1
    assert 0.5 < first.std() < 4


def test_the_dtype_is_that_of_the_encoder():
    pixels = torch.rand(1, 3, 20, 20) * 2 - 1
    full, half = TINY.setup()(pixels), TINY.setup().to(torch.bfloat16)(pixels.bfloat16())
    assert half.dtype == torch.bfloat16
    assert 1e-4 < (half.float() - full).abs().mean() < 0.1


def test_the_tower_is_released():
    seen = []

    def look(module, args):
        if isinstance(module, VisionTower):
            seen.append(weakref.ref(module))

    handle = register_module_forward_pre_hook(look)
    encoder = TINY.setup()
    encoder(torch.zeros(1, 3, 20, 20))
    kept = derive_config(TINY, keep="keep").setup()
    kept(torch.zeros(1, 3, 20, 20))
    handle.remove()
    assert [reference() is None for reference in seen] == [True, False]
    assert not [*encoder.parameters(), *kept.parameters()]


def test_on_meta_nothing_is_read_and_the_work_can_be_counted():
    encoder = derive_config(TINY, weights="nowhere.safetensors").setup(device="meta")
    with FlopCounterMode(display=False) as counter:
        tokens = encoder(torch.zeros(1, 3, 64, 64))
    assert tokens.is_meta
    assert tokens.shape == (1, 26, 32)
    assert counter.get_total_flops() >= 2 * 2 * 26 * (4 * 32 * 32 + 2 * 32 * 48)
    assert {p.device.type for p in encoder.transient()["image"].parameters()} == {"meta"}


# --- published names


def skeleton_shapes(config, **options):
    with torch.device("meta"):
        tower = VisionTower(config, **options)
    return {name: tuple(t.shape) for name, t in tower.state_dict().items()}


def consumed(layout, shapes):
    return {layout.renamed(name): tuple(shape) for name, shape in shapes.items() if layout.renamed(name)}


def test_every_published_tensor_of_the_blocks_has_its_place(oracles):
    names = json.loads((oracles / "keys" / "wan21_clip_xlmroberta_keys.json").read_text())["keys"]
    layout = official_layout(31)
    assert consumed(layout, names) == skeleton_shapes(WanImageEncoderConfig())
    left = {name for name in names if name.startswith("visual.") and layout.renamed(name) is None}
    after = re.compile(r"visual\.(head$|post_norm\.|transformer\.31\.)")
    assert left == {name for name in names if after.match(name)}


def test_every_tensor_of_transformers_has_its_place():
    from transformers import CLIPVisionConfig, CLIPVisionModel

    sizes = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16)
    with torch.device("meta"):
        model = CLIPVisionModel(CLIPVisionConfig(**sizes, patch_size=14, image_size=224))
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    layout = transformers_layout(31)
    assert consumed(layout, shapes) == skeleton_shapes(WanImageEncoderConfig(), separate_projections=True)
    left = {name for name in shapes if layout.renamed(name) is None}
    assert all("post_layernorm" in name or ".layers.31." in name for name in left)


def test_sizes_are_checked():
    assert WanImageEncoderConfig().tokens == 257
    assert WanImageEncoderConfig(weights="a_package:clip").weight_references() == ["a_package:clip"]
    with pytest.raises(FieldValueError, match="width is 100"):
        WanImageEncoderConfig(width=100)
    with pytest.raises(FieldValueError, match="image_size is 225"):
        WanImageEncoderConfig(image_size=225)
