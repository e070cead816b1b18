"""Names and shapes of published checkpoints: every one is a tensor of the network, and none is missing."""

import json

import pytest
import torch
from safetensors.torch import save_file

from flashdreams.errors import WeightsLayoutError
from flashdreams.infra.config.placement import placing
from flashdreams_wan.dit.layouts import DIFFUSERS, LAYOUTS, OFFICIAL
from flashdreams_wan.dit.network import WanDiT
from flashdreams_wan.dit.transformer import WanTransformer

FULL = dict(latent_channels=16, text_width=4096, text_tokens=512, frequency_width=256)
T2V_1_3B = dict(width=1536, mlp_width=8960, layers=30, heads=12, **FULL)
T2V_14B = dict(width=5120, mlp_width=13824, layers=40, heads=40, **FULL)
I2V_14B = dict(condition_channels=20, image_width=1280, **T2V_14B)
PUBLISHED = {
    "wan21_t2v_1_3b": (T2V_1_3B, OFFICIAL),
    "wan21_t2v_14b": (T2V_14B, OFFICIAL),
    "wan21_i2v_14b": (I2V_14B, OFFICIAL),
    "wan21_t2v_1_3b_diffusers": (T2V_1_3B, DIFFUSERS),
}


def shapes_of(config):
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in WanDiT(config).state_dict().items()}


def layout_of(names):
    return next(layout for layout in LAYOUTS if layout.fits(names))


@pytest.mark.parametrize("checkpoint", PUBLISHED)
def test_every_published_tensor_has_its_place_and_shape(checkpoint, oracles, tiny):
    fields, layout = PUBLISHED[checkpoint]
    published = json.loads((oracles / f"keys/{checkpoint}_keys.json").read_text())["keys"]
    assert layout_of(published) is layout
    assert {layout.renamed(name): tuple(shape) for name, shape in published.items()} == shapes_of(
        tiny(**fields)
    )


@pytest.mark.parametrize("fields", [T2V_1_3B, I2V_14B], ids=["t2v-1.3b", "i2v-14b"])
def test_every_tensor_of_diffusers_has_its_place_and_shape(fields, tiny):
    from diffusers import WanTransformer3DModel

    config = tiny(**fields)
    with torch.device("meta"):
        theirs = WanTransformer3DModel(
            num_attention_heads=config.heads,
            attention_head_dim=config.head_width,
            in_channels=16 + config.condition_channels,
            out_channels=16,
            text_dim=config.text_width,
            freq_dim=config.frequency_width,
            ffn_dim=config.mlp_width,
            num_layers=config.layers,
            image_dim=config.image_width or None,
            added_kv_proj_dim=config.width if config.image_width else None,
        ).state_dict()
    assert layout_of(theirs) is DIFFUSERS
    shapes = {DIFFUSERS.renamed(name): tuple(tensor.shape) for name, tensor in theirs.items()}
    assert shapes == shapes_of(config)


def test_the_unused_norm_of_some_image_files_is_left_there():
    assert DIFFUSERS.renamed("blocks.3.attn2.norm_added_q.weight") is None
    assert DIFFUSERS.renamed("blocks.3.attn2.norm_added_k.weight") == "blocks.3.cross_attn.norm_k_img.weight"


def test_modules_are_renamed_as_their_tensors_are():
    """As adapters name them, without the name of a tensor."""
    for theirs, ours in {
        "blocks.7.attn1.to_out.0": "blocks.7.self_attn.o",
        "blocks.7.attn2.add_v_proj": "blocks.7.cross_attn.v_img",
        "blocks.7.ffn.net.0.proj": "blocks.7.ffn.0",
        "condition_embedder.text_embedder.linear_1": "text_embedding.0",
        "proj_out": "head.head",
    }.items():
        assert DIFFUSERS.renamed(theirs) == ours


WRAPPERS = {
    "official": lambda name: name,
    "self-forcing": lambda name: f"generator_ema.model.{name}",
    "sharded training": lambda name: f"generator_ema.model._fsdp_wrapped_module.{name}",
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_files_of_each_kind_load(wrapper, tiny, tmp_path):
    config = tiny(weights_seed=5)
    source = WanTransformer(config).network.state_dict()
    path = tmp_path / "weights.safetensors"
    save_file({WRAPPERS[wrapper](name): tensor for name, tensor in source.items()}, path)
    loaded = WanTransformer(tiny(weights=str(path))).network.state_dict()
    assert loaded.keys() == source.keys()
    assert all(torch.equal(loaded[name], source[name]) for name in source)


LORAS = {
    "official": "diffusion_model.blocks.1.cross_attn.o",
    "diffusers": "transformer.blocks.1.attn2.to_out.0",
}


@pytest.mark.parametrize("style", LORAS)
def test_loras_of_each_kind_find_their_layer(style, tiny, tmp_path):
    path = tmp_path / "style.safetensors"
    down, up = torch.randn(3, 24), torch.randn(24, 3)
    save_file({f"{LORAS[style]}.lora_A.weight": down, f"{LORAS[style]}.lora_B.weight": up}, path)
    plain, merged = (WanTransformer(tiny(lora=lora)).network.state_dict() for lora in ([], [f"{path}:0.5"]))
    changed = [name for name in plain if not torch.equal(plain[name], merged[name])]
    assert changed == ["blocks.1.cross_attn.o.weight"]
    assert (merged[changed[0]] - plain[changed[0]] - 0.5 * up @ down).abs().max() <= 1e-6


def test_a_file_of_another_model_is_refused(tiny, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"conv.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(WeightsLayoutError, match="Wan"):
        WanTransformer(tiny(weights=str(path)))


def test_what_the_timestep_becomes_stays_exact_in_a_short_dtype(tiny):
    with placing(dtype="bfloat16"):
        network = WanTransformer(tiny()).to(torch.bfloat16).network
    exact = {name for name, tensor in network.state_dict().items() if tensor.dtype == torch.float32}
    assert exact == {
        name for name in network.state_dict() if name.startswith("time_") or "modulation" in name
    }
    whole = WanTransformer(tiny()).network.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, whole[name].to(tensor.dtype)), name


def test_random_weights_are_the_same_every_time_and_nothing_is_constant(tiny):
    one, other, third = (WanTransformer(tiny(weights_seed=seed)).network.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name, tensor in one.items():
        assert tensor.std() > 0.02, name
        assert not torch.equal(tensor, third[name]), name


def test_a_skeleton_reads_nothing(tiny):
    with placing(device="meta"):
        transformer = WanTransformer(tiny(weights="/nowhere/at/all.safetensors", **T2V_14B))
    assert {parameter.device.type for parameter in transformer.parameters()} == {"meta"}
