"""The OpenAPI of the server: what FastAPI makes of the endpoints, and who may use them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from flashdreams_serve.web.access import COOKIE, OPEN_PATHS
from flashdreams_serve.web.messages import VERSION

_DESCRIPTION = (
    "Dream live: sessions of one model, steered while they stream. A session is streamed by WebSocket at "
    "/v1/sessions/{session}/stream, or by WebRTC after an offer; /docs has the messages."
)
_UNSAID = "Successful Response"
"""What FastAPI says of an answer of which nothing was said."""
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def describe(app: FastAPI) -> None:
    """Let the application tell of itself, once, when first asked."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_access(_made(app))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _made(app: FastAPI) -> dict[str, Any]:
    return get_openapi(
        title=app.title, version=f"{VERSION}", description=_DESCRIPTION, routes=app.routes, tags=None
    )


def _with_access(schema: dict[str, Any]) -> dict[str, Any]:
    schema["components"]["securitySchemes"] = _SCHEMES
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            operation["security"] = [] if path in OPEN_PATHS else [{name: []} for name in _SCHEMES]
            for answer in operation["responses"].values():
                if answer["description"] == _UNSAID:
                    answer["description"] = "Done, and this is the answer."
    return schema
