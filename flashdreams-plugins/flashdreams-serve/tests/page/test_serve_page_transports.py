"""It drives over every transport, and takes the next where one fails."""

import base64

import numpy as np
import pytest
from page_visits import IN_A_BROWSER, Visit, browser_with

from flashdreams_pocket.drivers import centre_line
from flashdreams_serve.media.encoders import encoder_for

pytestmark = IN_A_BROWSER

NO_UDP = "--webrtc-ip-handling-policy=disable_non_proxied_udp"


def lean_of_the_road(visit, key):
    """How far the road ahead leans to the right at most, once a key is held: pixels for each one ahead."""
    visit.is_live()
    visit.page.keyboard.down("ArrowUp")
    visit.until("now.header.chunk >= 16")
    visit.page.keyboard.down(key)
    visit.until("now.seq >= 2 && now.header.seq === now.seq")
    lines = [centre_line(picture) for picture in visit.pictures(chunks=8)]  # then the car leaves the road
    leans = [(line[-1, 0] - line[0, 0]) / (line[-1, 1] - line[0, 1]) for line in lines if len(line) > 6]
    visit.page.keyboard.up(key)
    visit.page.keyboard.up("ArrowUp")
    return max(leans, key=abs)


def drives_both_ways(browser, address, query):
    """Drive to the left and to the right from one start; what was seen on the way."""
    leans, seen = {}, []
    for key in ("ArrowLeft", "ArrowRight"):
        with Visit(browser, address, f"?seed=3&start=straight{query}") as visit:
            leans[key] = lean_of_the_road(visit, key)
            assert len(visit.now("latencies")) >= 2
            seen.append((visit.now("transport"), [round(latency) for latency in visit.now("latencies")]))
    print(f"lean of the road: {leans}; key to pixel, ms: {seen}")
    assert leans["ArrowLeft"] > 0.25
    assert leans["ArrowRight"] < -0.25
    return {transport for transport, _ in seen}


def test_the_road_turns_the_right_way_over_webrtc(browser, racer):
    assert drives_both_ways(browser, racer, "") == {"WebRTC"}


def test_the_road_turns_the_right_way_over_websocket(browser, racer):
    assert drives_both_ways(browser, racer, "&transport=websocket") == {"WebSocket"}


def test_without_udp_the_fallback_serves(driver, racer):
    with browser_with(driver, NO_UDP) as browser:
        assert drives_both_ways(browser, racer, "") == {"WebSocket"}


def test_webrtc_that_breaks_off_is_replaced(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        session = visit.now("session")
        assert visit.now("transport") == "WebRTC"
        visit.page.evaluate("probe.flood()")  # the server closes such a connection
        visit.until("now.transport === 'WebSocket'")
        frames = visit.now("frames")
        visit.until(f"now.state === 'live' && now.frames > {frames + 5}")
        assert visit.now("session") == session


def test_webrtc_that_shows_nothing_any_more_is_replaced(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        assert visit.now("transport") == "WebRTC"
        visit.page.evaluate("probe.freeze()")
        visit.until("now.transport === 'WebSocket'")
        frames = visit.now("frames")
        visit.until(f"now.frames > {frames + 5}")


def test_h264_is_decoded_frame_by_frame(browser, racer):
    encoder = encoder_for("h264")
    encoded = [encoder.encode(np.full((128, 128, 3), shade, dtype=np.uint8)) for shade in range(40, 220, 20)]
    units = [[n, unit.key, base64.b64encode(unit.data).decode()] for n, unit in enumerate(encoded)]
    with Visit(browser, racer) as visit:
        visit.is_live()
        drawn = visit.page.evaluate("(given) => probe.decode(given)", units)
    if drawn is None:
        pytest.skip("this chromium does not decode H.264")
    assert [number for number, _ in drawn] == list(range(9))
    assert np.abs(np.array([shade for _, shade in drawn]) - np.arange(40, 220, 20)).max() <= 6
