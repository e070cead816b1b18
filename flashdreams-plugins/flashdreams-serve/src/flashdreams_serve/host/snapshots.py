"""The snapshots that sessions keep, and the memory of the host that all of them take."""

from __future__ import annotations

from flashdreams.io.memory import binary
from flashdreams_serve.host.dream import Dream, Kept
from flashdreams_serve.host.errors import OrderRefusedError
from flashdreams_serve.host.orders import LONGEST_NAME
from flashdreams_serve.host.session import Session


class Snapshots:
    """What sessions have kept, by name. Only the thread that computes may use it.

    Args:
        most_each: Snapshots of one session.
        most_bytes: Bytes of host memory that those of all sessions take.
    """

    def __init__(self, most_each: int, most_bytes: int) -> None:
        self._most_each = most_each
        self._most_bytes = most_bytes
        self._kept: dict[Session, dict[str, Kept]] = {}

    @property
    def bytes(self) -> int:
        """Bytes of host memory that all of them take."""
        return sum(kept.bytes for mine in self._kept.values() for kept in mine.values())

    def keep(self, session: Session, name: str, dream: Dream) -> None:
        """Take one. What had its name is dropped before, so that both are never there at once.

        Raises:
            OrderRefusedError: The name is none, the session has as many as it may have, or it would take more
                memory than is left. What had its name is kept then.
        """
        mine = self._kept.get(session, {})
        _check_name(name)
        self._check_count(mine, name)
        self._check_room(mine, name, dream.rollout.snapshot_bytes())
        mine.pop(name, None)
        self._kept[session] = {**mine, name: dream.keep()}

    def find(self, session: Session, name: str) -> Kept:
        """The one of that name.

        Raises:
            OrderRefusedError: There is none.
        """
        mine = self._kept.get(session, {})
        if name not in mine:
            raise OrderRefusedError(
                "no_such_snapshot",
                "There is no snapshot of that name.",
                f"Snapshots that the session has: {len(mine)}.",
                "Go back to one that was taken.",
            )
        return mine[name]

    def forget(self, session: Session) -> None:
        """Drop all of a session."""
        self._kept.pop(session, None)

    def _check_count(self, mine: dict[str, Kept], name: str) -> None:
        if name not in mine and len(mine) >= self._most_each:
            raise OrderRefusedError(
                "too_many_snapshots",
                f"Snapshots that the session has: {len(mine)}.",
                f"It has at most {self._most_each}.",
                "Take this one under the name of one that is no longer needed.",
            )

    def _check_room(self, mine: dict[str, Kept], name: str, needed: int) -> None:
        left = self._most_bytes - self.bytes + (mine[name].bytes if name in mine else 0)
        if not self._most_bytes:
            raise OrderRefusedError(
                "snapshots_full",
                "This server keeps no snapshots.",
                "It gives them no memory.",
                "Go on without; whoever runs the server may give them some (--snapshot-memory).",
            )
        if needed > left:
            raise OrderRefusedError(
                "snapshots_full",
                f"A snapshot takes {binary(needed)}; of the server's memory {binary(left)} are left for it.",
                f"Those of all sessions take at most {binary(self._most_bytes)} together.",
                self._way_out(needed, has_others=bool(mine.keys() - {name})),
            )

    def _way_out(self, needed: int, *, has_others: bool) -> str:
        if needed > self._most_bytes:
            return "Go on without; whoever runs the server may give snapshots more (--snapshot-memory)."
        if has_others:
            return "Take it under the name of one that is no longer needed."
        return "Try again once another session has ended."


def _check_name(name: str) -> None:
    if not 0 < len(name) <= LONGEST_NAME:
        raise OrderRefusedError(
            "bad_name",
            f"The name of the snapshot has {len(name)} characters.",
            f"It has 1 to {LONGEST_NAME}.",
            "Choose another name.",
        )
