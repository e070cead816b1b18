"""The OpenAPI is exact: whatever schemathesis makes of it, the server answers as it says."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis.generation import GenerationMode

from flashdreams_serve.host.host import Host
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web.app import make_app
from flashdreams_serve.web.metrics import Metrics

TOKEN = "correct-horse-battery"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "host": "localhost"}
EXAMPLES = 20


def _picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return file.getvalue()


for _kind in ("PNG", "JPEG", "WEBP"):  # bytes at random are no images
    schemathesis.openapi.media_type(f"image/{_kind.lower()}", st.just(_picture(_kind)))


@pytest.fixture(scope="module")
def app(
    racing_host: Callable[..., AbstractContextManager[Host]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FastAPI]:
    limits = Limits(sessions=2, queue=500, sessions_per_client=1000, requests_per_second=1e6)
    about = ServeSettings(webrtc=True, token=TOKEN, limits=limits)
    metrics = Metrics()
    shelf = Shelf(tmp_path_factory.mktemp("saved"), 10**8)
    with racing_host(about, observer=metrics) as host:
        yield make_app(host, about, shelf=shelf, metrics=metrics)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_server_answers_as_it_says(app: FastAPI, mode: GenerationMode) -> None:
    """All checks of schemathesis, with data that fits the description and with data that does not."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=HEADERS)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == sum(map(len, app.openapi()["paths"].values()))
    for operation in operations:
        _check(operation, mode)


def _check(operation: Any, mode: GenerationMode) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=HEADERS)

    with contextlib.suppress(Unsatisfiable):  # a request that takes nothing cannot be wrong
        check()


def test_every_request_says_what_it_answers_and_who_may_ask(app: FastAPI) -> None:
    described = app.openapi()
    assert described["components"]["securitySchemes"].keys() == {"bearer", "cookie"}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            is_open = path in ("/healthz", "/readyz")
            assert bool(operation["security"]) != is_open, path
            assert operation["description"], path
            assert {"401", "429", "500"} <= operation["responses"].keys() or is_open, (method, path)


def test_the_requests_are_those_of_the_protocol(app: FastAPI) -> None:
    protocol = (Path(__file__).parents[3] / "docs/serve/protocol.md").read_text()
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in protocol
