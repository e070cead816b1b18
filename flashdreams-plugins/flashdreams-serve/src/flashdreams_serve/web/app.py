"""The application: every endpoint of a server, behind its gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, WebSocket

from flashdreams_serve.settings import ServeSettings
from flashdreams_serve.web import answers
from flashdreams_serve.web.gate import Gate
from flashdreams_serve.web.openapi import describe
from flashdreams_serve.web.pages import pages
from flashdreams_serve.web.rates import Rates
from flashdreams_serve.web.rest import health, sessions
from flashdreams_serve.web.rest_files import files
from flashdreams_serve.web.services import Services
from flashdreams_serve.web.socket import serve_socket
from flashdreams_serve.web.warming import warm_encoders

if TYPE_CHECKING:
    from flashdreams_serve.host.host import Host
    from flashdreams_serve.media.shelf import Shelf
    from flashdreams_serve.web.metrics import Metrics


def make_app(host: Host, settings: ServeSettings, *, shelf: Shelf, metrics: Metrics) -> FastAPI:
    """The application that serves a host.

    Args:
        host: What dreams. It need not have been started.
        settings: Whom to answer, and how much to let them use.
        shelf: Where saved videos lie.
        metrics: What counts; it should observe the host, too.
    """
    services = Services(
        host=host,
        settings=settings,
        shelf=shelf,
        metrics=metrics,
        rates=Rates(settings.limits.requests_per_second),
    )
    if settings.webrtc:
        from flashdreams_serve.web.rtc import RtcDesk

        services.rtc = RtcDesk(services)
    app = FastAPI(
        title="FlashDreams", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_lifespan
    )
    app.state.services = services
    for router in (health, sessions, files, pages):
        app.include_router(router)
    app.add_api_websocket_route("/v1/sessions/{session}/stream", stream)
    answers.install(app)
    app.add_middleware(Gate, services=services)
    describe(app)
    return app


async def stream(websocket: WebSocket, session: str) -> None:
    """A session by WebSocket."""
    services: Services = websocket.app.state.services
    await serve_socket(websocket, session, services)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    await asyncio.to_thread(warm_encoders)
    yield
    if services.rtc is not None:
        await services.rtc.close_all()
