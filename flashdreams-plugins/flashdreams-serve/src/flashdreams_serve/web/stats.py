"""How it goes, as a client is told once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flashdreams_serve.web.mailbox import Mailbox

if TYPE_CHECKING:
    from flashdreams_serve.host.host import Host
    from flashdreams_serve.host.session import Session


def stats_message(session: Session, host: Host, mailbox: Mailbox, fps: int) -> dict[str, Any]:
    """The message that tells how it goes.

    Args:
        session: The client's.
        host: Of all sessions.
        mailbox: What the client's frames wait in.
        fps: Frames that the client was sent within the last second.
    """
    last, views = mailbox.last, host.sessions()
    return {
        "type": "stats",
        "fps": fps,
        "chunk_ms": None if last is None else round((last.made_at - last.began_at) * 1000, 2),
        "missed": session.view().missed,
        "dropped": mailbox.dropped,
        "stale": mailbox.stale,
        "path": "" if last is None else last.path,
        "waiting": sum(view.state == "queued" for view in views),
        "sessions": sum(view.state not in ("queued", "ended") for view in views),
    }
