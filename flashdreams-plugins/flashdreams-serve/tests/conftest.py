"""What tests of the server share: hosts of pocket-racer that dream."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flashdreams.plugins.registry import installed_registry
from flashdreams_serve.host.host import Host
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.settings import ServeSettings
from flashdreams_serve.web.metrics import Metrics
from flashdreams_serve.web.rates import Rates
from flashdreams_serve.web.services import Services

Hosting = Callable[..., AbstractContextManager[Host]]
Serving = Callable[..., AbstractContextManager[Services]]


@pytest.fixture(scope="session")
def racing_host() -> Hosting:
    """A host in a ``with`` block, ready to open sessions."""

    @contextmanager
    def ready(settings: ServeSettings, **more: Any) -> Iterator[Host]:
        host = Host(installed_registry().runner_config("pocket-racer"), settings, **more)
        host.start()
        try:
            assert host.wait_ready(60)
            yield host
        finally:
            host.stop()

    return ready


@pytest.fixture(scope="session")
def racing_services(racing_host: Hosting, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """What endpoints share, of such a host, in a ``with`` block."""

    @contextmanager
    def ready(settings: ServeSettings) -> Iterator[Services]:
        shelf = Shelf(tmp_path_factory.mktemp("saved"), 10**8)
        with racing_host(settings) as host:
            yield Services(host=host, settings=settings, shelf=shelf, metrics=Metrics(), rates=Rates(1e6))

    return ready
