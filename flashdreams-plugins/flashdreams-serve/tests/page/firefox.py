"""Firefox, driven by WebDriver BiDi, which it speaks by itself."""

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import threading
import time

import pytest

FIREFOX = next(filter(None, map(shutil.which, ("firefox", "firefox-esr"))), None)
IN_FIREFOX = [
    pytest.mark.slow,
    pytest.mark.skipif(FIREFOX is None, reason="there is no firefox here"),
]
"""Marks of all tests in Firefox."""
KEYS = {"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014"}
WITH_LOOPBACK = {
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
}
"""Lets WebRTC reach a server on loopback, which Firefox leaves out unless it is told so."""


class Firefox:
    """A page in a browser of its own."""

    def __init__(self, line):
        self._line, self._numbers = line, itertools.count(1)
        self._ask("session.new", capabilities={})
        self._tab = self._ask("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, address):
        self._ask("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def evaluate(self, expression):
        """What an expression is, as far as JSON can say it."""
        target = {"context": self._tab}
        wanted = f"(async () => JSON.stringify(await ({expression})) ?? 'null')()"
        answer = self._ask("script.evaluate", expression=wanted, target=target, awaitPromise=True)
        return json.loads(answer["result"]["value"])

    def until(self, wanted, seconds=30):
        """Wait until an expression over the page's status is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean(window.flashdreams && (now => {wanted})(window.flashdreams))"):
            assert time.monotonic() < end, (wanted, self.evaluate("window.flashdreams?.state"))
            time.sleep(0.03)

    def press(self, *keys, up=False):
        """Press keys and hold them, or let them go."""
        acts = [{"type": "keyUp" if up else "keyDown", "value": KEYS[key]} for key in keys]
        keyboard = {"type": "key", "id": "keyboard", "actions": acts}
        self._ask("input.performActions", context=self._tab, actions=[keyboard])

    def leave(self):
        """End the session, so that its place is free at once."""
        self.evaluate(
            "fetch(`/v1/sessions/${window.flashdreams.session}`, { method: 'DELETE' }).then(() => 0)"
        )

    def _ask(self, method, **params):
        number = next(self._numbers)
        self._line.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._line.recv(timeout=60))
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]


@contextlib.contextmanager
def firefox(folder, **preferences):
    """A Firefox with a profile of its own in a folder."""
    from websockets.sync.client import connect

    said = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
    (folder / "user.js").write_text("".join(said))
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        said = next((line for line in process.stderr if "BiDi listening on" in line), None)
        assert said, "Firefox has ended"
        threading.Thread(target=process.stderr.read, daemon=True).start()  # or it would wait for a reader
        address = re.search(r"ws://\S+", said)[0]
        with connect(f"{address}/session", max_size=None) as line:
            yield Firefox(line)
    finally:
        process.terminate()
        process.communicate(timeout=30)
