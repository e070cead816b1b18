"""One WebRTC connection and its session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from flashdreams_serve.web.conversation import NO_MESSAGE, TOO_LARGE, TOO_MANY, Conversation, Goodbye
from flashdreams_serve.web.first_end import first_end, raising
from flashdreams_serve.web.mailbox import Mailbox, MailboxClosedError, TimedFrame
from flashdreams_serve.web.rtc_channel import LABEL, ChannelGoneError, ControlChannel
from flashdreams_serve.web.rtc_offer import Offer, bad_sdp
from flashdreams_serve.web.rtc_seams import (
    check_listens_only_at,
    listen_only_at,
    tell_what_arrives,
    tell_when_key_is_wanted,
)
from flashdreams_serve.web.rtc_terms import codec_in, configuration, preferences
from flashdreams_serve.web.rtc_video import DreamTrack, SentPicture
from flashdreams_serve.web.services import Services

if TYPE_CHECKING:
    from flashdreams_serve.host.session import Session

log = logging.getLogger(__name__)

CONNECTING_SECONDS = 15.0
"""From the answer until the control channel is open; then the connection is given up."""
HELLO_SECONDS = 10.0
UNTAKEN_SECONDS = 2.0
"""How often it is looked whether frames are still taken to be sent."""
_UNTAKEN = 2
"""Looks at which new chunks lay there and nothing had been taken, after which the video has broken off."""
_CLOSING_SECONDS = 5.0
_NO_HELLO, _REPLACED, _INTERNAL = 4408, 1012, 1011
_WORDS = {
    NO_MESSAGE: "bad_message",
    TOO_LARGE: "too_large",
    TOO_MANY: "too_many_messages",
    _NO_HELLO: "no_hello",
    _REPLACED: "replaced",
    _INTERNAL: "internal",
}
"""What a client is told before the connection is closed; where a session has ended it knows that already."""


class Peer:
    """A connection that carries one session: video out, messages both ways.

    Args:
        session: What it carries.
        services: What the endpoints share.
        addresses: Where it listens; None for every address of this machine.
    """

    def __init__(self, session: Session, services: Services, addresses: Sequence[str] | None) -> None:
        self.session = session
        self.ended = asyncio.Event()
        """Set once nothing is left of it."""
        self._services = services
        self._addresses = addresses
        self._mailbox = Mailbox(asyncio.get_running_loop())
        self._track = DreamTrack(self._mailbox, scale=services.host.card.scale, announce=self._announce)
        self._connection = RTCPeerConnection(configuration(services.settings))
        self._channel: ControlChannel | None = None
        self._opened, self._gone, self._replaced = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection.on("datachannel", self._take_channel)
        self._connection.on("connectionstatechange", self._notice_state)

    async def answer(self, offer: Offer) -> str:
        """The answer to an offer, as SDP.

        Raises:
            ProblemError: ``bad_sdp``, or ``no_webrtc`` where the library does not fit.
        """
        transceiver = self._connection.addTransceiver(self._track, direction="sendonly")
        transceiver.setCodecPreferences(preferences())
        gatherer = transceiver.receiver.transport.transport.iceGatherer
        if self._addresses is not None:
            listen_only_at(gatherer, self._addresses)
        tell_when_key_is_wanted(transceiver.sender, self._track.want_key)
        tell_what_arrives(transceiver.sender, self._track.rate)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
            answer = await self._connection.createAnswer()
            self._track.codec = codec_in(answer.sdp)
        except Exception as error:
            log.debug("An offer cannot be answered", exc_info=error)  # the library trusts what it reads
            raise bad_sdp("The offer cannot be answered.") from None
        await self._connection.setLocalDescription(answer)
        if self._addresses is not None:
            check_listens_only_at(gatherer, self._addresses)
        return str(self._connection.localDescription.sdp)

    def start(self, on_end: Callable[[Peer], None]) -> None:
        """Carry the session, until it or the connection ends; then ``on_end`` is told."""
        self._task = asyncio.create_task(self._run(on_end))

    def give_way(self) -> None:
        """Close, since another connection takes its place."""
        self._replaced.set()

    async def close(self) -> None:
        """Close; returns once nothing is left. Closing twice is harmless."""
        self._gone.set()
        if self._task is None:
            await self._close(lambda _: None)
        else:
            await asyncio.wait([self._task])

    async def _run(self, on_end: Callable[[Peer], None]) -> None:
        try:
            channel = await self._channel_opened()
            if channel is not None:
                await self._talk(channel)
        except Exception:
            log.exception("A WebRTC connection failed")
        finally:
            await self._close(on_end)

    async def _channel_opened(self) -> ControlChannel | None:
        """The control channel, once it is open; None where the connection does not come about."""
        try:
            async with asyncio.timeout(CONNECTING_SECONDS):
                await first_end(self._opened.wait(), self._gone.wait(), self._replaced.wait())
        except TimeoutError:
            log.info("A WebRTC connection did not come about within %g s", CONNECTING_SECONDS)
        return self._channel

    async def _talk(self, channel: ControlChannel) -> None:
        """Carry the session over the open channel, and say why when it is closed from here."""
        talk = Conversation(self.session, self._services, channel.send, video=self._track.codec)
        seat = self._services.seats.take(self.session.id)
        goodbye: Goodbye | None = None
        try:
            await first_end(
                self._listen(talk, channel),
                self._watch(talk),
                channel.check_alive(),
                self._gone.wait(),
                raising(seat, Goodbye(_REPLACED, "Another connection has taken the session.")),
                raising(self._replaced, Goodbye(_REPLACED, "Another connection has taken the session.")),
                raising(self._track.broken, Goodbye(_INTERNAL, "The video could not be encoded.")),
            )
        except Goodbye as word:
            goodbye = word
        except (ChannelGoneError, MailboxClosedError):
            log.debug("A WebRTC client left")
        finally:
            self._services.seats.leave(self.session.id, seat)
            talk.close()
            self._leave()
        if goodbye is not None:
            await _part(channel, goodbye)

    async def _listen(self, talk: Conversation, channel: ControlChannel) -> None:
        while True:
            await talk.receive(await channel.receive())

    async def _watch(self, talk: Conversation) -> None:
        """Show and tell, once the client has said hello."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                await talk.greeted.wait()
        except TimeoutError:
            raise Goodbye(_NO_HELLO, "No hello came.") from None
        self._track.tag = talk.tag
        self.session.attach(self._mailbox)
        await first_end(talk.relay(self._mailbox), talk.report(self._mailbox), self._check_taken())

    async def _check_taken(self) -> None:
        """Watch that frames are taken to be sent: the library stops to do so without a word when it fails.

        Raises:
            Goodbye: Nothing takes them any more.
        """
        mailbox, untaken = self._mailbox, 0
        while untaken < _UNTAKEN:
            taken, last = mailbox.taken, mailbox.last
            await asyncio.sleep(UNTAKEN_SECONDS)
            if mailbox.taken != taken:
                untaken = 0
            elif mailbox.last is not last:
                untaken += 1
        raise Goodbye(_INTERNAL, "The video is not sent any more.")

    def _announce(self, frame: TimedFrame, picture: SentPicture) -> None:
        """Send the header of a frame ahead of it."""
        header = frame.header(key=picture.key, height=picture.height, width=picture.width)
        if self._channel is not None:
            self._channel.send_if_free({"type": "frame", **header})
        self._services.metrics.frame_sent("webrtc", picture.bytes, picture.seconds)

    def _take_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == LABEL and self._channel is None:
            self._channel = ControlChannel(channel)
            self._opened.set()

    def _notice_state(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._gone.set()

    def _leave(self) -> None:
        self.session.detach(self._mailbox)
        self._mailbox.close()
        self._services.metrics.frames_left_out("webrtc", self._mailbox.dropped, self._mailbox.stale)

    async def _close(self, on_end: Callable[[Peer], None]) -> None:
        self._mailbox.close()
        self._track.stop()
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._connection.close()
        except TimeoutError:
            log.warning("A WebRTC connection did not close within %g s", _CLOSING_SECONDS)
        finally:
            on_end(self)
            self.ended.set()


async def _part(channel: ControlChannel, goodbye: Goodbye) -> None:
    """Say why the connection is closed, and give that a moment to arrive."""
    if goodbye.code in _WORDS:
        channel.send_if_free(
            {
                "type": "error",
                "code": _WORDS[goodbye.code],
                "what": goodbye.reason,
                "right": "A connection lasts while both sides keep to the protocol.",
                "next": "Connect again.",
            }
        )
    await channel.flush()
