"""The text encoder: prompts to the embeddings that the transformer attends to."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from flashdreams.infra.encoder.base import Encoder
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.text.embedding_cache import Embedding, EmbeddingCache, model_identity
from flashdreams_wan.text.tokenizer import Tokenizer, Tokens, clean
from flashdreams_wan.text.umt5 import load_umt5
from flashdreams_wan.transient import Transient, TransientModule, anchor

SHOWN = 60
"""Characters of a cut that a warning quotes."""

log = logging.getLogger(__name__)


class WanTextEncoder(Encoder):
    """UMT5, in memory only while a prompt that is not yet known on this machine is encoded.

    Its weights are no part of the module tree: see :meth:`transient`. It computes and answers in the dtype
    and on the device that it is moved to, unless the config names another device to compute on.
    """

    config: WanTextEncoderConfig
    _anchor: Tensor
    """Nothing, in the dtype and on the device of the embeddings."""

    def __init__(self, config: WanTextEncoderConfig) -> None:
        super().__init__(config)
        self.register_buffer("_anchor", anchor(), persistent=False)
        keep = config.keep == "keep"
        self.tokenizer = Transient[Tokenizer](keep=keep)
        self.umt5 = TransientModule(partial(load_umt5, config), keep=keep, device=config.device)

    def forward(self, prompts: list[str]) -> Tensor:
        """Embed prompts: ``[B, tokens, width]``, with zeros beyond the tokens of each, as Wan pads them.

        Each is encoded by itself and without its padding, which masked attention does not see anyway: so
        its embedding is the same in every batch, and costs what its length asks for.

        Raises:
            WeightsError: The weights or the tokenizer cannot be loaded.
            InputError: The tokenizer does not belong to the encoder.
        """
        if self._anchor.is_meta:
            return self._outline(len(prompts))
        texts = [clean(prompt) for prompt in prompts]
        embeddings = self._embeddings(texts)
        padded = self._anchor.new_zeros(len(prompts), self.config.tokens, self.config.width)
        for member, text in zip(padded, texts, strict=True):
            rows = embeddings[text].rows
            member[: len(rows)] = rows
        self._warn_of_cuts(embeddings.values())
        return padded

    def transient(self) -> dict[str, nn.Module]:
        """The encoder as a skeleton on ``meta``."""
        return {"text": self.umt5.skeleton(self._anchor.dtype)}

    def transient_bytes(self) -> int:
        """Bytes of the encoder, without importing what builds it."""
        return self.config.parameters * self._anchor.element_size()

    def _embeddings(self, texts: list[str]) -> dict[str, Embedding]:
        """Embeddings by their texts: from disk where they are there, else made now and written there."""
        if not self.config.cache_embeddings:
            return self._encode(texts)
        config, dtype = self.config, self._anchor.dtype
        cache = EmbeddingCache(model_identity(config, dtype))
        found = {t: cache.read(t, tokens=config.tokens, width=config.width, dtype=dtype) for t in texts}
        known = {text: embedding for text, embedding in found.items() if embedding is not None}
        new = self._encode([text for text in texts if text not in known])
        for text, embedding in new.items():
            cache.write(text, embedding)
        return known | new

    def _encode(self, texts: list[str]) -> dict[str, Embedding]:
        if not texts:
            return {}
        prompts = self._tokenized(texts)

        def embed_all(umt5: nn.Module) -> dict[str, Embedding]:
            return {text: Embedding(embed(umt5, p.ids).cpu(), p.cut) for text, p in prompts.items()}

        return self.umt5.use(embed_all, self._anchor.dtype, beside=self._anchor.device)

    def _tokenized(self, texts: list[str]) -> dict[str, Tokens]:
        """Token ids by their texts. The tokenizer is large too, and gone before the encoder is loaded."""
        config = self.config
        load = partial(Tokenizer, config.tokenizer, tokens=config.tokens, vocabulary=config.vocabulary)
        return self.tokenizer.use(load, lambda tokenize: {text: tokenize(text) for text in texts})

    def _outline(self, batch_size: int) -> Tensor:
        """The same work on ``meta``, with prompts of full length, for whoever counts it."""
        umt5 = self.umt5.skeleton(self._anchor.dtype)
        return torch.stack([embed(umt5, [0] * self.config.tokens) for _ in range(batch_size)])

    def _warn_of_cuts(self, embeddings: Iterable[Embedding]) -> None:
        for embedding in embeddings:
            if embedding.cut:
                log.warning(
                    "A prompt has more than %d tokens. Its last %d characters were cut, from here on: %r.",
                    self.config.tokens,
                    len(embedding.cut),
                    embedding.cut[:SHOWN],
                )


@torch.no_grad()
def embed(umt5: nn.Module, ids: list[int]) -> Tensor:
    """Embeddings of the tokens of one prompt, ``[n, width]``, on the encoder's device."""
    device = next(umt5.parameters()).device
    rows: Tensor = umt5(torch.tensor([ids], device=device)).last_hidden_state[0]
    return rows
