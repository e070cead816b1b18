"""What a line carries, from what a browser reports; and video that keeps within it."""

import asyncio

import numpy as np
import pytest
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, RtcpReceiverInfo, RtcpRrPacket, pack_remb_fci
from rtc_ends import Client, Desk

from flashdreams_serve.media.live import X264, Vp8
from flashdreams_serve.media.tag import read_tag
from flashdreams_serve.web.rtc_rate import LEAST, LineRate
from flashdreams_serve.web.rtc_video import MOST_BITS, RAISED_SECONDS, DreamTrack

MOST = 8_000_000
FPS = 20


class HandClock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def rate(clock):
    return LineRate(MOST, clock)


def send(rate, clock, bits, seconds=2.0):
    """Send so many bits a second for a while."""
    for _ in range(round(seconds * FPS)):
        clock.now += 1 / FPS
        rate.sent(round(bits / 8 / FPS))


def test_a_line_that_nobody_complains_of_has_no_bound(rate):
    assert rate.bound == MOST


@pytest.mark.parametrize("estimates", [[350e3], [350e3, 360e3, 400e3], [1e6, 900e3, 800e3], [3e7]])
def test_an_estimate_of_little_where_little_is_sent_is_no_bound(rate, clock, estimates):
    for bits in estimates:
        send(rate, clock, 300e3, seconds=0.5)
        rate.estimated(bits)
    assert rate.bound == MOST


def test_an_estimate_that_falls_below_what_is_sent_is_a_bound(rate, clock):
    send(rate, clock, 300e3)
    rate.estimated(350e3)
    rate.estimated(170e3)
    assert rate.bound == 170_000
    rate.estimated(150e3)
    assert rate.bound == 150_000


def test_the_first_estimate_may_be_a_bound_already(rate, clock):
    send(rate, clock, 1e6)
    rate.estimated(500e3)
    assert rate.bound == 500_000


def test_a_bound_follows_the_estimates_up_until_it_is_none(rate, clock):
    send(rate, clock, 1e6)
    for bits in (500e3, 600e3):
        rate.estimated(bits)
    assert rate.bound == 600_000
    rate.estimated(3e7)
    assert rate.bound == MOST


def test_what_was_sent_long_ago_does_not_count(rate, clock):
    send(rate, clock, 1e6)
    clock.now += 2.0
    send(rate, clock, 100e3, seconds=1.0)
    rate.estimated(300e3)
    assert rate.bound == MOST


def test_a_bound_follows_estimates_that_fall_little_by_little(rate, clock):
    estimate = 1.2e6
    while estimate > 200e3:
        send(rate, clock, 1e6, seconds=0.25)
        rate.estimated(estimate)
        estimate *= 0.96
    assert rate.bound < 220e3


class Reports:
    """What a browser counts, and says as often as it likes."""

    def __init__(self, rate, clock):
        self._rate, self._clock = rate, clock
        self._packets, self._lost = 0x1234, 0  # counting begins anywhere

    def go_on(self, seconds, share, *, bits=1e6, often=30):
        for _ in range(round(seconds * often)):
            self._clock.now += 1 / often
            self._rate.sent(round(bits / 8 / often))
            self._packets += 100 // often
            self._lost += share * 100 / often
            self._rate.counted(self._packets, round(self._lost))


@pytest.fixture
def reports(rate, clock):
    return Reports(rate, clock)


def test_losses_lower_the_bound_and_their_end_raises_it(rate, reports):
    reports.go_on(3, 0.0)
    reports.go_on(5, 0.05)
    assert rate.bound == MOST, "some are lost on every radio"
    reports.go_on(2, 0.4)
    assert 500e3 < rate.bound < 900e3, "a second or two, each of which takes 20 %"
    before = rate.bound
    reports.go_on(5, 0.0)
    assert before < rate.bound < MOST
    reports.go_on(60, 0.0)
    assert rate.bound == MOST


def test_a_browser_may_begin_to_count_anew(rate, reports):
    reports.go_on(3, 0.0)
    reports._packets -= 0x1200
    reports.go_on(4, 0.5)
    assert rate.bound < 900e3


@pytest.mark.parametrize("often", [2, 50])
def test_losses_count_by_the_second_however_often_they_are_told(rate, reports, often):
    reports.go_on(2, 0.0, often=often)
    reports.go_on(4, 0.3, often=often)
    assert 400e3 < rate.bound < 800e3, "three seconds or four, each of which takes 15 %"


def test_a_picture_is_sent_over_the_worst_of_lines(rate, clock, reports):
    send(rate, clock, 1e6)
    rate.estimated(1000)
    reports.go_on(30, 1.0)
    assert rate.bound == LEAST


def picture(number):
    """Waves that move, under a little noise."""
    rows, columns = np.mgrid[0:192, 0:192]
    wave = 128 + 80 * np.sin((columns + 3 * number) / 9) * np.cos((rows - 2 * number) / 7)
    noise = np.random.default_rng(number).normal(0, 12, (192, 192, 3))
    return (wave[..., None] + noise).clip(0, 255).astype(np.uint8)


def bits_of(video, first, frames=40):
    """Bits a second, and which of the frames can be decoded alone."""
    coded = [
        video.encode(picture(number), at=number / FPS, key=False) for number in range(first, first + frames)
    ]
    return 8 * FPS * sum(len(data) for data, _ in coded) / frames, [key for _, key in coded]


@pytest.mark.parametrize("kind", [X264, Vp8])
def test_video_is_held_below_a_bound_and_begins_anew_with_it(kind):
    video = kind()
    free, _ = bits_of(video, 0)
    video.hold_below(round(free / 3))
    held, keys = bits_of(video, 40)
    assert keys == [True] + [False] * 39
    assert held < free / 2


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_a_track_keeps_within_its_line_and_is_in_no_hurry_to_go_up_again(codec):
    async def bounds():
        track = DreamTrack(None, scale=1, announce=lambda *_: None)
        track.codec = codec
        found = []
        told = (
            (10, MOST_BITS),
            (11, 400e3),
            (11.1, 200e3),
            (12, 390e3),
            (12.1, 9e5),
            (11.1 + RAISED_SECONDS, 9e5),
        )
        for now, bound in told:
            track._hold_below(round(bound), now)
            found.append(track._video._bound)
        track.stop()
        return found

    assert asyncio.run(bounds()) == [None, 400_000, 400_000, 400_000, 400_000, 600_000]


def test_what_a_browser_reports_holds_its_video_below(at_desk):
    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await client.connect(desk, session)
        await client.frame()
        (peer,) = desk.desk._peers.values()
        track, receiver = peer._track, client.video.receiver
        [source] = receiver.getSynchronizationSources()
        estimate = pack_remb_fci(120_000, [source.source])
        remb = RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=estimate)
        while track.rate.bound == MOST_BITS:  # once more is sent than that
            await receiver._send_rtcp(remb)
            await client.frame()
        assert track.rate.bound < 200_000
        while track._video._bound is None:
            await client.frame()
        told = 0
        while track.rate._by_loss == MOST_BITS:  # the report of another stream says nothing
            told += 1000
            of_others = RtcpReceiverInfo(source.source + 1, 0, 0, 1 << 30, 0, 0, 0)
            report = RtcpReceiverInfo(source.source, 128, told // 2, told, 0, 0, 0)
            await receiver._send_rtcp(RtcpRrPacket(ssrc=1, reports=[of_others, report]))
            await client.frame()
        assert track.rate.bound < MOST_BITS
        await receiver._send_rtcp(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=b"none"))
        assert read_tag(await client.frame()) is not None
        await client.close()

    at_desk(test)
