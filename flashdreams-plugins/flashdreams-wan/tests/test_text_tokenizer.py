"""Prompts to token ids."""

import json
import logging
from pathlib import Path

import pytest
import torch

from flashdreams.errors import FieldValueError, InputError, WeightsFileError
from flashdreams.infra.config import derive_config
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.text.tokenizer import Tokenizer, clean

WORDS = ["<pad>", "</s>", "<unk>", "▁a", "▁red", "▁fox", "▁runs", "▁", "r", "u", "n", "s"]


@pytest.fixture
def folder(tmp_path):
    """A tokenizer folder as Wan publishes one, of twelve words."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, processors

    backend = Backend(models.Unigram([(word, -float(i)) for i, word in enumerate(WORDS)], unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    backend.save(str(tmp_path / "tokenizer.json"))
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    more = {"tokenizer_class": "T5Tokenizer", "extra_ids": 300, **special}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(more))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("prompt", "cleaned"),
    [
        ("  a\n red\t\tfox ", "a red fox"),
        ("", ""),
        ("fish &amp;amp; chips", "fish & chips"),
        ("&lt;b&gt;", "<b>"),
        ("schÃ¶n", "schön"),
        ("a\u00a0fox\u3000runs", "a fox runs"),
        ("ﬁne “quotes”", 'fine "quotes"'),
    ],
)
def test_prompts_are_cleaned_as_wan_cleans_them(prompt, cleaned):
    assert clean(prompt) == cleaned


def test_a_folder_is_read_word_for_word(folder):
    tokens = Tokenizer(folder, tokens=512, vocabulary=12)("a red fox runs")
    assert tokens.ids == [3, 4, 5, 6, 1]
    assert tokens.cut == ""
    assert Tokenizer(folder, tokens=512, vocabulary=12)("").ids == [1]
    assert 2 in Tokenizer(folder, tokens=512, vocabulary=12)("a 7 fox").ids


def test_bytes_need_no_files():
    tokens = Tokenizer("bytes", tokens=512, vocabulary=384)("aé")
    assert tokens.ids == [ord("a") + 3, 0xC3 + 3, 0xA9 + 3, 1]


def test_a_long_prompt_loses_its_end_and_keeps_the_end_mark(folder):
    tokens = Tokenizer(folder, tokens=3, vocabulary=12)("a red fox runs")
    assert tokens.ids == [3, 4, 1]
    assert tokens.cut == "fox runs"
    assert Tokenizer(folder, tokens=5, vocabulary=12)("a red fox runs").cut == ""


def test_the_cut_is_told(caplog, tmp_path, monkeypatch):
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path))
    config = WanTextEncoderConfig(
        width=8, mlp_width=8, layers=1, heads=1, head_width=8, vocabulary=384, tokens=6
    )
    for _ in range(2):  # the second time from disk
        with caplog.at_level(logging.WARNING):
            config.setup()(["A fox runs."])
        assert "more than 6 tokens" in caplog.text
        assert "' runs.'" in caplog.text
        caplog.clear()
    config.setup()(["A fox"])
    assert not caplog.text


def test_the_tokenizer_is_kept_and_released_with_the_encoder(folder):
    sizes = dict(width=8, mlp_width=8, layers=1, heads=1, head_width=8, vocabulary=12, tokens=6)
    config = WanTextEncoderConfig(**sizes, tokenizer=folder, cache_embeddings=False)
    kept, released = derive_config(config, keep="keep").setup(), config.setup()
    assert torch.equal(kept(["a fox"]), released(["a fox"]))
    Path(folder, "tokenizer.json").unlink()
    assert kept(["a red fox"]).any()
    with pytest.raises(WeightsFileError, match="is no tokenizer"):
        released(["a red fox"])


def test_a_tokenizer_of_another_vocabulary_is_refused(folder):
    with pytest.raises(InputError, match="token id 6") as error:
        Tokenizer(folder, tokens=512, vocabulary=6)("a red fox runs")
    assert "vocabulary has 6" in error.value.right


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    with pytest.raises(WeightsFileError, match=r"tokenizer\.json"):
        Tokenizer(str(tmp_path), tokens=512, vocabulary=12)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsFileError, match="is no tokenizer"):
        Tokenizer(str(tmp_path), tokens=512, vocabulary=12)
    with pytest.raises(WeightsFileError, match="nowhere"):
        Tokenizer(str(tmp_path / "nowhere"), tokens=512, vocabulary=12)


def test_what_must_be_fetched_is_named():
    assert WanTextEncoderConfig().weight_references() == []
    published = derive_config(
        WanTextEncoderConfig(), weights="flashdreams_wan:text-encoder", tokenizer="flashdreams_wan:tokenizer"
    )
    assert published.weight_references() == ["flashdreams_wan:text-encoder", "flashdreams_wan:tokenizer"]
    assert WanTextEncoderConfig(weights="/models/umt5.pth").weight_references() == []


def test_sizes_are_checked():
    with pytest.raises(FieldValueError, match="layers is 0"):
        WanTextEncoderConfig(layers=0)
