"""What tests of security share: a host that dreams, and servers of it with and without a token."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flashdreams_serve.host.host import Host
from flashdreams_serve.settings import Limits, ServeSettings

sys.path.insert(0, str(Path(__file__).parent))

from security_clients import INVITED, TOKEN, app_of, client_of


@pytest.fixture(scope="module")
def host(racing_host: Callable[..., AbstractContextManager[Host]]) -> Iterator[Host]:
    limits = Limits(sessions=2, queue=50, sessions_per_client=1000)
    with racing_host(ServeSettings(webrtc=False, limits=limits)) as host:
        yield host


@pytest.fixture
def guarded(host: Host, tmp_path: Path) -> TestClient:
    """Reached from everywhere, with a token."""
    return client_of(app_of(host, tmp_path, host="0.0.0.0", token=TOKEN), "http://dreams.example")


@pytest.fixture
def local(host: Host, tmp_path: Path) -> TestClient:
    """On loopback, without a token, with one invited origin."""
    return client_of(app_of(host, tmp_path, origins=(INVITED,)))
