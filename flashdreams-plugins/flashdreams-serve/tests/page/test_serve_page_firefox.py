"""The page drives in Firefox, too."""

import pytest
from firefox import IN_FIREFOX, WITH_LOOPBACK, firefox

pytestmark = IN_FIREFOX


@pytest.mark.parametrize(("preferences", "transport"), [(WITH_LOOPBACK, "WebRTC"), ({}, "WebSocket")])
def test_it_drives(racer, tmp_path, preferences, transport):
    with firefox(tmp_path, **preferences) as page:
        page.open(f"{racer}?seed=3&start=straight")
        page.until("now.state === 'live' && now.frames > 3")
        page.press("ArrowUp", "ArrowLeft")
        page.until("now.seq >= 1 && now.header.seq === now.seq && now.latencies.length >= 1")
        frames = page.evaluate("window.flashdreams.frames")
        page.until(f"now.frames > {frames + 10}")
        assert page.evaluate("window.flashdreams.transport") == transport
        page.press("ArrowUp", "ArrowLeft", up=True)
        page.leave()
