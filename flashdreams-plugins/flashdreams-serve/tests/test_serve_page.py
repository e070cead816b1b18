"""The page in a real browser: it drives, over every transport, and says how things stand."""

import base64
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from flashdreams_pocket.drivers import centre_line
from flashdreams_serve.media.encoders import encoder_for

playwright = pytest.importorskip("playwright.sync_api")

PROBES = Path(__file__).with_name("serve_page_probes.js")
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NO_UDP = "--webrtc-ip-handling-policy=disable_non_proxied_udp"
GREY = np.full((64, 64, 3), 105, dtype=np.uint8)
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
ON_ITS_SIDE = {"width": 844, "height": 390}
HAND_SIZES = [(375, 553), (360, 640), (320, 568), (500, 500), (390, 664), (390, 844), (844, 390), (667, 375)]
DESK_SIZES = [(1280, 800), (900, 700), (1000, 700)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]


@contextlib.contextmanager
def served(folder, *words, slug="pocket-racer", until="Ready"):
    """The address of a real server, once it says so much."""
    command = [sys.executable, "-m", "flashdreams", "serve", slug, "--port", "0", "--no-browser"]
    command += ["--save-dir", str(folder), *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield address_of(process, until)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def address_of(process, until="Ready"):
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith(until):
            break
    match = re.search(r"http://[0-9.:]+/", "".join(said))
    assert match, said
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return match[0]


@pytest.fixture(scope="module")
def driver():
    with playwright.sync_playwright() as driver:
        yield driver


@contextlib.contextmanager
def browser_with(driver, *flags):
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def browser(driver):
    with browser_with(driver) as browser:
        yield browser


@pytest.fixture(scope="module")
def racer(tmp_path_factory):
    with served(tmp_path_factory.mktemp("saved")) as address:
        yield address


class Visit:
    """A page, everything that it asked for, and everything that it complained of."""

    def __init__(self, browser, address, query="", *, touch=False, size=None, scheme="light", expects=()):
        self.address = address
        self.context = browser.new_context(
            viewport=size or DESKTOP, color_scheme=scheme, has_touch=touch, is_mobile=touch
        )
        self.page = self.context.new_page()
        self.asked, self.complaints, self.expects = [], [], expects
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda websocket: self.asked.append(websocket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.add_init_script(path=PROBES)
        self.page.goto(address + query)

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        with contextlib.suppress(playwright.Error):
            self.leave()
        self.context.close()
        if not failed:
            assert self.complaints == []
            assert [url for url in self.asked if not self._is_own(url)] == []

    def _is_own(self, url):
        return url.startswith((self.address, self.address.replace("http", "ws", 1), "blob:" + self.address))

    def _heard(self, message):
        if message.type == "error" and not any(word in message.text for word in self.expects):
            self.complaints.append(message.text)

    def now(self, name):
        return self.page.evaluate(f"window.flashdreams?.{name}")

    def leave(self):
        """End the session as somebody else might."""
        self.page.evaluate("probe.leave().then(() => 0)")

    def until(self, wanted, seconds=30):
        """Wait until an expression over the page's status is true."""
        until = time.monotonic() + seconds
        question = f"(() => {{ const now = window.flashdreams; return Boolean(now && ({wanted})) }})()"
        while not self.page.evaluate(question):
            status = {name: self.now(name) for name in ("state", "transport", "frames", "header")}
            assert time.monotonic() < until, (wanted, status)
            self.page.wait_for_timeout(30)

    def is_live(self, seconds=30):
        self.until("now.state === 'live' && now.frames > 3", seconds)

    def pictures(self, chunks):
        """What the canvas shows while so many chunks are made, uint8 [N, 64, 64, 3]."""
        pixels = np.array(self.page.evaluate("(given) => probe.record(given)", chunks), dtype=np.uint8)
        return pixels.reshape(-1, 64, 64, 4)[..., :3]


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


def test_a_model_that_is_loaded_is_waited_for_in_peace(browser, tmp_path):
    with served(tmp_path, until="Serving") as address, Visit(browser, address) as visit:
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


def test_a_reload_goes_on_with_the_same_dream(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.keyboard.press("ArrowUp", delay=200)
        session, seq = visit.now("session"), visit.now("seq")
        visit.page.reload()
        visit.is_live()
        assert visit.now("session") == session
        assert visit.now("seq") > seq  # the server would take no control with a smaller number


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


def test_pause_restart_keep_and_save(browser, racer):
    with Visit(browser, racer) as visit:
        page = visit.page
        visit.is_live()
        page.keyboard.press("p")
        visit.until("now.state === 'paused'")
        page.wait_for_timeout(300)
        frames = visit.now("frames")
        page.wait_for_timeout(500)
        assert visit.now("frames") == frames
        page.get_by_role("button", name="Resume").click()
        visit.until(f"now.state === 'live' && now.frames > {frames}")

        page.get_by_role("button", name="Keep this moment").click()
        page.get_by_text("This moment is kept").wait_for()
        kept = visit.now("header")["chunk"]
        visit.until(f"now.header.chunk > {kept + 30}")
        page.get_by_role("button", name="Go back").click()
        visit.until(f"now.header.chunk < {kept + 20}")

        page.keyboard.press("r")
        visit.until(f"now.header.chunk < {min(kept, 15)}")

        page.keyboard.press("v")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.path().read_bytes()[4:8] == b"ftyp"


def test_everything_can_be_done_with_the_keyboard(browser, racer):
    with Visit(browser, racer) as visit:
        page = visit.page
        visit.is_live()
        reached = []
        for _ in range(16):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("probe.focus()"))
        names = [name for name, _ in reached]
        for wanted in ("Steer down", "Steer up", "Gas", "Brake", "Pause", "Restart", "Save", "Full screen"):
            assert any(name.startswith(wanted) for name in names), (wanted, names)
        assert {outline for name, outline in reached if name} == {"solid"}

        page.get_by_role("button", name="Gas").focus()
        page.keyboard.down("Enter")
        visit.until("now.seq === 1 && now.header.seq === 1")
        page.keyboard.up("Enter")
        visit.until("now.header.seq === 2")
        page.get_by_role("button", name="Pause").focus()
        page.keyboard.press("Space")
        visit.until("now.state === 'paused'")


def test_keys_are_let_go_when_nobody_can_hold_them(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.keyboard.down("ArrowUp")
        visit.until("now.header.seq === 1")
        assert visit.page.locator(".hold.lit").count() == 1
        visit.page.evaluate("dispatchEvent(new Event('blur'))")
        visit.until("now.header.seq === 2")
        assert visit.page.locator(".hold.lit").count() == 0


def test_a_button_that_loses_the_focus_is_let_go(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.get_by_role("button", name="Gas").focus()
        visit.page.keyboard.down("Enter")
        visit.until("now.header.seq === 1")
        visit.page.keyboard.press("Tab")
        visit.until("now.header.seq === 2")
        assert visit.page.locator(".hold.lit").count() == 0


def test_what_is_held_counts_in_the_next_rollout(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.keyboard.down("ArrowUp")
        visit.until("now.header.seq === 1")
        visit.page.keyboard.press("r")
        visit.until("now.seq === 2 && now.header.seq === 2")
        assert visit.page.locator(".hold.lit").count() == 1


def test_controls_bear_the_time_at_which_they_were_wanted(browser, racer):
    with Visit(browser, racer) as visit:
        assert visit.page.evaluate("probe.stamps()") == [[1, 10], [0, 20]]


def test_fingers_drive(browser, racer):
    with Visit(browser, racer, size=PHONE, touch=True) as visit:
        visit.is_live()
        touch = visit.context.new_cdp_session(visit.page)
        buttons = [visit.page.locator(f".hold[aria-label^='{name}']") for name in ("Steer up", "Gas")]
        boxes = [button.bounding_box() for button in buttons]
        assert all(min(box["width"], box["height"]) >= 44 for box in boxes)
        points = [
            {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "id": number}
            for number, box in enumerate(boxes)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
        visit.until("now.seq >= 1 && now.header.seq === now.seq")
        assert visit.page.locator(".hold.lit").count() == 2
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        visit.until("now.seq >= 2 && now.header.seq === now.seq")
        assert visit.page.locator(".hold.lit").count() == 0


def test_a_gamepad_drives(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.evaluate("probe.plugInGamepad()")
        visit.page.evaluate("probe.pad.axes[0] = -1, probe.pad.buttons[7].value = 0.5")
        visit.until("now.seq >= 1 && now.header.seq === now.seq")
        assert visit.page.evaluate("probe.gauges()") == ["0.0%", "43.0%", "0.0%"]
        seq = visit.now("seq")
        visit.page.evaluate("probe.pad.axes[0] = 0.05, probe.pad.buttons[7].value = 0")
        visit.until(f"now.seq > {seq} && now.header.seq === now.seq")


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


def test_another_beginning_is_chosen(browser, racer):
    with Visit(browser, racer) as visit:
        page = visit.page
        visit.is_live()
        page.keyboard.press("n")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Hairpin").check(force=True)
        dialog.get_by_text("More", exact=True).click()
        dialog.get_by_label("Seed").fill("7")
        dialog.get_by_role("button", name="Dream", exact=True).click()
        visit.until("now.header.chunk < 10")
        assert dialog.is_hidden()

        visit.until("now.header.chunk > 15")
        page.get_by_role("button", name="New dream").click()
        dialog.get_by_label("An image of your own").set_input_files(
            {"name": "road.png", "mimeType": "image/png", "buffer": encoder_for("png").encode(GREY).data}
        )
        dialog.get_by_alt_text("The image that it begins with").wait_for()
        dialog.get_by_role("button", name="Dream", exact=True).click()
        visit.until("now.header.chunk < 10")


def test_it_begins_with_a_start_or_with_an_image_and_never_with_both(browser, racer):
    with Visit(browser, racer) as visit:
        page = visit.page
        visit.is_live()
        page.keyboard.press("n")
        dialog = page.get_by_role("dialog")
        file, image = dialog.get_by_label("An image of your own"), dialog.get_by_alt_text("The image that")
        chosen = dialog.locator("input[name=start]:checked")

        file.set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"no image"})
        dialog.get_by_text("“no.png” is no image that can be read").wait_for()
        assert (image.is_hidden(), chosen.count()) == (True, 1)

        road = {"name": "road.png", "mimeType": "image/png", "buffer": encoder_for("png").encode(GREY).data}
        file.set_input_files(road)
        image.wait_for()
        assert chosen.count() == 0
        dialog.get_by_label("Hairpin").check(force=True)
        image.wait_for(state="hidden")
        file.set_input_files(road)
        image.wait_for()
        dialog.get_by_role("button", name="Dream", exact=True).click()
        page.get_by_text("Begun again from your image.").wait_for()


def test_nothing_lights_up_while_nothing_obeys(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.leave()
        visit.until("now.state === 'ended'")
        visit.page.keyboard.down("ArrowUp")
        assert visit.page.locator(".hold.lit").count() == 0
        assert visit.page.locator("#figures-button .summary").inner_text().startswith("\N{EN DASH} fps")


def test_a_server_that_has_ended_offers_no_video(browser, tmp_path):
    with contextlib.ExitStack() as stack:
        with served(tmp_path) as address:
            visit = stack.enter_context(Visit(browser, address, expects=("ERR_", "WebSocket")))
            visit.is_live()
        visit.until("now.state === 'ended'")
        visit.page.get_by_text("The video of it was saved on the server's side.").wait_for()
        visit.page.get_by_role("link", name="Download the video").wait_for(state="hidden")


def test_a_model_with_a_prompt_asks_for_it(browser, tmp_path):
    with (
        served(tmp_path, slug="self-forcing-tiny") as address,
        Visit(browser, address) as visit,
    ):
        visit.until("now.state === 'choosing'")
        field = visit.page.get_by_label("Prompt", exact=True)
        assert field.evaluate("field => field === document.activeElement")
        dream = visit.page.get_by_role("button", name="Dream", exact=True)
        field.fill("a" * 2500)
        visit.page.get_by_text("2500 of 2000 characters").wait_for()
        assert dream.is_disabled()
        field.fill("a paper boat on a river")
        dream.click()
        visit.until("now.state === 'live' && now.frames > 0", 60)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, ON_ITS_SIDE], ids=["desktop", "phone", "side"])
def test_it_can_be_read_and_fits(browser, racer, size, scheme):
    with Visit(browser, racer, size=size, scheme=scheme, touch=size is not DESKTOP) as visit:
        visit.is_live()
        assert visit.page.evaluate("probe.shifted()") < 0.1
        visit.page.keyboard.down("ArrowUp")
        for state in ("live", "paused", "ended"):
            visit.until(f"now.state === '{state}'")
            assert visit.page.evaluate("probe.nameless()") == []
            assert visit.page.evaluate("probe.faint()") == []
            assert visit.page.evaluate("probe.outside()") == []
            if state == "live":
                visit.page.keyboard.press("p")
            elif state == "paused":
                visit.leave()
        assert visit.page.get_by_role("button", name="Dream again").is_visible()


@pytest.mark.parametrize("size", HAND_SIZES + DESK_SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_nothing_lies_over_anything_else(browser, racer, size):
    size = dict(zip(("width", "height"), size, strict=True))
    with Visit(browser, racer, size=size, touch=tuple(size.values()) in HAND_SIZES) as visit:
        visit.is_live()
        assert visit.page.evaluate("probe.overlaps()") == []
        assert visit.page.evaluate("probe.outside()") == []
        heights = visit.page.eval_on_selector_all(".commands .word", "all => all.map(at => at.offsetHeight)")
        assert max(heights) < 30  # one line each
        assert visit.page.locator(".picture").bounding_box()["width"] >= 128


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
