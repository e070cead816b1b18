"""What aiortc offers no way to set, set on single objects of one connection. Nothing shared is changed.

aiortc and aioice choose by themselves where they listen: at every address of this machine but loopback. A
server that only this machine may reach must listen at loopback, and nowhere else. The least that does this
is to hand other addresses to the method of the ICE connection that takes them as an argument; where it
listens then is checked. aiortc also keeps to itself what a browser reports: that it has lost a picture and
asks for a whole one, and how much arrives. The sender's methods for these get a listener; where there are no
such methods browsers wait for the next key frame, and the video is as large as it is.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from aiortc import RTCRtpSender
from aiortc.rtcicetransport import RTCIceGatherer
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, RtcpRrPacket, RtcpSrPacket, unpack_remb_fci

from flashdreams_serve.web.problems import ProblemError, problem
from flashdreams_serve.web.rtc_rate import LineRate

log = logging.getLogger(__name__)

_GATHER = "get_component_candidates"
_KEY_WANTED = "_send_keyframe"
_REPORTED = "_handle_rtcp_packet"
_SOURCE = "_ssrc"


def addresses_of(host: str) -> tuple[str, ...] | None:
    """Where a server at ``host`` takes WebRTC: the addresses of that name; None for all of this machine."""
    if host in ("0.0.0.0", "::", ""):
        return None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.getaddrinfo(host, None, family, socket.SOCK_DGRAM)
    return tuple(dict.fromkeys(str(address[4][0]) for address in found))


def listen_only_at(gatherer: RTCIceGatherer, addresses: Sequence[str]) -> None:
    """Let a connection that has not begun to gather candidates listen at these addresses only.

    Raises:
        ProblemError: ``no_webrtc``: the library is another than the one that this was written for.
    """
    connection: Any = getattr(gatherer, "_connection", None)
    gather = getattr(connection, _GATHER, None)
    if gather is None:
        raise unfit_library(f"aioice has no Connection.{_GATHER}")

    async def gather_here(component: int, addresses: list[str], timeout: int = 5) -> Any:
        return await gather(component=component, addresses=ours, timeout=timeout)

    ours = list(addresses)
    setattr(connection, _GATHER, gather_here)


def check_listens_only_at(gatherer: RTCIceGatherer, addresses: Sequence[str]) -> None:
    """Make sure that it does, once candidates are gathered.

    Raises:
        ProblemError: ``no_webrtc``: it listens elsewhere, or nowhere.
    """
    hosts = {candidate.ip for candidate in gatherer.getLocalCandidates() if candidate.type == "host"}
    if not hosts or not hosts <= {*addresses}:
        raise unfit_library(f"aioice listens at {sorted(hosts)}, not at {list(addresses)}")


def tell_when_key_is_wanted(sender: RTCRtpSender, tell: Callable[[], None]) -> None:
    """Call ``tell`` whenever the browser asks for a picture that can be decoded alone."""
    if hasattr(sender, _KEY_WANTED):
        setattr(sender, _KEY_WANTED, tell)


def tell_what_arrives(sender: RTCRtpSender, rate: LineRate) -> None:
    """Tell ``rate`` whatever the browser reports of the video that it gets."""
    handle = getattr(sender, _REPORTED, None)
    if handle is None:
        return

    async def tell_and_handle(packet: Any) -> None:
        _tell(packet, getattr(sender, _SOURCE, None), rate)
        await handle(packet)

    setattr(sender, _REPORTED, tell_and_handle)


def _tell(packet: Any, source: int | None, rate: LineRate) -> None:
    if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
        for report in packet.reports:
            if report.ssrc == source:  # not the stream of what is sent again
                rate.counted(report.highest_sequence, report.packets_lost)
    elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
        with suppress(ValueError):  # another message of applications
            bits, _ = unpack_remb_fci(packet.fci)
            rate.estimated(bits)


def unfit_library(why: str) -> ProblemError:
    """The refusal of WebRTC because its library does not do what is needed."""
    log.error("WebRTC is refused, since the installed aiortc does not fit: %s", why)
    return problem(
        409,
        "no_webrtc",
        "This server's WebRTC library is not one that it was made for.",
        "WebRTC needs the versions of aiortc and aioice in its list of tested versions.",
        "Use the session's stream; whoever runs the server can install those versions.",
    )
