"""Embeddings of prompts on disk."""

import logging
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.modules.module import register_module_forward_pre_hook

from flashdreams.infra.config import derive_config
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.text.embedding_cache import Embedding, EmbeddingCache, model_identity
from flashdreams_wan.text.umt5 import load_umt5

TINY = WanTextEncoderConfig(
    width=16, mlp_width=16, layers=1, heads=2, head_width=8, vocabulary=384, tokens=16
)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


def files(folder):
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


@contextmanager
def watched():
    """Inside it, every pass of an encoder of transformers is noted in a list."""
    passes = []
    handle = register_module_forward_pre_hook(lambda module, args: passes.append(type(module).__name__))
    try:
        yield passes
    finally:
        handle.remove()


def test_a_prompt_seen_before_needs_no_encoder(cache_folder):
    with watched() as passes:
        first = TINY.setup()(["a fox", "", "a hen"])
    assert passes.count("UMT5EncoderModel") == 3
    assert len(files(cache_folder)) == 3
    with watched() as passes:
        again = TINY.setup()(["a hen", "  a   fox ", ""])
    assert "UMT5EncoderModel" not in passes
    assert torch.equal(again, first[[2, 0, 1]])


def test_only_new_prompts_are_encoded(cache_folder):
    known = TINY.setup()(["a fox"])
    both = TINY.setup()(["a hen", "a fox"])
    assert torch.equal(both[1], known[0])
    assert len(files(cache_folder)) == 2


def test_the_rows_of_padding_are_not_stored(cache_folder):
    TINY.setup()(["ab"])
    (name,) = files(cache_folder)
    size = (cache_folder / name).stat().st_size
    assert size < 3 * 16 * 4 + 200  # two bytes and the end mark, and a header


@pytest.mark.parametrize(
    "change",
    [
        dict(weights_seed=1),
        dict(mlp_width=8),
        dict(tokens=17),
        dict(heads=4, head_width=4),
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_model_has_its_own(cache_folder, change):
    TINY.setup()(["a fox"])
    derive_config(TINY, **change).setup()(["a fox"])
    assert len(files(cache_folder)) == 2


def test_another_dtype_has_its_own(cache_folder):
    TINY.setup()(["a fox"])
    assert TINY.setup().to(torch.bfloat16)(["a fox"]).dtype == torch.bfloat16
    assert len(files(cache_folder)) == 2


def test_the_content_of_the_weights_counts_and_not_their_name(cache_folder, tmp_path):
    def stored(name, seed):
        umt5 = load_umt5(derive_config(TINY, weights_seed=seed))
        tensors = {key: t.clone() for key, t in umt5.state_dict().items() if "embed_tokens" not in key}
        save_file(tensors, tmp_path / name)
        return derive_config(TINY, weights=str(tmp_path / name))

    one = stored("one.safetensors", 0).setup()(["a fox"])
    other = stored("other.safetensors", 1).setup()(["a fox"])
    assert not torch.equal(one, other)
    with watched() as passes:
        assert torch.equal(stored("copy.safetensors", 0).setup()(["a fox"]), one)
    assert "UMT5EncoderModel" not in passes
    changed = stored("one.safetensors", 2).setup()(["a fox"])
    assert not torch.equal(changed, one)
    assert len(files(cache_folder)) == 3


def test_where_and_how_it_is_computed_does_not_count():
    identity = model_identity(TINY, torch.float32)
    for change in (dict(keep="keep"), dict(device="cpu")):
        assert model_identity(derive_config(TINY, **change), torch.float32) == identity


def spoil_by_truncation(path):
    path.write_bytes(path.read_bytes()[:-7])


def spoil_by_emptying(path):
    path.write_bytes(b"")


def spoil_by_other_tensors(path):
    save_file({"other": torch.ones(3, 16)}, path)


def spoil_by_other_shape(path):
    save_file({"embedding": torch.ones(3, 4)}, path)


def spoil_by_too_many_rows(path):
    save_file({"embedding": torch.ones(17, 16)}, path)


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_by_truncation,
        spoil_by_emptying,
        spoil_by_other_tensors,
        spoil_by_other_shape,
        spoil_by_too_many_rows,
    ],
)
def test_a_damaged_file_is_made_anew(cache_folder, spoil, caplog):
    expected = TINY.setup()(["a fox"])
    (name,) = files(cache_folder)
    whole = (cache_folder / name).read_bytes()
    spoil(cache_folder / name)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(TINY.setup()(["a fox"]), expected)
    assert name in caplog.text
    assert (cache_folder / name).read_bytes() == whole
    assert files(cache_folder) == [name]


def test_it_can_be_switched_off(cache_folder):
    off = derive_config(TINY, cache_embeddings=False)
    assert torch.equal(off.setup()(["a fox"]), off.setup()(["a fox"]))
    assert not files(cache_folder)


def test_a_disk_that_cannot_be_written_to_is_no_error(cache_folder, caplog):
    cache_folder.parent.mkdir(parents=True)
    cache_folder.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert TINY.setup()(["a fox"]).shape == (1, 16, 16)
    assert "cannot be remembered" in caplog.text


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    cache = EmbeddingCache({}, tmp_path / "embeddings")
    cache.path("a fox").mkdir(parents=True)  # in the way
    cache.write("a fox", Embedding(torch.ones(2, 16)))
    assert [path.is_dir() for path in (tmp_path / "embeddings").iterdir()] == [True]


def test_what_was_written_is_read(tmp_path):
    cache = EmbeddingCache({"width": 16}, tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        rows = torch.randn(5, 16).to(dtype)
        cache.write("a fox", Embedding(rows, cut="und länger"))
        found = cache.read("a fox", tokens=16, width=16, dtype=dtype)
        assert torch.equal(found.rows, rows)
        assert found.cut == "und länger"
    assert cache.read("a hen", tokens=16, width=16, dtype=torch.float32) is None
