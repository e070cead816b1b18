"""The options of the command, as people get them wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashdreams.errors import UsageError
from flashdreams_serve.commands.options import read_settings
from flashdreams_serve.settings import ServeSettings
from flashdreams_serve.web.server import check_certificate, listen, url_elsewhere, url_of


@pytest.mark.parametrize(
    "origin", ["https://dream.example.org", "http://10.0.0.1:8080/", "HTTPS://Dream.Org"]
)
def test_origins_are_kept_as_browsers_send_them(origin: str) -> None:
    assert read_settings({"--origin": [origin]}).origins == (origin.rstrip("/").lower(),)


@pytest.mark.parametrize(
    "origin", ["dream.example.org", "https://", "https://a.example/page", "*", "null", ""]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="An origin is a scheme and a host"):
        read_settings({"--origin": [origin]})


def test_a_certificate_that_is_none_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    bad = [str(tmp_path / "bad.pem")]
    with pytest.raises(UsageError, match="are no certificate and its key"):
        check_certificate(read_settings({"--tls-certificate": bad, "--tls-key": bad}))
    with pytest.raises(UsageError, match="TLS needs both"):
        read_settings({"--tls-certificate": bad})


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"--host": ["0.0.0.0"]}, "without a token"),
        ({"--behind-proxy": [""]}, "without a token"),
        ({"--idle": ["0"]}, "counts seconds"),
        ({"--idle": ["nan"]}, "counts seconds"),
        ({"--sessions": ["0"]}, "whole number, 1 or more"),
        ({"--snapshot-memory": ["-1"]}, "counts GiB, 0 or more"),
        ({"--snapshot-memory": ["nan"]}, "counts GiB, 0 or more"),
        ({"--snapshot-memory": ["4 GiB"]}, "counts GiB, 0 or more"),
        ({"--ice-server": ["turn:host:3478"]}, "turn:USER:PASSWORD@HOST:PORT"),
        ({"--token-file": ["/nowhere/at/all"]}, "no such file"),
        ({"--save-dir": [f"{__file__}/saved"]}, "is no folder"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: dict[str, list[str]], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLASHDREAMS_TOKEN", raising=False)
    with pytest.raises(UsageError, match=code):
        read_settings(options)


def test_memory_for_snapshots_is_said_in_gib_or_left_to_the_machine() -> None:
    said = [read_settings({"--snapshot-memory": [text]}).limits.snapshot_bytes for text in ("0", "0.5", "64")]
    assert said == [0, 2**29, 2**36]
    assert read_settings({}).limits.snapshot_bytes is None


def test_other_machines_are_given_an_address_that_is_not_the_loopback_one() -> None:
    settings = ServeSettings(host="0.0.0.0", port=0, token="a-token-of-the-tests")
    with listen(settings) as listening:
        here, elsewhere = url_of(settings, listening), url_elsewhere(settings, listening)
    port = here.rpartition(":")[2]
    assert here == f"http://127.0.0.1:{port}"
    assert elsewhere is not None
    assert elsewhere.endswith(f":{port}")
    assert "//127." not in elsewhere
    assert "//0.0.0.0" not in elsewhere


def test_a_server_of_this_machine_alone_has_no_address_for_others() -> None:
    settings = ServeSettings(port=0)
    with listen(settings) as listening:
        assert url_elsewhere(settings, listening) is None
