import pytest

from flashdreams.client import Client
from flashdreams_serve.bench.server_process import ServerProcess, running_server

TOKEN = "a-token-of-the-tests-only"
SESSIONS = 2


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> ServerProcess:
    """A real server of pocket-racer with a token and room for two sessions."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text(TOKEN)
    words = ["pocket-racer", "--token-file", f"{folder}/token", "--save-dir", f"{folder}/saved"]
    with running_server([*words, "--sessions", str(SESSIONS), "--grace", "5"]) as server:
        server.wait_ready()
        yield server


@pytest.fixture
def token():
    return TOKEN


@pytest.fixture
def places():
    """Sessions that dream at once."""
    return SESSIONS


@pytest.fixture
def client(server):
    with Client(server.url, TOKEN) as client:
        yield client
