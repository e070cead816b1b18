"""The requests of the protocol about files: images in, videos out."""

from __future__ import annotations

import asyncio
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import FileResponse, Response

from flashdreams.io.images import decode_image
from flashdreams.io.writer import Frames
from flashdreams_serve.web.answers import problems
from flashdreams_serve.web.bodies import VIDEO_PATTERN, ImageBody, VideoBody, VideosBody
from flashdreams_serve.web.gate import client_of
from flashdreams_serve.web.problems import problem
from flashdreams_serve.web.rest import SessionName, Shared, found
from flashdreams_serve.web.services import Services

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")

files = APIRouter(prefix="/v1", tags=["files"])

_IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES},
    }
}
_VIDEO_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "The video.", "content": {"video/mp4": {}}},
    206: {"description": "The part of it that was asked for.", "content": {"video/mp4": {}}},
    416: {"description": "It has no such part."},
}

VideoName = Annotated[str, Path(pattern=VIDEO_PATTERN, description="Name of a saved video.")]


@files.post(
    "/images",
    status_code=201,
    openapi_extra=_IMAGE_BODY,
    responses=problems(408, 409, 413, 415, 422),
)
async def send_image(request: Request, services: Shared) -> ImageBody:
    """Send an image that a session may begin with; it is brought to the model's size."""
    _check_type(request)
    data = await request.body()
    async with services.decoding:
        image = await asyncio.to_thread(_decoded, data, services)
    return ImageBody(image=services.images.keep(image, client_of(request)))


@files.get("/sessions/{session}/videos", responses=problems(404, 422))
async def list_videos(session: SessionName, services: Shared) -> VideosBody:
    """The saved videos of a session."""
    videos = await asyncio.to_thread(services.shelf.list, session)
    if not videos:
        found(session, services)
    return VideosBody(videos=[VideoBody(**video.as_tree()) for video in videos])


@files.get(
    "/sessions/{session}/videos/{name}",
    response_class=FileResponse,
    responses={**_VIDEO_ANSWER, **problems(404, 422)},
)
async def give_video(session: SessionName, name: VideoName, services: Shared) -> Response:
    """One saved video."""
    path: FilePath | None = await asyncio.to_thread(services.shelf.find, session, name)
    if path is None:
        raise problem(
            404,
            "no_such_video",
            "There is no video of this name.",
            "GET /v1/sessions/{session}/videos names those that there are.",
            "Choose one of them.",
        )
    return FileResponse(path, media_type="video/mp4", filename=name, content_disposition_type="inline")


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in IMAGE_TYPES:
        raise problem(
            415,
            "wrong_type",
            "The body is of a type that is not taken.",
            f"It is one of: {', '.join(IMAGE_TYPES)}.",
            "Send a PNG, a JPEG or a WebP.",
        )


def _decoded(data: bytes, services: Services) -> Frames:
    card, limits = services.host.card, services.settings.limits
    return decode_image(data, size=(card.height, card.width), most_pixels=limits.upload_pixels)
