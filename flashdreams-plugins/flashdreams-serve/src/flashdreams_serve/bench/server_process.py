"""A server in a process of its own, started and ended by whoever measures or tests it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from flashdreams.client import Client
from flashdreams.errors import NoServerError

HERE = (sys.executable, "-m", "flashdreams")
"""The command of the environment that this runs in."""
LISTENING = re.compile(r"^Serving \S+ at (\S+)")
LINES = 400
"""Lines of the server's words that are kept, the last ones."""
PATIENCE = 120.0
"""Seconds until it listens, and until it is ready."""
ENDING = 30.0
"""Seconds until it is killed when it does not end."""


class ServerProcess:
    """A running server. Made by :func:`running_server`."""

    def __init__(
        self, words: Sequence[str], *, command: Sequence[str] = HERE, env: Mapping[str, str] | None = None
    ) -> None:
        self._words = list(words)
        self.began_at = time.monotonic()
        """When it was started."""
        line = [*command, "serve", *words, "--port", "0", "--no-browser"]
        self.process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env
        )
        self.said: deque[str] = deque(maxlen=LINES)
        """What it said, line by line."""
        self._url = ""
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """Where it listens; waits for that.

        Raises:
            NoServerError: It ended, or does not listen in time.
        """
        self._listening.wait(PATIENCE)
        if not self._url:
            raise self._failed("did not begin to listen")
        return self._url

    def wait_ready(self) -> float:
        """Wait until its model is loaded; seconds from its start until then.

        Raises:
            ServerError: It does not become ready.
        """
        with Client(self.url) as client:
            client.wait_ready(PATIENCE)
        return time.monotonic() - self.began_at

    def end(self) -> int:
        """Ask it to end, and wait for that. Returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(ENDING)
        return self.process.returncode

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.said.append(line.rstrip())
            found = LISTENING.match(line)
            if found and not self._url:
                self._url = found.group(1).partition("?")[0].rstrip("/")
                self._listening.set()
        self._listening.set()

    def _failed(self, what: str) -> NoServerError:
        last = self.said[-1] if self.said else "It said nothing."
        return NoServerError(
            f"The server {what}. Its last words: {last}",
            "It says where it listens, and becomes ready.",
            f"Try it yourself: flashdreams serve {' '.join(self._words)}",
            code="not_started",
        )


@contextmanager
def running_server(
    words: Sequence[str], *, command: Sequence[str] = HERE, env: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """A server of ``flashdreams serve WORDS`` at a free port, ended behind the block.

    Args:
        words: The slug, and options.
        command: What starts ``flashdreams``, for one of another environment.
        env: Environment variables; None for those of this process.
    """
    server = ServerProcess(words, command=command, env=env)
    try:
        yield server
    finally:
        server.end()
