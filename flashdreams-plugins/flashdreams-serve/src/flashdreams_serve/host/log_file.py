"""Control logs as plain values, written for clients and read from them, whom nobody trusts."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from flashdreams.errors import ControlError
from flashdreams.infra.runner.run_record import versions
from flashdreams_serve.host.card import ModelCard
from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.made_with import changes_since, told_in
from flashdreams_serve.host.orders import Opening
from flashdreams_serve.host.recording import LogSource

if TYPE_CHECKING:
    from flashdreams.io.writer import Frames

FORMAT = "flashdreams-control-log"
VERSION = 1

_MOST_CHUNKS = 10_000_000
_NEXT = "Take the log as the server gave it."


@dataclass(frozen=True)
class Scribe:
    """Writes the control logs of a host."""

    slug: str
    made_with: Mapping[str, Any]
    """What rollouts are computed with."""

    def written(self, log: ControlLog) -> dict[str, Any]:
        """A log as plain values."""
        return as_tree(log, self.slug, self.made_with)

    def differs(self, log: ControlLog) -> tuple[str, ...]:
        """What is other here than where a log comes from, one line each; nothing of one begun here."""
        return (*changes_since(log.came_with, {**_versions(self.slug), **self.made_with}),)

    def as_it_stands(self, log: ControlLog) -> LogSource:
        """The source of a log as it is now, however it grows; of none where it was not kept to its end."""
        kept = log.copy()
        return lambda: self.written(kept) if kept.is_whole else None


def as_tree(log: ControlLog, slug: str, made_with: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A log as plain values, with what its rollout is computed with, where that is known."""
    opening = log.opening
    begun_with = {"seed": opening.seed, "prompt": opening.prompt, "start": opening.start}
    given = {name: value for name, value in begun_with.items() if value is not None}
    if opening.image is not None:
        given["image"] = _packed(opening.image)
    return {
        "format": FORMAT,
        "version": VERSION,
        "slug": slug,
        "versions": dict(_versions(slug)),
        **({} if made_with is None else {"made_with": dict(made_with)}),
        "opening": given,
        "chunks": log.chunks,
        "controls": [[chunk, dict(values)] for chunk, values in log.changes],
    }


def read_log(tree: Any, card: ModelCard, *, most_bytes: int) -> ControlLog:
    """A log from plain values. Whether the model begins with its opening is not checked here.

    Args:
        tree: What claims to be a log.
        card: The model that it is for.
        most_bytes: Bytes that the log may grow to.

    Raises:
        ControlError: It is no log, or none of this model.
    """
    _check_kind(tree, card)
    chunks, controls = tree.get("chunks"), tree.get("controls")
    if not _is_count(chunks) or chunks > _MOST_CHUNKS or not isinstance(controls, list):
        raise _broken("The log lacks its chunks or its controls.", "It counts the ones and lists the others.")
    log = ControlLog(_opening(tree.get("opening"), card), card.steering, most_bytes)
    log.came_with = told_in(tree, _versions(card.slug))
    for entry in controls:
        chunk, values = _entry(entry, least=log.chunks, chunks=chunks)
        log.skip_to(chunk)
        log.note(card.steering.checked(values))
    log.skip_to(chunks)
    if not log.is_whole:
        raise _broken("The log is too long.", f"It has at most {most_bytes} bytes.")
    return log


@cache
def _versions(slug: str) -> dict[str, str]:
    return versions(slug)


def _check_kind(tree: Any, card: ModelCard) -> None:
    if not isinstance(tree, Mapping) or tree.get("format") != FORMAT:
        raise _broken("What was given is no control log.", f"Its format is {FORMAT!r}.")
    if tree.get("version") != VERSION or isinstance(tree.get("version"), bool):
        raise _broken("The log has another version.", f"Version {VERSION} can be read.")
    if tree.get("slug") != card.slug:
        raise _broken("The log is of another model.", f"This model is {card.slug}.")


def _entry(entry: Any, *, least: int, chunks: int) -> tuple[int, Mapping[str, Any]]:
    """One chunk, and what is new with it."""
    is_pair = isinstance(entry, list | tuple) and len(entry) == 2
    if not is_pair or not _is_count(entry[0]) or not isinstance(entry[1], Mapping) or not entry[1]:
        raise _broken("The log has controls that are none.", "Each is a chunk, and values by name.")
    if not least <= entry[0] < chunks:
        raise _broken(
            f"The log has controls of chunk {str(entry[0])[:20]} where chunk {least} or a later one is due.",
            f"They are in the order of their chunks, of which there are {chunks}.",
        )
    return entry[0], entry[1]


def _opening(tree: Any, card: ModelCard) -> Opening:
    if not isinstance(tree, Mapping) or not {*tree} <= {"seed", "prompt", "start", "image"}:
        raise _broken("The log lacks its opening.", "It holds a seed, and may hold prompt, start and image.")
    if not _is_count(tree.get("seed")):
        raise _broken("The log has no seed.", "It is a whole number.")
    for name in ("prompt", "start"):
        if not isinstance(tree.get(name), str | None):
            raise _broken(f"The {name} of the log is no text.", "It is text, or left out.")
    image = _unpacked(tree["image"], card) if tree.get("image") is not None else None
    return Opening(seed=tree["seed"], prompt=tree.get("prompt"), start=tree.get("start"), image=image)


def _packed(image: Frames) -> str:
    return base64.b64encode(zlib.compress(image.tobytes())).decode("ascii")


def _unpacked(text: Any, card: ModelCard) -> Frames:
    import numpy as np

    size = card.height * card.width * 3
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(text, validate=True), size + 1)
    except (TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise _broken(
            "The image of the log is damaged.", "It holds the pixels of the first frame."
        ) from error
    if len(data) != size:
        raise _broken(
            "The image of the log has another size.", f"It has {card.height} x {card.width} pixels."
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(card.height, card.width, 3).copy()


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _broken(what: str, right: str) -> ControlError:
    return ControlError(what, right, _NEXT)
