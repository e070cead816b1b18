"""Visits to the page of a real server, in a real browser."""

import contextlib
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from flashdreams_serve.bench.server_process import running_server

PROBES = Path(__file__).with_name("serve_page_probes.js")
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]
"""Marks of all tests of the page."""


@contextlib.contextmanager
def served(folder, *words, slug="pocket-racer", is_ready=True):
    """The address of a real server, once its model is loaded, or once it listens."""
    with running_server([slug, "--save-dir", str(folder), *words]) as server:
        if is_ready:
            server.wait_ready()
        yield f"{server.url}/"
        assert server.end() == 0


@contextlib.contextmanager
def browser_with(driver, *flags):
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    yield browser
    browser.close()


class Visit:
    """A page, everything that it asked for, and everything that it complained of.

    ``before`` is called with the page before it asks for anything.
    """

    def __init__(
        self,
        browser,
        address,
        query="",
        *,
        touch=False,
        size=None,
        scheme="light",
        expects=(),
        before=lambda page: None,
    ):
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
        before(self.page)
        self.page.goto(address + query)

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        from playwright.sync_api import Error

        with contextlib.suppress(Error):
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
