"""What the client says where there is no server, no right, or no websockets."""

import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from flashdreams.client import Client
from flashdreams.client.decoding import decoder_for
from flashdreams.client.endings import ended
from flashdreams.client.messages import frame_of, split_frame
from flashdreams.errors import (
    FlashDreamsError,
    ImageError,
    NoServerError,
    ServerError,
    ServerRefusedError,
    ServerTimeoutError,
)


@pytest.fixture
def stranger():
    """A server that is none of ours: it answers in HTML, sends to itself, and keeps the headers it got."""

    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            self.send_response(302 if self.path == "/v1/models" else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url, server.seen = f"http://127.0.0.1:{server.server_port}", seen
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host/", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(NoServerError) as caught:
        Client(url)
    assert caught.value.code == "no_address"


def test_nobody_answers():
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(NoServerError, match="127.0.0.1:9") as caught:
            client.models()
        with pytest.raises(ServerTimeoutError):
            client.wait_ready(timeout=0.2)
    assert caught.value.code == "no_answer"


def test_waiting_for_a_server_ends_at_once_where_it_is_not_to_be_trusted(tls_url, stranger):
    for url, code in ((tls_url, "not_trusted"), (stranger.url.replace("http:", "https:"), "no_tls")):
        with Client(url) as client, pytest.raises(NoServerError) as caught:
            client.wait_ready(timeout=600)
        assert caught.value.code == code


def test_a_foreign_server_is_known_as_one_and_its_redirects_are_not_followed(stranger):
    with Client(stranger.url, "a-secret") as client, pytest.raises(NoServerError) as caught:
        client.models()
    assert caught.value.code == "foreign_answer"
    assert stranger.seen == [("/v1/models", "Bearer a-secret")]


def test_without_the_token_nothing_is_told(server):
    for shown in (None, "another-token-than-the-right-one"):
        with Client(server.url, shown) as client, pytest.raises(ServerRefusedError) as caught:
            client.models()
        assert caught.value.code == "no_token"
        assert "token=" in caught.value.next
        assert "FLASHDREAMS_TOKEN" in caught.value.next


def test_the_token_is_taken_from_the_environment(server, token, monkeypatch):
    monkeypatch.setenv("FLASHDREAMS_TOKEN", token)
    with Client(server.url) as client:
        assert client.models()


def test_a_token_is_in_no_text_of_the_client():
    from flashdreams.client.http import Address

    assert "a-secret" not in repr(Address("http://127.0.0.1:1", "a-secret"))


def test_there_is_no_such_session(client):
    with pytest.raises(ServerRefusedError):
        client.attach("AAAAAAAAAAAAAAAAAAAAAA")


def test_what_a_session_may_not_begin_with_is_refused(client):
    with pytest.raises(ServerRefusedError, match=r"(?i)start") as caught:
        client.open(start="the moon")
    assert caught.value.code


def test_an_image_that_is_none_is_refused_before_it_is_sent(client):
    with pytest.raises(ImageError):
        client.upload(b"GIF89a...")


@pytest.mark.parametrize("image", ["nope", "\0", 7, b"", Path(__file__)])
def test_what_is_no_image_is_a_typed_error(client, image):
    with pytest.raises(ImageError):
        client.open(image=image)


def test_an_image_is_taken_from_its_file(client, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "start.png")
    named = [client.upload(tmp_path / "start.png"), client.upload(str(tmp_path / "start.png"))]
    assert len(set(named)) == 2


def test_a_server_that_shuts_down_says_so():
    error = ended("drained")
    assert error.code == "drained"
    assert "shutting down" in error.what


@pytest.mark.parametrize("message", [b"", b"\0\0", b"\xff\xff\xff\xff{}", b"\0\0\0\2[]", b"\0\0\0\4null"])
def test_frames_that_are_none_are_typed_errors(message):
    with pytest.raises(NoServerError):
        frame_of(split_frame(message)[0], None, 0.0)


@pytest.mark.parametrize("codec", ["jpeg", "png", "rgb", "gif"])
def test_pixels_that_are_none_are_typed_errors(codec):
    with pytest.raises(NoServerError):
        decoder_for(codec).decode(b"nonsense", {"height": 8, "width": 8})


def test_errors_of_the_client_are_a_branch_of_their_own():
    assert issubclass(ServerError, FlashDreamsError)
    assert str(ServerRefusedError("a", "b", "c", code="d")) == "a\nb\nc"


def in_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_importing_the_client_imports_neither_torch_nor_numpy_nor_websockets():
    code = "import sys, flashdreams.client; print({'torch', 'numpy', 'websockets'} & sys.modules.keys())"
    assert in_python(code).stdout == "set()\n"


def test_without_websockets_it_says_how_to_install_it(server, token):
    done = in_python(
        "import sys; sys.modules['websockets'] = None\n"
        "from flashdreams.client import Client\n"
        "from flashdreams.errors import MissingExtraError\n"
        f"with Client({server.url!r}, {token!r}) as client:\n"
        "    try:\n        client.open()\n"
        "    except MissingExtraError as error:\n        print(error.next)\n"
        "    print(len(client.sessions()['sessions']))\n"
    )
    assert done.stdout.splitlines() == ["Install it with: pip install 'flashdreams-core[client]'", "0"]
