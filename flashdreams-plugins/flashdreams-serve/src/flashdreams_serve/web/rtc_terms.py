"""What the server brings to a WebRTC connection: its servers of ICE, its codecs."""

from __future__ import annotations

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCRtpCodecCapability, RTCRtpSender
from aiortc.sdp import SessionDescription

from flashdreams_serve.settings import ServeSettings

CODECS = {"video/h264": "h264", "video/vp8": "vp8"}
"""What can be sent, best first: from the names in SDP to those of the protocol."""


def configuration(settings: ServeSettings) -> RTCConfiguration:
    """Only the ICE servers of the settings, and none where only this machine can reach the server."""
    servers = () if settings.is_loopback else settings.ice_servers
    return RTCConfiguration(
        iceServers=[RTCIceServer(each.url, each.username, each.credential) for each in servers],
        bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
    )


def preferences() -> list[RTCRtpCodecCapability]:
    """The library's codecs, best first; what is no video (retransmission) stays allowed behind them."""
    order = [*CODECS]

    def rank(codec: RTCRtpCodecCapability) -> int:
        name = codec.mimeType.lower()
        return order.index(name) if name in order else len(order)

    return sorted(RTCRtpSender.getCapabilities("video").codecs, key=rank)


def codec_in(answer: str) -> str:
    """The codec that an answer settles, as the protocol names it."""
    video = next(media for media in SessionDescription.parse(answer).media if media.kind == "video")
    return CODECS[video.rtp.codecs[0].mimeType.lower()]
