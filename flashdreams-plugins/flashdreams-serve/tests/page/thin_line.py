"""A line between browser and server that carries little: datagrams go through a relay of ours."""

import heapq
import itertools
import re
import socket
import threading
import time

HOST = "127.0.0.1"
CANDIDATE = r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+) typ host"
OVERHEAD = 28  # bytes of IP and UDP in front of each datagram


class ThinLine:
    """Puts itself into the answers to a page's offers, and delays, then drops, what is too much.

    Args:
        bits: Carried in a second, from server to browser; 0 carries nothing either way.
        queue: Seconds that a datagram waits at most; those that would wait longer are dropped.
    """

    def __init__(self, bits, queue=0.5):
        self.bits, self.queue = bits, queue
        self.carried = self.dropped = 0
        self._relays = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for relay in self._relays:
            relay.close()

    def through(self, page):
        """Let the WebRTC connections of a page go this way."""
        page.route("**/offer", self._answer)

    def _answer(self, route):
        """The server's answer, with the relay's port in the place of the server's."""
        response = route.fetch()
        answer = response.json()
        port = re.search(CANDIDATE, answer["sdp"])[1]
        self._relays.append(Relay(self, int(port)))
        answer["sdp"] = answer["sdp"].replace(f" {port} ", f" {self._relays[-1].port} ")
        route.fulfill(response=response, json=answer)


class Relay:
    """Carries the datagrams of one connection."""

    def __init__(self, line, server_port):
        self._line, self._server, self._browser = line, (HOST, server_port), None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.settimeout(0.002)
        self.port = self._socket.getsockname()[1]
        self._waiting, self._order, self._free_at = [], itertools.count(), 0.0
        self._is_open = True
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self):
        self._is_open = False
        self._thread.join()
        self._socket.close()

    def _carry(self):
        while self._is_open:
            self._deliver()
            try:
                data, sender = self._socket.recvfrom(1 << 16)
            except (TimeoutError, ConnectionError):
                continue
            if sender == self._server:
                self._take(data)
            elif self._line.bits:
                self._browser = sender
                self._socket.sendto(data, self._server)

    def _take(self, data):
        now, size = time.monotonic(), 8 * (len(data) + OVERHEAD)
        if not self._line.bits or self._browser is None or self._free_at - now > self._line.queue:
            self._line.dropped += 1
            return
        self._free_at = max(now, self._free_at) + size / self._line.bits
        heapq.heappush(self._waiting, (self._free_at, next(self._order), data))

    def _deliver(self):
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            self._line.carried += 1
            self._socket.sendto(heapq.heappop(self._waiting)[2], self._browser)
