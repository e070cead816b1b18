"""Why a session is over, in words."""

from __future__ import annotations

from flashdreams.errors import SessionEndedError

REASONS = {
    "closed": "The session was closed.",
    "finished": "The session has come to the end of what its model makes.",
    "idle": "The session was idle: for too long nothing came from its client.",
    "left": "The session has ended: its client was gone for longer than the server waits.",
    "drained": "The server is shutting down, and has ended the session.",
    "failed": "The session has failed in the server, whose log says why.",
    "no_memory": "The server had no memory left for the session.",
}
"""By the reason that a server gives."""
NEXT_STEPS = {
    "drained": "Open another one when the server runs again.",
    "failed": "Open another one; tell whoever runs the server if that fails, too.",
    "no_memory": "Open another one later, or start the server with fewer: --sessions N.",
}
"""Where it is not to open another one at once."""


def ended(reason: str) -> SessionEndedError:
    """The error of a session that its server has ended."""
    return SessionEndedError(
        REASONS.get(reason, f"The session has ended: {reason}."),
        "A session dreams until its client closes it, and while its server runs.",
        NEXT_STEPS.get(reason, "Open another one."),
        code=reason,
    )
