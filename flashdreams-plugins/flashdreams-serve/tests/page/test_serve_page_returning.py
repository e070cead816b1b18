"""Whoever loses the server, or comes too early or too late, gets there all the same."""

import contextlib
import re
import socket
import threading

import pytest
from page_visits import IN_A_BROWSER, Visit, served

from flashdreams_serve.bench.server_process import running_server

pytestmark = IN_A_BROWSER


def test_a_model_that_is_loaded_is_waited_for_in_peace(browser, tmp_path):
    with served(tmp_path, is_ready=False) as address, Visit(browser, address) as visit:
        visit.is_live(60)  # and no request has failed meanwhile


class Line:
    """Carries connections to a server, until it is cut."""

    def __init__(self, address):
        self._to = re.search(r"//(.*):(\d+)", address).groups()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open, self._is_cut = [], False
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        threading.Thread(target=self._take, daemon=True).start()

    def cut(self):
        self._is_cut = True
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self):
        self._is_cut = False

    def _take(self):
        while True:
            near, _ = self._listening.accept()
            if self._is_cut:
                near.close()
                continue
            far = socket.create_connection((self._to[0], int(self._to[1])))
            self._open += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    @staticmethod
    def _carry(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def test_a_lost_connection_is_taken_up_again(browser, racer):
    line = Line(racer)
    with Visit(browser, line.address, "?transport=websocket", expects=("ERR_", "WebSocket")) as visit:
        visit.is_live()
        session, frames = visit.now("session"), visit.now("frames")
        line.cut()
        visit.until("now.state === 'reconnecting'")
        assert "Connection lost" in visit.page.locator("#curtain").inner_text()
        line.mend()
        visit.until(f"now.state === 'live' && now.frames > {frames + 5}")
        assert visit.now("session") == session


@pytest.mark.parametrize("way", ["nobody", "gateway"])
def test_who_cannot_be_reached_is_asked_again_in_peace(browser, racer, way):
    def refuse(route):
        return route.abort() if way == "nobody" else route.fulfill(status=502, body="bad gateway")

    with Visit(browser, racer, expects=("ERR_FAILED", "502")) as visit:
        visit.is_live()
        visit.leave()
        visit.until("now.state === 'ended'")
        visit.page.route("**/v1/sessions", refuse)
        asked = visit.asked.count(f"{racer}v1/sessions")
        visit.page.get_by_role("button", name="Dream again").click()
        visit.until("now.state === 'unreachable'")
        visit.page.wait_for_timeout(1000)
        assert visit.asked.count(f"{racer}v1/sessions") <= asked + 3
        visit.page.unroute("**/v1/sessions")
        visit.page.get_by_role("button", name="Try now").click()
        visit.is_live()


def test_a_server_that_is_gone_without_a_word_is_missed_soon(browser, tmp_path):
    with running_server(["pocket-racer", "--save-dir", str(tmp_path)]) as server:
        server.wait_ready()
        with Visit(browser, f"{server.url}/", expects=["ERR_CONNECTION"]) as visit:
            visit.is_live()
            assert visit.now("transport") == "WebRTC"
            server.process.kill()
            visit.until("now.state === 'reconnecting'", 10)  # WebRTC alone takes longer


def test_a_reload_goes_on_with_the_same_dream(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.keyboard.press("ArrowUp", delay=200)
        session, seq = visit.now("session"), visit.now("seq")
        visit.page.reload()
        visit.is_live()
        assert visit.now("session") == session
        assert visit.now("seq") > seq  # the server would take no control with a smaller number


@pytest.mark.parametrize("transport", ["webrtc", "websocket"])
def test_a_tab_that_is_closed_gives_its_place_back_soon(browser, tmp_path, transport):
    with (
        served(tmp_path, "--sessions", "1", "--grace", "600") as address,
        Visit(browser, address, f"?transport={transport}") as visit,
    ):
        visit.is_live()
        visit.page.close(run_before_unload=True)
        with Visit(browser, address) as next_in_turn:
            next_in_turn.is_live(60)


def test_a_dream_is_steered_from_one_tab_at_a_time(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        kept = visit.page.evaluate("JSON.stringify(sessionStorage)")
        other = visit.context.new_page()
        other.add_init_script(f"Object.assign(sessionStorage, {kept})")
        other.goto(racer)
        visit.until("now.state === 'elsewhere'")
        visit.page.get_by_role("button", name="Take it back").click()
        visit.is_live()
        other.get_by_text("Open in another tab").wait_for()
        assert other.evaluate("flashdreams.session") == visit.now("session")


def test_who_comes_too_late_stands_in_line(browser, tmp_path):
    with (
        served(tmp_path, "--sessions", "1") as address,
        Visit(browser, address) as first,
        Visit(browser, address) as second,
    ):
        first.is_live()
        second.until("now.state === 'queued'")
        assert second.page.locator("#curtain h2").inner_text() == "You are next"
        first.leave()
        first.until("now.state === 'ended'")
        second.is_live()
        assert second.page.locator("#curtain").is_hidden()
        first.page.get_by_role("button", name="Dream again").click()
        first.until("now.state === 'queued'")
        first.page.get_by_role("button", name="Leave the line").click()
        first.until("now.state === 'ended'")


def test_a_server_that_has_ended_offers_no_video(browser, tmp_path):
    with contextlib.ExitStack() as stack:
        with served(tmp_path) as address:
            visit = stack.enter_context(Visit(browser, address, expects=("ERR_", "WebSocket")))
            visit.is_live()
        visit.until("now.state === 'ended'")
        visit.page.get_by_text("The video of it was saved on the server's side.").wait_for()
        visit.page.get_by_role("link", name="Download the video").wait_for(state="hidden")


def test_a_token_is_asked_for_once(browser, tmp_path):
    token = tmp_path / "token"
    token.write_text("a-long-token-for-this-test-alone")
    with (
        served(tmp_path / "saved", "--token-file", str(token)) as address,
        Visit(browser, address, expects=("401",)) as visit,
    ):
        assert visit.page.evaluate("probe.faint()") == []
        visit.page.get_by_label("Token").fill("a-token-that-is-not-the-right-one")
        with visit.page.expect_navigation():
            visit.page.keyboard.press("Enter")
        visit.page.get_by_text("That is not the token of this server.").wait_for()
        visit.page.get_by_text("Whoever runs this server has it").wait_for()
        visit.page.wait_for_timeout(1000)  # it may be tried once a second
        visit.page.get_by_label("Token").fill(token.read_text())
        with visit.page.expect_navigation():
            visit.page.keyboard.press("Enter")
        visit.is_live()
        visit.page.reload()
        visit.is_live()
        visit.leave()
        visit.until("now.state === 'ended'")
        visit.context.clear_cookies()
        visit.page.get_by_role("button", name="Dream again").click()
        visit.page.get_by_role("button", name="Give the token").click()
        visit.page.get_by_label("Token").wait_for()
