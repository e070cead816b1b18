"""Why a video was not saved, in words that a client may read."""

from __future__ import annotations

import errno

from flashdreams_serve.host.errors import OrderRefusedError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class SavingError(OrderRefusedError):
    """A video, or a log, that could not be saved."""


def saved_full(what: str) -> SavingError:
    """The refusal of more than a server keeps, which ``what`` says."""
    return SavingError(
        "saved_full",
        what,
        "A server keeps only so much, and deletes nothing by itself.",
        "Download what is saved, and ask whoever runs the server to make room.",
    )


def disk_failed(error: OSError) -> SavingError:
    """What a client is told of an error of the disk."""
    if error.errno in _FULL:
        return SavingError(
            "disk_full",
            "The server's disk is full.",
            "There must be room for the whole video.",
            "Ask whoever runs the server to make room, then save again.",
        )
    return SavingError(
        "not_saved",
        "The video could not be written to the server's disk.",
        "The disk takes what is saved on it.",
        "Tell whoever runs the server: its log says why.",
    )


def nothing_kept() -> SavingError:
    """The refusal to save a session without frames."""
    return SavingError(
        "nothing_kept",
        "The session has no frames that could be saved.",
        "A video holds at least one frame.",
        "Save once it is live and has shown something.",
    )


def too_many_saves() -> SavingError:
    """The refusal of more videos than are written at once."""
    return SavingError(
        "too_many_saves",
        "As many videos are being saved as may be at once.",
        "Each is written before more are asked for.",
        "Save again in a moment.",
    )


def recorder_closed() -> SavingError:
    """The refusal to save a session whose recorder was closed."""
    return SavingError(
        "session_ended",
        "The session is no longer recorded.",
        "Only a living session can be saved.",
        "Open another session.",
    )


def not_recorded() -> SavingError:
    """What a client is told where a video cannot be made."""
    return SavingError(
        "not_saved",
        "The session's video could not be made.",
        "Its frames are encoded while it goes on.",
        "Tell whoever runs the server: its log says why.",
    )
