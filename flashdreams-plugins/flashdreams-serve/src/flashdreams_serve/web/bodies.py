"""What requests are answered with, and what they take: every field, for programs and for people."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from flashdreams_serve.host.events import State
from flashdreams_serve.web.messages import Beginning, Strict

SESSION_PATTERN = "^[A-Za-z0-9_-]{16,64}$"
LONGEST_OFFER = 16_384
"""Characters of an offer; those of browsers have half of it."""
VIDEO_PATTERN = "^[a-z0-9-]{1,80}[.]mp4$"

Phase: TypeAlias = Literal["loading", "ready", "draining", "failed", "stopped"]


class Answer(BaseModel):
    """What an answer holds, and nothing else."""

    model_config = ConfigDict(extra="forbid")


class ErrorBody(Answer):
    """What is wrong."""

    code: str = Field(description="A word for programs.")
    what: str = Field(description="What is wrong.")
    right: str = Field(description="What would be right.")
    next: str = Field(description="What to do next.")


class ProblemBody(Answer):
    """Something is wrong."""

    error: ErrorBody


class Health(Answer):
    """The process lives."""

    status: Literal["alive"] = "alive"


class Readiness(Answer):
    """Whether sessions may begin."""

    phase: Phase


class Unready(ProblemBody):
    """Sessions may not begin now."""

    phase: Phase


class AxisBody(Answer):
    """A number that is held until it is changed."""

    name: str
    label: str
    low: float
    high: float
    rest: float = Field(description="Its value while nothing is pressed.")
    keys: dict[str, float] = Field(description="The value at which each key (`KeyboardEvent.code`) holds it.")
    pad: str | None = Field(description="The axis of a gamepad that drives it.")


class ChoiceBody(Answer):
    """One of a few things, held until it is changed."""

    name: str
    label: str
    options: list[str] = Field(description="The first is what it rests at.")
    keys: dict[str, str]


class TextBody(Answer):
    """Words that take effect at the chunk that comes next."""

    name: str
    label: str
    example: str
    longest: int


class SteeringBody(Answer):
    """All that can be steered, and what a rollout may begin with."""

    axes: list[AxisBody]
    choices: list[ChoiceBody]
    texts: list[TextBody]
    prompt: TextBody | None
    starts: list[str]
    image: bool
    needs_image: bool


class IceServerBody(Answer):
    """A STUN or TURN server, as `RTCPeerConnection` takes it."""

    urls: str
    username: str
    credential: str


class LimitsBody(Answer):
    """What a client may use."""

    sessions_per_client: int
    message_bytes: int
    messages_per_second: float
    requests_per_second: float
    upload_bytes: int
    upload_pixels: int
    prompt_characters: int
    snapshots: int
    idle_seconds: float
    grace_seconds: float
    keep_seconds: float


class ModelBody(Answer):
    """What is served."""

    slug: str
    description: str
    fps: float
    height: int
    width: int
    scale: int = Field(description="Whole number by which frames are enlarged to be looked at.")
    chunk_frames: int
    chunk_seconds: float
    steering: SteeringBody
    protocol: int
    transports: list[Literal["webrtc", "websocket"]]
    codecs: list[str] = Field(description="Of frames over WebSocket.")
    ice_servers: list[IceServerBody]
    limits: LimitsBody


class Models(Answer):
    """What is served: one model."""

    models: list[ModelBody]
    phase: Phase = Field(description="How far the server is; sessions begin once it is ready.")


class SessionBody(Answer):
    """How a session stands."""

    session: str = Field(description="Its name, which is its key.")
    seed: int
    state: State
    reason: str
    position: int = Field(description="Sessions ahead of it in the queue, itself included.")
    age_s: float
    chunks: int
    frames: int
    missed: int = Field(description="Chunks that came too late.")
    viewers: int


class AnonymousBody(Answer):
    """How somebody's session stands."""

    state: State
    age_s: float
    chunks: int
    frames: int
    missed: int
    viewers: int


class SessionsBody(Answer):
    """How many sessions there are, and how each stands."""

    limit: int = Field(description="Sessions that dream at once.")
    sessions: list[AnonymousBody]


class SessionRequest(Beginning):
    """What a session begins with; what is left out is as the model has it."""

    model_config = ConfigDict(
        json_schema_extra={"description": "What a session begins with.", "examples": [{"seed": 7}]}
    )


class OfferRequest(Strict):
    """A WebRTC offer."""

    type: Literal["offer"]
    sdp: Annotated[str, Field(min_length=1, max_length=LONGEST_OFFER)]


class OfferAnswer(Answer):
    """The answer to a WebRTC offer."""

    type: Literal["answer"] = "answer"
    sdp: str


class ImageBody(Answer):
    """An image that was taken."""

    image: str = Field(description="Its name, for `POST /v1/sessions`; kept for a few minutes.")


class LogBody(Answer):
    """A control log."""

    log: dict[str, Any]


class VideoBody(Answer):
    """A saved video."""

    name: str
    bytes: int
    saved_at: float = Field(description="Seconds since 1970.")


class VideosBody(Answer):
    """The saved videos of a session."""

    videos: list[VideoBody]
