"""Which windows, positions and dtypes a KV cache can have. No torch here: configs check them too."""

from __future__ import annotations

from flashdreams.errors import FieldValueError


def check_window(window: int, sink: int, chunk: int) -> None:
    """Refuse sizes, in latent frames, that no KV cache can have.

    Raises:
        FieldValueError: Window or sink hold no whole chunks, or the window has no room for both the sink
            and the current chunk.
    """
    whole = chunk > 0 and window % chunk == 0 and sink % chunk == 0
    if whole and 0 <= sink <= window - chunk:
        return
    step = max(chunk, 1)
    room = max(1, -(-window // step)) * step
    raise FieldValueError(
        f"window is {window} and sink {sink}, in chunks of {chunk} latent frames.",
        "Window and sink hold whole chunks, and the window has room for sink and current chunk.",
        f"Set window to {room} and sink to 0, for instance.",
    )


def check_rope_positions(rope_positions: str) -> None:
    """Refuse positions that no KV cache counts.

    Raises:
        FieldValueError: Neither "absolute" nor "window".
    """
    if rope_positions not in ("absolute", "window"):
        raise FieldValueError(
            f"rope_positions is {rope_positions!r}.",
            'It is "absolute" or "window".',
            'Leave it at "absolute", unless rollouts have no end.',
        )


def check_cache_dtype(cache_dtype: str) -> None:
    """Refuse dtypes that keys and values are not kept in.

    Raises:
        FieldValueError: Neither "model" nor "float8_e4m3fn".
    """
    if cache_dtype not in ("model", "float8_e4m3fn"):
        raise FieldValueError(
            f"cache_dtype is {cache_dtype!r}.",
            'It is "model", for the dtype of the weights, or "float8_e4m3fn".',
            'Leave it at "model", unless memory is short.',
        )
