"""The text encoder against transformers and the published implementation, on the same weights."""

import json
import re
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from flashdreams.infra.config import derive_config
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.text.encoder import embed
from flashdreams_wan.text.umt5 import LAYOUTS, build_umt5, load_umt5

TINY = WanTextEncoderConfig(
    width=32, mlp_width=48, layers=2, heads=4, head_width=8, vocabulary=384, tokens=40, cache_embeddings=False
)
PROMPTS = ["A red fox.", "", "Der Fuchs läuft über den Schnee."]


def published_name(name):
    """The name that Wan's file has for a tensor of transformers' encoder."""
    name = re.sub(r"^shared\.", "token_embedding.", name)
    name = re.sub(r"^encoder\.final_layer_norm", "norm", name)
    match = re.match(r"^encoder\.block\.(\d+)\.layer\.(\d)\.(.*)\.weight$", name)
    if match is None:
        return name
    inner = {
        "layer_norm": f"norm{int(match[2]) + 1}",
        **{f"SelfAttention.{letter}": f"attn.{letter}" for letter in "qkvo"},
        "SelfAttention.relative_attention_bias": "pos_embedding.embedding",
        "DenseReluDense.wi_0": "ffn.gate.0",
        "DenseReluDense.wi_1": "ffn.fc1",
        "DenseReluDense.wo": "ffn.fc2",
    }[match[3]]
    return f"blocks.{match[1]}.{inner}.weight"


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path / "cache"))


def theirs(config, seed=0):
    """transformers' encoder with random weights, in float64."""
    torch.manual_seed(seed)
    model = build_umt5(config).double().eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(std=parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 1.0)
    model.shared.weight.normal_()
    return model


def saved(model, path, rename=published_name, dtype=torch.float32):
    tensors = {name: tensor for name, tensor in model.state_dict().items() if "embed_tokens" not in name}
    save_file({rename(name): t.to(dtype).contiguous().clone() for name, t in tensors.items()}, path)
    return str(path)


def padded(config, prompts):
    """Ids and mask of bytes, as a tokenizer that pads gives them."""
    ids = torch.zeros(len(prompts), config.tokens, dtype=torch.long)
    for row, prompt in zip(ids, prompts, strict=True):
        bytes_ = [byte + 3 for byte in prompt.encode()] + [1]
        row[: len(bytes_)] = torch.tensor(bytes_)
    return ids, (ids > 0).long()


def reference(model, config, prompts):
    """What Wan does with the whole padded batch."""
    ids, mask = padded(config, prompts)
    return model(ids, attention_mask=mask).last_hidden_state * mask[..., None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(width=48, heads=2, head_width=24, layers=3, tokens=200),
        dict(width=64, heads=8, head_width=4, layers=1),
    ],
    ids=["tiny", "long", "narrow heads"],
)
def test_the_error_is_at_most_twice_that_of_transformers(tmp_path, changes, dtype, parity):
    config = derive_config(TINY, **changes)
    prompts = [*PROMPTS, "x" * (config.tokens - 1)]
    model = theirs(config).to(dtype)
    config = derive_config(config, weights=saved(model, tmp_path / "umt5.safetensors", dtype=dtype))
    ours, other = config.setup().to(dtype)(prompts), reference(model, config, prompts)
    exact = reference(model.double(), config, prompts)
    assert 0.5 < exact[exact != 0].std() < 2
    error, their_error = ((each - exact).abs().max().item() for each in (ours, other))
    parity(f"UMT5, against transformers, {dtype}".replace("torch.", ""), error, their_error)
    assert 0 < error <= 2 * their_error


def test_the_golden_embedding(oracles):
    folder = oracles / "wan21_tiny"
    sizes = json.loads((folder / "config.json").read_text())["t5"]
    config = WanTextEncoderConfig(
        width=sizes["dim"],
        mlp_width=sizes["dim_ffn"],
        layers=sizes["num_layers"],
        heads=sizes["num_heads"],
        head_width=sizes["dim_attn"] // sizes["num_heads"],
        vocabulary=sizes["vocab"],
        weights=str(folder / "t5.safetensors"),
    )
    golden = load_file(folder / "t5_io.safetensors")
    umt5 = load_umt5(config).eval()
    for ids, mask, out in zip(golden["ids"], golden["mask"], golden["out"], strict=True):
        count = int(mask.sum())
        ours = embed(umt5, ids[:count].tolist())
        assert (ours - out[:count]).abs().max() < 1e-5
        assert out[:count].std() > 0.1


def test_rows_beyond_the_prompt_are_zero():
    embeddings = TINY.setup()(PROMPTS)
    assert embeddings.shape == (3, 40, 32)
    for prompt, rows in zip(PROMPTS, embeddings, strict=True):
        tokens = len(prompt.encode()) + 1
        assert rows[:tokens].abs().sum(dim=1).min() > 0
        assert not rows[tokens:].any()


def test_an_embedding_is_the_same_in_every_batch():
    encoder = TINY.setup()
    together = encoder([*PROMPTS, PROMPTS[0]])
    for i, prompt in enumerate(PROMPTS):
        assert torch.equal(encoder([prompt])[0], together[i])
    assert torch.equal(together[0], together[3])


def test_random_weights_come_from_their_seed():
    first, again, other = (derive_config(TINY, weights_seed=seed).setup()(PROMPTS) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.1
    assert 0.5 < first[0, :10].std() < 2


def test_a_prompt_matters():
    one, other = TINY.setup()(["It rains.", "It snows."])
    assert (one[:9] - other[:9]).abs().mean() > 0.05


@pytest.mark.parametrize("whole", [False, True], ids=["encoder alone", "whole UMT5"])
def test_the_layout_of_transformers_loads(tmp_path, whole):
    model = theirs(TINY)
    path = saved(model, tmp_path / "umt5.safetensors", rename=lambda name: name)
    if whole:
        more = {name: torch.ones(2) for name in ("decoder.final_layer_norm.weight", "lm_head.weight")}
        save_file(load_file(path) | more, path)
    ours = derive_config(TINY, weights=path).setup()(PROMPTS)
    assert (ours - reference(model, TINY, PROMPTS)).abs().max() < 1e-4


# --- in memory only while it is used


@pytest.fixture
def seen():
    """References to the encoders of transformers that compute during a test."""
    modules = []

    def look(module, args):
        if type(module).__name__ == "UMT5EncoderModel":
            modules.append(weakref.ref(module))

    handle = register_module_forward_pre_hook(look)
    yield modules
    handle.remove()


def test_the_module_is_released(seen):
    encoder = TINY.setup()
    encoder(PROMPTS)
    assert len(seen) == len(PROMPTS)
    assert not [reference for reference in seen if reference() is not None]
    assert not list(encoder.parameters())


def test_the_module_is_released_after_a_failure(seen):
    encoder = TINY.setup()
    with pytest.raises(IndexError):
        encoder.umt5.use(lambda umt5: embed(umt5, [100_000_000]), torch.float32, torch.device("cpu"))
    assert seen[0]() is None


def test_the_module_is_kept_where_the_config_says_so(seen):
    encoder = derive_config(TINY, keep="keep").setup()
    first, again = encoder(PROMPTS), encoder(PROMPTS)
    assert torch.equal(first, again)
    assert len({id(reference()) for reference in seen}) == 1
    assert seen[0]() is not None
    assert not list(encoder.parameters())


def test_the_skeleton_has_every_parameter_and_no_memory():
    skeleton = TINY.setup().transient()["text"]
    assert {p.device.type for p in skeleton.parameters()} == {"meta"}
    assert sum(p.numel() for p in skeleton.parameters()) == sum(
        p.numel() for p in build_umt5(TINY).parameters()
    )


# --- on meta


def test_on_meta_nothing_is_read_and_the_work_can_be_counted():
    config = derive_config(TINY, weights="nowhere.safetensors", tokenizer="nowhere", cache_embeddings=True)
    encoder = config.setup(device="meta")
    with FlopCounterMode(display=False) as one:
        embeddings = encoder(["a"])
    assert embeddings.is_meta
    assert embeddings.shape == (1, 40, 32)
    with FlopCounterMode(display=False) as two:
        assert encoder(["a", "b"]).shape == (2, 40, 32)
    projections = 2 * (4 * 32 * 32 + 3 * 32 * 48) * 40 * 2  # products of 2 layers, multiply and add
    assert one.get_total_flops() >= projections
    assert two.get_total_flops() == 2 * one.get_total_flops()


# --- published names


def consumed(shapes):
    """Shapes of a file's tensors by the names that they get in the module."""
    layout = next(layout for layout in LAYOUTS if layout.fits(shapes))
    return {layout.renamed(name): tuple(shape) for name, shape in shapes.items() if layout.renamed(name)}


def skeleton_shapes(config):
    with torch.device("meta"):
        return {name: tuple(t.shape) for name, t in build_umt5(config).state_dict().items()}


@pytest.mark.parametrize("names", ["umt5_xxl_keys", "umt5_xxl_hf_keys"])
def test_every_published_tensor_has_its_place(oracles, names):
    published = json.loads((oracles / "keys" / f"{names}.json").read_text())["keys"]
    expected = skeleton_shapes(WanTextEncoderConfig())
    found = consumed(published)
    assert len(found) == len(published)
    assert found | {"encoder.embed_tokens.weight": found["shared.weight"]} == expected


def test_every_tensor_of_the_full_architecture_has_its_place():
    expected = skeleton_shapes(WanTextEncoderConfig())
    assert sum(torch.Size(shape).numel() for shape in expected.values()) - 256384 * 4096 == 5_680_910_336
    for rename in (published_name, str):
        shapes = {rename(name): shape for name, shape in expected.items() if "embed_tokens" not in name}
        assert consumed(shapes) | {"encoder.embed_tokens.weight": (256384, 4096)} == expected


@pytest.mark.parametrize("changes", [{}, dict(layers=3, heads=2, head_width=24, vocabulary=500)])
def test_its_size_is_known_before_it_is_built(changes):
    encoder = derive_config(TINY, **changes).setup(device="meta")
    built = sum(t.numel() * t.element_size() for t in encoder.transient()["text"].parameters())
    assert encoder.transient_bytes() == built
    assert WanTextEncoderConfig().parameters == 5_680_910_336
