"""What a server is told when it starts. No torch here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What people may use of a server."""

    sessions: int = 4
    """Sessions that dream at once; fewer where the memory of the device holds fewer."""
    queue: int = 32
    """Sessions that wait for one of these to end."""
    sessions_per_client: int = 8
    """Sessions, waiting ones included, of one client address; all programs of one machine are one address."""
    message_bytes: int = 64 * 1024
    """Bytes of one message of the protocol, and of a body of JSON, but for one with a control log."""
    log_bytes: int = 4 * 1024 * 1024
    """Bytes of a control log that is to be replayed."""
    messages_per_second: float = 60.0
    """Messages of one connection, on average over two seconds."""
    requests_per_second: float = 20.0
    """Requests of one client address, on average over two seconds."""
    upload_bytes: int = 8 * 1024 * 1024
    """Bytes of an image that a session begins with."""
    upload_pixels: int = 40_000_000
    """Pixels of that image."""
    prompt_characters: int = 2000
    """Characters of a prompt; fewer where the model says so."""
    snapshots: int = 4
    """Snapshots that a session keeps."""
    snapshot_bytes: int | None = None
    """Bytes of host memory of all sessions' snapshots; None for a quarter of what is free once the model is
    loaded."""
    saved_bytes: int = 2 * 1024**3
    """Bytes of all saved videos; beyond them nothing more is saved."""
    idle_seconds: float = 300.0
    """Seconds without any message after which a session ends."""
    grace_seconds: float = 30.0
    """Seconds for which a session waits for a client whose connection was lost."""
    keep_seconds: float = 30.0
    """Seconds of video that a session keeps in memory, to be saved when somebody asks."""
    drain_seconds: float = 10.0
    """Seconds from SIGTERM to the end."""


@dataclass(frozen=True, kw_only=True)
class IceServer:
    """A STUN or TURN server, by which WebRTC finds a way through networks."""

    url: str
    username: str = ""
    credential: str = ""


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Where a server listens, whom it answers, and how much it lets them use."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one."""
    token: str | None = None
    """What clients must show; None asks for nothing, which only a loopback address may."""
    certificate: Path | None = None
    """File with the TLS certificate; None serves plain HTTP."""
    key: Path | None = None
    """File with its private key."""
    behind_proxy: bool = False
    """Whether a proxy on this machine names the client and the scheme (``X-Forwarded-For``, ``-Proto``)."""
    origins: tuple[str, ...] = ()
    """Origins beside the server's own whose pages may use it, such as ``https://example.org``."""
    ice_servers: tuple[IceServer, ...] = ()
    webrtc: bool = True
    """Whether WebRTC is offered; without it there is WebSocket."""
    batch: bool = False
    """Whether sessions at the same step are computed as one batch, where the model allows it."""
    save_dir: Path = Path("outputs/saved")
    """Folder of saved videos."""
    limits: Limits = field(default_factory=Limits)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
