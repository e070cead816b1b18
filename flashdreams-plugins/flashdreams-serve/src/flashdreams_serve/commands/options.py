"""The options of ``flashdreams serve``, and the settings that they make. No torch here."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flashdreams import environment
from flashdreams.cli.options import Option, whole_number
from flashdreams.errors import UsageError
from flashdreams_serve.settings import IceServer, Limits, ServeSettings

HOST = Option("--host", "Address to listen at; any but a loopback one needs a token.", "ADDRESS")
PORT = Option("--port", "Port to listen at, 8000 where it is not said; 0 takes a free one.", "N")
TOKEN_FILE = Option("--token-file", "File with the token that clients must show.", "FILE")
NEW_TOKEN = Option("--new-token", "Draw a token, and print a link that holds it.")
CERTIFICATE = Option("--tls-certificate", "File with a TLS certificate, for HTTPS without a proxy.", "FILE")
KEY = Option("--tls-key", "File with the private key of the certificate.", "FILE")
BEHIND_PROXY = Option("--behind-proxy", "Believe a proxy on this machine in who a client is.")
ORIGIN = Option("--origin", "Another origin whose pages may use the server; may be repeated.", "ORIGIN")
ICE_SERVER = Option(
    "--ice-server",
    "STUN or TURN server: stun:HOST:PORT, turn:USER:PASSWORD@HOST:PORT, or @FILE with one a line.",
    "SERVER",
)
NO_WEBRTC = Option("--no-webrtc", "Offer WebSocket alone.")
BATCH = Option("--batch", "Compute sessions at the same step as one batch, where the model allows it.")
SESSIONS = Option("--sessions", "Sessions that dream at once, 4 where it is not said.", "N")
QUEUE = Option("--queue", "Sessions that wait for one of these to end, 32 where it is not said.", "N")
IDLE = Option("--idle", "Seconds without any message after which a session ends, 300.", "SECONDS")
GRACE = Option("--grace", "Seconds for which a session waits for a lost client, 30.", "SECONDS")
KEEP = Option("--keep", "Seconds of video that a session keeps, to be saved, 30.", "SECONDS")
SNAPSHOTS = Option(
    "--snapshot-memory",
    "GiB of memory for the snapshots of all sessions; 0 keeps none. A quarter of what is free where unsaid.",
    "GIB",
)
DRAIN = Option("--drain", "Seconds from SIGTERM or Ctrl-C to the end, 10.", "SECONDS")
SAVE_DIR = Option("--save-dir", "Folder of saved videos, outputs/saved.", "FOLDER")
NO_BROWSER = Option("--no-browser", "Open no browser.")

SERVER_OPTIONS = (
    *(HOST, PORT, TOKEN_FILE, NEW_TOKEN, CERTIFICATE, KEY, BEHIND_PROXY, ORIGIN, ICE_SERVER, NO_WEBRTC),
    *(SESSIONS, QUEUE, IDLE, GRACE, KEEP, SNAPSHOTS, DRAIN, SAVE_DIR, BATCH, NO_BROWSER),
)

_SHORTEST_TOKEN = 16
_SECONDS = {IDLE: "idle_seconds", GRACE: "grace_seconds", KEEP: "keep_seconds", DRAIN: "drain_seconds"}


def read_settings(options: Mapping[str, list[str]]) -> ServeSettings:
    """The settings that the options of a line make.

    Raises:
        UsageError: A value that makes no sense, or an open address without a token.
    """
    given = {name: values[-1] for name, values in options.items()}
    settings = ServeSettings(
        host=given.get(HOST.name, ServeSettings.host),
        port=_count(given, PORT, ServeSettings.port, least=0),
        token=_token(given),
        certificate=_file(given, CERTIFICATE),
        key=_file(given, KEY),
        behind_proxy=BEHIND_PROXY.name in given,
        origins=tuple(map(_origin, options.get(ORIGIN.name, ()))),
        ice_servers=_ice_servers(options.get(ICE_SERVER.name, ())),
        webrtc=NO_WEBRTC.name not in given and not _is_hidden(given),
        batch=BATCH.name in given,
        save_dir=_save_dir(given),
        limits=_limits(given),
    )
    _check_open_address(settings)
    return settings


def _is_hidden(given: Mapping[str, str]) -> bool:
    """Whether people reach the server through a proxy alone, which passes no WebRTC on."""
    host = given.get(HOST.name, ServeSettings.host)
    return BEHIND_PROXY.name in given and ServeSettings(host=host).is_loopback


def _limits(given: Mapping[str, str]) -> Limits:
    changes: dict[str, Any] = {
        "sessions": _count(given, SESSIONS, Limits.sessions),
        "queue": _count(given, QUEUE, Limits.queue, least=0),
    }
    for option, field in _SECONDS.items():
        if option.name in given:
            changes[field] = _seconds(option, given[option.name])
    if SNAPSHOTS.name in given:
        changes["snapshot_bytes"] = _gib(SNAPSHOTS, given[SNAPSHOTS.name])
    # Whoever asks for more sessions than one client may have is likely to be that client.
    most = max(Limits.sessions_per_client, changes["sessions"] * 2)
    return dataclasses.replace(Limits(), sessions_per_client=most, **changes)


def _check_open_address(settings: ServeSettings) -> None:
    if (settings.certificate is None) != (settings.key is None):
        raise UsageError(
            "Only one of certificate and key is given.",
            "TLS needs both.",
            f"Give {CERTIFICATE.name} FILE and {KEY.name} FILE.",
        )
    if settings.token is None and (settings.behind_proxy or not settings.is_loopback):
        where = "behind a proxy" if settings.behind_proxy else f"at {settings.host}"
        raise UsageError(
            f"The server would listen {where}, without a token.",
            "Whoever reaches more than a loopback address could use this machine.",
            f"Add {NEW_TOKEN.name}, or {TOKEN_FILE.name} FILE, or set FLASHDREAMS_TOKEN. Put TLS in front: "
            f"{CERTIFICATE.name} and {KEY.name}, or a proxy (see docs/serve.md).",
        )


def _origin(text: str) -> str:
    origin = text.lower().rstrip("/")
    if re.fullmatch(r"https?://[^/?#@\s]+", origin):
        return origin
    raise UsageError(
        f"{ORIGIN.name} is {text!r}.",
        "An origin is a scheme and a host, and a port where it is not the usual one.",
        f"Write it as browsers do: {ORIGIN.name} https://dream.example.org",
    )


def _token(given: Mapping[str, str]) -> str | None:
    if NEW_TOKEN.name in given:
        return secrets.token_urlsafe(24)
    path = _file(given, TOKEN_FILE)
    token = path.read_text(encoding="utf-8", errors="replace").strip() if path else environment.token()
    if token and (len(token) < _SHORTEST_TOKEN or not token.isascii() or any(map(str.isspace, token))):
        raise UsageError(
            f"The token has {len(token)} characters, or others than a header can carry.",
            f"It has at least {_SHORTEST_TOKEN}, ASCII and without spaces, so that nobody guesses it.",
            f"Draw one: {NEW_TOKEN.name}.",
        )
    if path and not token:
        raise UsageError(f"{path} is empty.", "It holds the token.", f"Draw one: {NEW_TOKEN.name}.")
    return token or None


def _file(given: Mapping[str, str], option: Option) -> Path | None:
    if option.name not in given:
        return None
    path = Path(given[option.name]).expanduser()
    if not path.is_file():
        raise UsageError(f"{option.name} names {path}.", "There is no such file.", "Check the path.")
    return path


def _save_dir(given: Mapping[str, str]) -> Path:
    """The folder of saved videos, which is made when the first is saved: refused where it could not be."""
    folder = Path(given.get(SAVE_DIR.name, ServeSettings.save_dir)).expanduser()
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "may not be written" if there.is_dir() else "is no folder"
        raise UsageError(
            f"Nothing can be saved in {folder}: {there} {reason}.",
            "Videos are saved in a folder that is there, or can be made, and may be written.",
            f"Name another: {SAVE_DIR.name} FOLDER",
        )
    return folder


def _ice_servers(texts: Sequence[str]) -> tuple[IceServer, ...]:
    lines = [line for text in texts for line in (_lines(text) if text.startswith("@") else [text])]
    return tuple(_ice_server(line) for line in lines)


def _lines(text: str) -> list[str]:
    path = _file({ICE_SERVER.name: text[1:]}, ICE_SERVER)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path else []
    return [line.strip() for line in lines if line.strip()]


def _ice_server(text: str) -> IceServer:
    scheme, _, rest = text.partition(":")
    user, at, host = rest.rpartition("@")
    name, colon, password = user.partition(":")
    is_turn = scheme in ("turn", "turns")
    if scheme not in ("stun", "stuns", "turn", "turns") or not host or is_turn != bool(at and colon):
        raise UsageError(
            f"An ICE server is {scheme}:{host or '...'}.",
            "It reads stun:HOST:PORT, or turn:USER:PASSWORD@HOST:PORT.",
            "Correct it, or leave it out: on one network no such server is needed.",
        )
    return IceServer(url=f"{scheme}:{host}", username=name, credential=password)


def _count(given: Mapping[str, str], option: Option, usual: int, *, least: int = 1) -> int:
    return whole_number(
        option,
        given.get(option.name, str(usual)),
        least=least,
        right=f"It is a whole number, {least} or more.",
        next=f"Write {option.name} {usual}, or leave it out.",
    )


def _gib(option: Option, text: str) -> int:
    gib = _number(text)
    if 0 <= gib < float("inf"):
        return int(gib * 1024**3)
    raise UsageError(f"{option.name} is {text!r}.", "It counts GiB, 0 or more; 0 keeps none.", "Correct it.")


def _seconds(option: Option, text: str) -> float:
    seconds = _number(text)
    if 0 < seconds < float("inf"):
        return seconds
    raise UsageError(f"{option.name} is {text!r}.", "It counts seconds, more than 0.", "Correct it.")


def _number(text: str) -> float:
    """What a text counts; what is no number counts less than nothing."""
    try:
        return float(text)
    except ValueError:
        return -1.0
