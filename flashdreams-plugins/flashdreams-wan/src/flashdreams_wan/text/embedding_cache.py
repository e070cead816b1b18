"""Embeddings of prompts on disk, so that a prompt that was seen before needs no text encoder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flashdreams.environment import cache_folder
from flashdreams.io.build import RANDOM
from flashdreams.io.checksum import identity
from flashdreams.io.hub import resolve_weights
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.text.tokenizer import BYTES

log = logging.getLogger(__name__)

_NAME = "embedding"
_CUT = "cut"
_FORMAT = 1  # raise it when the same model comes to give other embeddings
_WITHOUT_INFLUENCE = {"weights", "weights_seed", "tokenizer", "keep", "device", "cache_embeddings", "_target"}


@dataclass(frozen=True)
class Embedding:
    """What the text encoder made of one prompt."""

    rows: Tensor
    """One row a token, ``[n, width]``, in host memory."""
    cut: str = ""
    """The end of the prompt that did not fit; empty where all of it did."""


def model_identity(config: WanTextEncoderConfig, dtype: torch.dtype) -> dict[str, Any]:
    """All that an embedding depends on beside its prompt: architecture, dtype, and what the files hold.

    Raises:
        WeightsError: The weights or the tokenizer cannot be found.
    """
    sizes = {name: value for name, value in vars(config).items() if name not in _WITHOUT_INFLUENCE}
    random, in_bytes = config.weights == RANDOM, config.tokenizer == BYTES
    return {
        "format": _FORMAT,
        **sizes,
        "dtype": str(dtype),
        "weights": f"{RANDOM} {config.weights_seed}" if random else identity(resolve_weights(config.weights)),
        "tokenizer": BYTES if in_bytes else identity(resolve_weights(config.tokenizer)),
    }


class EmbeddingCache:
    """A folder of safetensors files, one a prompt and model.

    Files are written whole or not at all, and a damaged one counts as absent. Only rows of tokens are
    stored. A disk that cannot be written to costs time, and is no error.

    Args:
        model: All that the embeddings depend on beside the prompt, of plain values.
        folder: Where the files lie; ``embeddings`` in the user's cache folder where None.
    """

    def __init__(self, model: dict[str, Any], folder: Path | None = None) -> None:
        self._model = json.dumps(model, sort_keys=True)
        self._folder = folder or cache_folder() / "embeddings"

    def path(self, text: str) -> Path:
        """The file of a cleaned prompt, whether it is there or not."""
        key = hashlib.sha256(json.dumps([self._model, text]).encode()).hexdigest()
        return self._folder / f"{key}.safetensors"

    def read(self, text: str, *, tokens: int, width: int, dtype: torch.dtype) -> Embedding | None:
        """The embedding of a cleaned prompt; None where it is not there or damaged.

        Args:
            text: The prompt.
            tokens: Most rows that it may have.
            width: Width of a row.
            dtype: Type of the numbers.
        """
        from safetensors import SafetensorError

        path = self.path(text)
        try:
            found = _read(path)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            _tell_of_damage(path, str(error))
            return None
        rows = found.rows
        fits = rows.dim() == 2 and 0 < len(rows) <= tokens and rows.shape[1] == width and rows.dtype == dtype
        if not fits:
            _tell_of_damage(path, f"it holds {list(rows.shape)} of {rows.dtype}")
        return found if fits else None

    def write(self, text: str, embedding: Embedding) -> None:
        """Remember the embedding of a cleaned prompt."""
        from safetensors.torch import save

        data = save({_NAME: embedding.rows.contiguous()}, metadata={_CUT: embedding.cut})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write_whole(self.path(text), data)
        except OSError as error:
            log.warning("The embedding of a prompt cannot be remembered in %s: %s.", self._folder, error)


def _read(path: Path) -> Embedding:
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        return Embedding(file.get_tensor(_NAME), (file.metadata() or {}).get(_CUT, ""))


def _tell_of_damage(path: Path, why: str) -> None:
    log.warning("%s is damaged (%s), and will be written anew.", path, why)


def _write_whole(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
