"""What becomes of an error while a session is computed. Its text is for operators alone."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from flashdreams.errors import DeviceMemoryError

log = logging.getLogger(__name__)


def reason_of(error: Exception) -> str:
    """Why the session ends, as a word of its standing."""
    import torch

    is_memory = isinstance(error, torch.OutOfMemoryError | DeviceMemoryError | MemoryError)
    return "no_memory" if is_memory else "failed"


def reported(error: Exception, doing: str) -> dict[str, Any]:
    """Write an error to the log under a reference, which is all that a client is told of it."""
    reference = secrets.token_hex(4)
    log.error("A session failed while %s (reference %s).", doing, reference, exc_info=error)
    return {"reference": reference}


def free_cached_memory(error: Exception) -> None:
    """Give what torch keeps for later back to the device, where memory was wanting."""
    import torch

    if reason_of(error) == "no_memory" and torch.cuda.is_available():
        torch.cuda.empty_cache()
