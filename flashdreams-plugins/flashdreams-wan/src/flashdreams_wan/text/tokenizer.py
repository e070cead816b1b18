"""Prompts to token ids: cleaned as Wan cleans them, and cut where they are too long."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from flashdreams.errors import InputError, WeightsFileError
from flashdreams.io.hub import resolve_weights

BYTES = "bytes"
"""The tokenizer that needs no files: one token a byte."""
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Tokens:
    """Token ids of one prompt."""

    ids: list[int]
    """The ids, the end mark last."""
    cut: str = ""
    """The end of the prompt that did not fit; empty where all of it did."""


class Tokenizer:
    """A tokenizer of transformers.

    Args:
        name: "bytes", a lock reference, or a folder with a ``tokenizer.json``.
        tokens: Most tokens of a prompt, the end mark included.
        vocabulary: Rows of the embedding that the ids are looked up in.

    Raises:
        WeightsError: The folder cannot be found, or holds no tokenizer.
    """

    def __init__(self, name: str, *, tokens: int, vocabulary: int) -> None:
        self._name = name
        self._tokens = tokens
        self._vocabulary = vocabulary
        self._tokenizer = _load(name)

    def __call__(self, text: str) -> Tokens:
        """Token ids of a cleaned prompt. One that is too long loses its end, but not the end mark.

        Raises:
            InputError: An id lies beyond the vocabulary.
        """
        ids = [int(i) for i in self._tokenizer(text, verbose=False)["input_ids"]]
        if max(ids, default=0) >= self._vocabulary:
            raise InputError(
                f"The tokenizer {self._name!r} gives the token id {max(ids)}.",
                f"The text encoder's vocabulary has {self._vocabulary} entries.",
                "Set tokenizer and vocabulary to those that the text encoder was made with.",
            )
        if len(ids) <= self._tokens:
            return Tokens(ids)
        kept = self._tokens - 1
        return Tokens(ids[:kept] + ids[-1:], cut=self._tokenizer.decode(ids[kept:-1]))


def clean(prompt: str) -> str:
    """A prompt as Wan cleans it: broken Unicode mended, HTML entities resolved, white space single."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(prompt))).split())


def _load(name: str) -> Any:
    from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

    if name == BYTES:
        return ByT5Tokenizer()
    folder = resolve_weights(name)
    file = folder / TOKENIZER_FILE
    try:
        # As the file says, word for word: transformers' T5 classes would build another pipeline of it.
        return PreTrainedTokenizerFast(tokenizer_file=str(file))
    # The tokenizers library raises nothing more specific.
    except Exception as error:
        raise WeightsFileError(
            f"{file} is no tokenizer: {error}.",
            f'A tokenizer is a folder with {TOKENIZER_FILE}, such as google/umt5-xxl of Wan, or "bytes".',
            "Set tokenizer to such a folder.",
        ) from error
