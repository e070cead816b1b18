"""WebRTC: a session's video and its control channel, straight from the server to the browser."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flashdreams_serve.web.problems import problem
from flashdreams_serve.web.rtc_offer import read_offer
from flashdreams_serve.web.rtc_peer import Peer
from flashdreams_serve.web.rtc_seams import addresses_of
from flashdreams_serve.web.services import Services

if TYPE_CHECKING:
    from flashdreams_serve.host.session import Session

SPARE = 4
"""Connections beside one for each session that may dream: those that are about to end, or for the queue."""


class RtcDesk:
    """Answers WebRTC offers, and keeps the connections that come of them: one for each session at most."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._addresses = addresses_of(services.settings.host)
        self._peers: dict[str, Peer] = {}
        self._is_open = True

    async def answer(self, session: Session, offer_sdp: str) -> str:
        """The answer to a browser's offer, as SDP; the session's earlier connection gives way.

        Raises:
            ProblemError: ``bad_sdp``, ``draining``, ``no_webrtc``, or ``too_many_connections``.
        """
        offer = read_offer(offer_sdp)
        await self._make_way(session.id)
        self._check_room()
        peer = self._peers[session.id] = Peer(session, self._services, self._addresses)
        try:
            answer = await peer.answer(offer)
        except BaseException:
            await peer.close()
            self._forget(peer)
            raise
        peer.start(self._forget)
        return answer

    async def close_all(self) -> None:
        """Close every connection, and begin no more."""
        self._is_open = False
        await asyncio.gather(*(peer.close() for peer in [*self._peers.values()]))

    async def _make_way(self, session_id: str) -> None:
        while (peer := self._peers.get(session_id)) is not None:
            peer.give_way()
            await peer.ended.wait()

    def _check_room(self) -> None:
        if not self._is_open:
            raise problem(
                503,
                "draining",
                "The server is about to end.",
                "It begins no more connections.",
                "Come back later.",
            )
        if len(self._peers) >= self._services.settings.limits.sessions + SPARE:
            raise problem(
                503,
                "too_many_connections",
                "The server has as many WebRTC connections as it may have.",
                "There is one for each session, and a few to spare.",
                "Use the session's stream, or try again in a moment.",
                retry_after="2",
            )

    def _forget(self, peer: Peer) -> None:
        if self._peers.get(peer.session.id) is peer:
            del self._peers[peer.session.id]
