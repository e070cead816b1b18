"""A browser's WebRTC offer, checked before anything is begun for it."""

from __future__ import annotations

import itertools
import logging
import re
from dataclasses import dataclass

from aiortc.sdp import MediaDescription, SessionDescription

from flashdreams_serve.web.problems import ProblemError, problem
from flashdreams_serve.web.rtc_terms import CODECS

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024
MOST_CANDIDATES = 16
"""Addresses of a client that are tried; the server sends packets to each."""
_CANDIDATE, _NO_MORE = "a=candidate:", "a=end-of-candidates"


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
    described = _parsed(sdp)
    by_kind = {media.kind: media for media in described.media}
    if len(described.media) != 2 or by_kind.keys() != {"video", "application"}:
        raise bad_sdp("The offer is not of one video and one data channel.")
    video = by_kind["video"]
    if video.direction not in ("recvonly", "sendrecv"):
        raise bad_sdp("The offer would receive no video.")
    if not any(codec.mimeType.lower() in CODECS for codec in video.rtp.codecs):
        raise bad_sdp("The offer names neither H.264 nor VP8.")
    if not all(_can_be_reached(media) for media in described.media) or not _is_bundled(described):
        raise bad_sdp("The offer lacks what a connection needs.")
    return Offer(_tidied(sdp, described))


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


def _is_bundled(described: SessionDescription) -> bool:
    mids = {media.rtp.muxId for media in described.media}
    return any(group.semantic == "BUNDLE" and {*group.items} == mids for group in described.group)


def _tidied(sdp: str, described: SessionDescription) -> str:
    """The offer with the candidates that are worth trying, in each of its sections.

    All travels on the transport of the section that the bundle names first (RFC 8843, section 7), and only
    candidates of that one count; the library takes those of whichever section comes last. Browsers hide
    their addresses behind names that only mDNS resolves (``*.local``). Nobody waits for that: their own
    packets show where they are, for which the connection stays open until its time is up.
    """
    head, *sections = re.split(r"(?m)^(?=m=)", sdp)
    first = next(str(group.items[0]) for group in described.group if group.semantic == "BUNDLE")
    counted = [media.rtp.muxId for media in described.media].index(first)
    tried = [line for line in sections[counted].splitlines() if _is_worth_trying(line)][:MOST_CANDIDATES]
    kept = [[*_without_candidates(section), *tried] for section in sections]
    return "\r\n".join([*_without_candidates(head), *itertools.chain(*kept), ""])


def _without_candidates(part: str) -> list[str]:
    lines = [line.rstrip() for line in part.splitlines()]
    return [line for line in lines if line != _NO_MORE and not line.startswith(_CANDIDATE)]


def _is_worth_trying(line: str) -> bool:
    """Whether it is a candidate of UDP with an address, for the first component."""
    match line.split():
        case [foundation, component, transport, _, address, _, "typ", _, *_]:
            is_candidate = foundation.startswith(_CANDIDATE) and not address.endswith(".local")
            return is_candidate and component == "1" and transport.lower() == "udp"
    return False
