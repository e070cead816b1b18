"""The requests of the protocol about models and sessions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from flashdreams_serve.host.errors import OrderRefusedError
from flashdreams_serve.host.orders import Close, GiveLog
from flashdreams_serve.web.answers import problems
from flashdreams_serve.web.asks import answered
from flashdreams_serve.web.bodies import (
    SESSION_PATTERN,
    AnonymousBody,
    Health,
    LogBody,
    Models,
    OfferAnswer,
    OfferRequest,
    Readiness,
    SessionBody,
    SessionRequest,
    SessionsBody,
    Unready,
)
from flashdreams_serve.web.gate import client_of
from flashdreams_serve.web.openings import check_words, opening_of, read_aside
from flashdreams_serve.web.problems import problem
from flashdreams_serve.web.services import Services
from flashdreams_serve.web.sizes import too_large

if TYPE_CHECKING:
    from flashdreams_serve.host.session import Session

health = APIRouter(tags=["health"])
sessions = APIRouter(prefix="/v1", tags=["sessions"])

SessionName = Annotated[str, Path(pattern=SESSION_PATTERN, description="The session's name.")]


def services_of(request: Request) -> Services:
    """What the endpoints share."""
    services: Services = request.app.state.services
    return services


Shared = Annotated[Services, Depends(services_of)]


def found(name: str, services: Services) -> Session:
    """The session of that name.

    Raises:
        ProblemError: There is none.
    """
    session = services.host.session(name)
    if session is None:
        raise problem(
            404,
            "no_such_session",
            "There is no such session.",
            "A session has the name that POST /v1/sessions gave it, until a while after its end.",
            "Open another.",
        )
    return session


async def only_json(request: Request) -> None:
    """Refuse a body that is not JSON.

    Raises:
        ProblemError: It is of another type.
    """
    kind = request.headers.get("content-type")
    if kind is None and not await request.body():
        return
    if (kind or "").partition(";")[0].strip().lower() != "application/json":
        raise problem(
            415, "wrong_type", "The body is not JSON.", "Its type is application/json.", "Send it as JSON."
        )


@health.get("/healthz")
async def healthz() -> Health:
    """Whether the process lives. Needs no token."""
    return Health()


@health.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Unready, "description": "Not yet, or no longer."}},
)
async def readyz(services: Shared) -> Response:
    """Whether sessions may begin. Needs no token."""
    phase = services.host.phase
    if phase == "ready":
        return JSONResponse({"phase": phase})
    told = problem(
        503, "not_ready", f"The server is {phase}.", "Sessions begin once it is ready.", "Ask again."
    ).problem
    return JSONResponse({"phase": phase, **told.body()}, 503, {"retry-after": "1"})


@health.get("/metrics", response_class=PlainTextResponse, responses=problems())
async def metrics(services: Shared) -> Response:
    """Figures for Prometheus."""
    services.metrics.sessions(view.state for view in services.host.sessions())
    return Response(services.metrics.text(), media_type=services.metrics.content_type)


@sessions.get("/models", responses=problems(), tags=["models"])
async def models(services: Shared) -> Models:
    """What is served: size, frame rate, steering, limits, transports; and how far the server is."""
    return Models.model_validate({"models": [services.model()], "phase": services.host.phase})


@sessions.get("/sessions", responses=problems())
async def list_sessions(services: Shared) -> SessionsBody:
    """How many sessions there are and how each stands; not who they are."""
    views = [view.as_tree() for view in services.host.sessions()]
    each = [AnonymousBody(**{name: view[name] for name in AnonymousBody.model_fields}) for view in views]
    return SessionsBody(limit=services.host.sessions_limit, sessions=each)


@sessions.post(
    "/sessions",
    status_code=201,
    response_model=SessionBody,
    dependencies=[Depends(only_json)],
    responses={
        202: {"model": SessionBody, "description": "It waits for a slot."},
        **problems(404, 408, 409, 413, 415, 422, 503),
    },
)
async def open_session(request: Request, services: Shared, body: SessionRequest | None = None) -> Response:
    """Open a session, which begins at once or waits for a slot."""
    await _check_size(request, body, services)
    client = client_of(request)
    opening = opening_of(body or SessionRequest(), services, client)
    session = await read_aside(partial(services.host.open, client=client), opening, services)
    tree = _tree(session)
    status = 202 if tree["state"] == "queued" else 201
    return JSONResponse(tree, status, {"location": f"/v1/sessions/{session.id}"})


@sessions.get("/sessions/{session}", responses=problems(404, 422))
async def show_session(session: SessionName, services: Shared) -> SessionBody:
    """How a session stands. Whoever asks holds its place in the queue by that."""
    asked = found(session, services)
    asked.heard()
    return SessionBody(**_tree(asked))


@sessions.delete("/sessions/{session}", status_code=204, responses=problems(404, 409, 422, 503))
async def close_session(session: SessionName, services: Shared) -> Response:
    """End a session. Twice is once."""
    living = found(session, services)
    try:
        await answered(living.order(Close()))
    except OrderRefusedError as error:
        if error.code != "session_ended":
            raise
    return Response(status_code=204)


@sessions.get("/sessions/{session}/log", responses=problems(404, 409, 422, 503))
async def session_log(session: SessionName, services: Shared) -> LogBody:
    """The control log of a session, from which it can be made again."""
    answer = await answered(found(session, services).order(GiveLog()))
    return LogBody(**answer)


@sessions.post(
    "/sessions/{session}/offer",
    dependencies=[Depends(only_json)],
    responses=problems(404, 408, 409, 413, 415, 422, 503),
)
async def offer(session: SessionName, services: Shared, body: OfferRequest) -> OfferAnswer:
    """Answer a WebRTC offer: the session's video and its control channel."""
    living = found(session, services)
    if services.rtc is None:
        raise problem(
            409, "no_webrtc", "This server has no WebRTC.", "It has WebSocket.", "Use the session's stream."
        )
    return OfferAnswer(sdp=await services.rtc.answer(living, body.sdp))


def _tree(session: Session) -> dict[str, Any]:
    view = session.view().as_tree()
    tree = {name: view[name] for name in SessionBody.model_fields if name in view}
    return {**tree, "session": session.id}


async def _check_size(request: Request, body: SessionRequest | None, services: Services) -> None:
    """Refuse a body that only a control log might fill.

    Raises:
        ProblemError: Its prompt is too long, or it is too large for one without a log.
    """
    most = services.settings.limits.message_bytes
    check_words("The prompt", body and body.prompt, services)
    if (body is None or body.log is None) and len(await request.body()) > most:
        raise too_large(most)
