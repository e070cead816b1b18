"""Bad lines between browser and server."""

from page_visits import IN_A_BROWSER, Visit
from thin_line import ThinLine

pytestmark = IN_A_BROWSER


def steer(visit, chunks):
    """Drive in bends for so many chunks, so that every picture is another."""
    end = visit.now("header").get("chunk", 0) + chunks
    visit.page.keyboard.down("ArrowUp")
    for key in ["ArrowLeft", "ArrowRight"] * 100:
        visit.page.keyboard.down(key)
        visit.page.wait_for_timeout(1000)
        visit.page.keyboard.up(key)
        if visit.now("header")["chunk"] >= end:
            break
    visit.page.keyboard.up("ArrowUp")


def test_a_line_that_carries_little_gets_a_picture_that_fits(browser, racer):
    """Unbounded it would want twice as much: then more and more is dropped, and sent again, and dropped."""
    with ThinLine(bits=250_000) as line, Visit(browser, racer, before=line.through) as visit:
        visit.is_live(60)
        steer(visit, chunks=400)
        dropped, carried, frames = line.dropped, line.carried, visit.now("frames")
        steer(visit, chunks=150)
        lost = (line.dropped - dropped) / (line.dropped - dropped + line.carried - carried)
        print(f"{visit.now('frames') - frames} frames of 150, {lost:.1%} of the packets dropped")
        assert visit.now("transport") == "WebRTC"
        assert visit.now("frames") - frames > 40
        assert lost < 0.2


def test_a_line_that_carries_no_datagrams_without_a_word_is_given_up(browser, racer):
    with ThinLine(bits=0) as line, Visit(browser, racer, before=line.through) as visit:
        visit.is_live()
        assert visit.now("transport") == "WebSocket"
        assert line.carried == 0
