"""A browser's WebRTC offer, checked before anything is begun for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from aiortc.sdp import MediaDescription, SessionDescription

from flashdreams_serve.web.problems import ProblemError, problem
from flashdreams_serve.web.rtc_terms import CODECS

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024
MOST_CANDIDATES = 16
"""Addresses of a client that are tried; the server sends packets to each."""
_CANDIDATE = "a=candidate:"
_OF_CANDIDATES = (_CANDIDATE, "a=end-of-candidates")


@dataclass(frozen=True)
class Offer:
    """An offer of one video to receive and one data channel, fit to be answered."""

    sdp: str
    """Without candidates that cannot be tried, and open for those that show themselves by their packets."""


def read_offer(sdp: str) -> Offer:
    """Check an offer.

    Raises:
        ProblemError: ``bad_sdp``: it is none, or not of one video to receive and one data channel.
    """
    if len(sdp) > MOST_BYTES:
        raise bad_sdp(f"The offer has {len(sdp)} characters, more than {MOST_BYTES}.")
    tidied = _tidied(sdp, _whose_transport(_parsed(sdp)))
    _check(_parsed(tidied))
    return Offer(tidied)


def _check(described: SessionDescription) -> None:
    """Look at what the library is given, not at what came in."""
    by_kind = {media.kind: media for media in described.media}
    if len(described.media) != 2 or by_kind.keys() != {"video", "application"}:
        raise bad_sdp("The offer is not of one video and one data channel.")
    video = by_kind["video"]
    if video.direction not in ("recvonly", "sendrecv"):
        raise bad_sdp("The offer would receive no video.")
    if not any(codec.mimeType.lower() in CODECS for codec in video.rtp.codecs):
        raise bad_sdp("The offer names neither H.264 nor VP8.")
    if not all(_can_be_reached(media) for media in described.media):
        raise bad_sdp("The offer lacks what a connection needs.")


def bad_sdp(what: str) -> ProblemError:
    """The refusal of an offer."""
    return problem(
        409,
        "bad_sdp",
        what,
        "An offer is SDP as a browser makes it, of one video to receive and one data channel, bundled.",
        'Make it with addTransceiver("video", {direction: "recvonly"}) and createDataChannel("control").',
    )


def _parsed(sdp: str) -> SessionDescription:
    try:
        return SessionDescription.parse(sdp)
    except Exception as error:
        log.debug("An offer cannot be parsed", exc_info=error)  # the parser trusts what it reads
        raise bad_sdp("The offer cannot be read.") from None


def _can_be_reached(media: MediaDescription) -> bool:
    ice, dtls = media.ice, media.dtls
    return bool(
        ice and ice.usernameFragment and ice.password and dtls and dtls.fingerprints and media.rtp.muxId
    )


def _whose_transport(described: SessionDescription) -> int:
    """Number of the section whose transport carries all, the first of the bundle (RFC 8843, section 7)."""
    mids = [media.rtp.muxId for media in described.media]
    bundles = [[*map(str, group.items)] for group in described.group if group.semantic == "BUNDLE"]
    if not mids or len(bundles) != 1 or sorted(bundles[0]) != sorted(mids):
        raise bad_sdp("The offer is no bundle of all that it has.")
    return mids.index(bundles[0][0])


def _tidied(sdp: str, counted: int) -> str:
    """The offer with the candidates that are worth trying, those of one section in each of them.

    Only that section's candidates lead anywhere; the library takes those of whichever section comes last.
    Browsers hide their addresses behind names that only mDNS resolves (``*.local``). Nobody waits for that:
    their own packets show where they are, for which the connection stays open until its time is up.
    """
    parts: list[list[str]] = [[]]
    for line in sdp.splitlines():  # as the library cuts lines
        if line.startswith("m="):
            parts.append([])
        parts[-1].append(line.rstrip())
    tried = [line for line in parts[1 + counted] if _is_worth_trying(line)][:MOST_CANDIDATES]
    head, *sections = ([line for line in part if not line.startswith(_OF_CANDIDATES)] for part in parts)
    return "\r\n".join([*head, *(line for section in sections for line in (*section, *tried)), ""])


def _is_worth_trying(line: str) -> bool:
    """Whether it is a candidate of UDP with an address, for the first component."""
    match line.split():
        case [foundation, component, transport, _, address, _, "typ", _, *_]:
            is_candidate = foundation.startswith(_CANDIDATE) and not address.endswith(".local")
            return is_candidate and component == "1" and transport.lower() == "udp"
    return False
