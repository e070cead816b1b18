"""The messages of the protocol that clients send, as types, and those that it sends, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from flashdreams.client.messages import CODECS, Codec
from flashdreams_serve.host.events import Event, Receipt, Refused, Standing
from flashdreams_serve.host.orders import LONGEST_NAME

VERSION = 1
"""Of the protocol."""
SUBPROTOCOL = f"flashdreams.v{VERSION}"

MOST_EXACT = 2**53 - 1
"""The largest whole number that every program that reads JSON knows exactly."""
MOST_CONTROLS = 64
MOST_LATENCIES = 64
LONGEST_TEXT = 16_384
"""Characters of any text; the limits of the server are usually narrower."""


def _whole(value: object) -> object:
    """JSON has one kind of number: 7.0 is 7."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count: TypeAlias = Annotated[int, Field(ge=0, le=MOST_EXACT), BeforeValidator(_whole)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Words: TypeAlias = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
ControlValue: TypeAlias = float | Annotated[str, Field(max_length=LONGEST_TEXT)]


class Strict(BaseModel):
    """Takes exactly what it names, of exactly these types, and only finite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Beginning(Strict):
    """What a rollout may begin with."""

    seed: Count | None = Field(default=None, description="Seed of the video; drawn where it is left out.")
    prompt: Words | None = Field(default=None, description="Prompt, where the model takes one.")
    start: Name | None = Field(default=None, description="One of the starts that the model offers.")
    image: Name | None = Field(default=None, description="Name of an image from `POST /v1/images`.")
    log: dict[str, Any] | None = Field(
        default=None, description="A control log: it is replayed first, its own beginning included."
    )


class Hello(Strict):
    """First of all: what the client can decode."""

    type: Literal["hello"]
    version: Count
    codecs: Annotated[list[Codec], Field(max_length=len(CODECS))] | None = None
    tag: bool = False


class SetControls(Strict):
    """Sets controls by name."""

    type: Literal["control"]
    seq: Annotated[int, Field(ge=1, le=MOST_EXACT), BeforeValidator(_whole)]
    values: Annotated[dict[Name, ControlValue], Field(max_length=MOST_CONTROLS)]
    sent_at: float | None = None


class Asking(Strict):
    """A message that is answered."""

    ask: Count


class AskPause(Asking):
    """Dream no further."""

    type: Literal["pause"]


class AskResume(Asking):
    """Dream on."""

    type: Literal["resume"]


class AskReset(Asking, Beginning):
    """Begin another rollout in the same session."""

    type: Literal["reset"]


class AskKeep(Asking):
    """Take a snapshot."""

    type: Literal["keep"]
    name: Name


class AskReturn(Asking):
    """Go back to a snapshot."""

    type: Literal["return"]
    name: Name


class AskFork(Asking):
    """Begin a second session that has seen the same."""

    type: Literal["fork"]


class AskSave(Asking):
    """Save the last seconds as MP4."""

    type: Literal["save"]
    seconds: Annotated[float, Field(gt=0, le=3600)]


class AskLog(Asking):
    """Give the control log."""

    type: Literal["log"]


class AskClose(Asking):
    """End the session."""

    type: Literal["close"]


class Ping(Strict):
    """Keeps the session alive."""

    type: Literal["ping"]
    sent_at: float | None = None


class Away(Strict):
    """The client goes on purpose, and is back within seconds or not at all."""

    type: Literal["away"]


class Report(Strict):
    """Latencies from key to pixel as the client saw them."""

    type: Literal["report"]
    latency_ms: Annotated[list[Annotated[float, Field(ge=0, le=600_000)]], Field(max_length=MOST_LATENCIES)]


Ask: TypeAlias = AskPause | AskResume | AskReset | AskKeep | AskReturn | AskFork | AskSave | AskLog | AskClose
ClientMessage: TypeAlias = Annotated[
    Hello | SetControls | Ask | Ping | Away | Report, Field(discriminator="type")
]

_CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)


def read_message(text: str) -> ClientMessage:
    """A message of a client.

    Raises:
        ValidationError: It is none, or one with other fields.
    """
    return _CLIENT_MESSAGE.validate_json(text)


def is_message(text: str) -> bool:
    """Whether it has the form of a message, whatever it says: a JSON object with a type."""
    return isinstance(_loaded(text).get("type"), str)


def ask_in(text: str) -> int | None:
    """The number of the client's own in a message that is otherwise wrong."""
    ask = _loaded(text).get("ask")
    is_number = isinstance(ask, int) and not isinstance(ask, bool) and 0 <= ask <= MOST_EXACT
    return ask if is_number else None


def fault_in(errors: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong by pydantic's account of a message or body: which field, and why; not what it holds."""
    parts = [str(part)[:LONGEST_NAME] for part in errors[0]["loc"]]
    place = ".".join(parts[1:] if parts[:1] == ["body"] else parts)
    return f"{place or 'It'}: {errors[0]['msg'][:200].replace('Input should', 'it should')}"


def event_message(event: Event) -> dict[str, Any]:
    """The message that tells of an event."""
    match event:
        case Receipt():
            return {"type": "receipt"} | asdict(event)
        case Refused():
            return {"type": "refused"} | asdict(event)
        case Standing():
            return {"type": "standing"} | standing_tree(event)


def standing_tree(standing: Standing) -> dict[str, Any]:
    """How a session stands, as plain values."""
    return {
        "state": standing.state,
        "reason": standing.reason,
        "position": standing.position,
        "detail": standing.detail,
    }


def _loaded(text: str) -> Mapping[str, Any]:
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}
