"""A server on the way to another one, which passes on what it is asked, or does not."""

import contextlib
import http.client
import random
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Refusal = tuple[int, bytes]
"""An HTTP status, and what comes with it."""

Mood = Literal["well", "cut", "frozen", "deaf", "cut body"] | int | Refusal
"""How a request is treated: passed on; cut off; left without an answer, not even passed on; passed
on, and the answer kept back, or half of it; answered with an HTTP status."""

FAULTS: tuple[Mood, ...] = (500, 503, "cut", "deaf", "cut body")
SECONDS = 60.0
OWN_HEADERS = ("connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding")
"""Those of a connection, not of what goes over it."""


@dataclass
class Weather:
    """Some requests go wrong. share: of them, drawn by a seed. counts: how many went how."""

    share: float
    seed: int = 0
    faults: tuple[Mood, ...] = FAULTS
    counts: Counter[Mood] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def next(self) -> Mood:
        """Return how the next request is treated."""
        with self._lock:
            bad = self._random.random() < self.share
            mood = self._random.choice(self.faults) if bad else "well"
            self.counts[mood] += 1
        return mood


class Unreliable(ThreadingHTTPServer):
    """Passes requests on to `target` as its mood allows; the mood may change at any time.

    asked: the method and path of each request.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, target: str, mood: Mood | Weather = "well") -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = urllib.parse.urlsplit(target).netloc
        self.mood = mood
        self.asked: list[str] = []
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def become(self, mood: Mood | Weather) -> None:
        """Treat requests in another way, also those that are frozen."""
        with self.changed:
            self.mood = mood
            self.changed.notify_all()

    def next(self) -> Mood:
        """Return how to treat the next request, once it is not to be left alone."""
        with self.changed:
            self.changed.wait_for(lambda: self.mood != "frozen", SECONDS)
            return self.mood.next() if isinstance(self.mood, Weather) else self.mood


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Unreliable

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError):
            super().handle_one_request()

    def _pass(self) -> None:
        self.close_connection = True
        body = self._body()
        self.server.asked.append(f"{self.command} {self.path}")
        match self.server.next():
            case int(status):
                self._answer(status, {}, b"")
            case (int(status), bytes(content)):
                self._answer(status, {"Content-Type": "application/xml"}, content)
            case "well":
                self._answer(*self._asked_there(body))
            case "cut body":
                self._answer(*self._asked_there(body), half=True)
            case "deaf":
                self._asked_there(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _asked_there(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        there = http.client.HTTPConnection(self.server.target, timeout=SECONDS)
        sent = {k: v for k, v in self.headers.items() if k.lower() not in OWN_HEADERS}
        with contextlib.closing(there):
            there.request(self.command, self.path, body, sent | {"Content-Length": str(len(body))})
            answer = there.getresponse()
            got = {k: v for k, v in answer.getheaders() if k.lower() not in OWN_HEADERS}
            if self.command == "HEAD":
                got["Content-Length"] = answer.getheader("Content-Length", "0")
            return answer.status, got, answer.read()

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, *, half: bool = False
    ) -> None:
        self.send_response_only(status)
        for key, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if half else content)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Treat all methods alike, `do_GET` as `do_POST`."""
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def on_the_way_to(target: str, mood: Mood | Weather = "well") -> Iterator[Unreliable]:
    """Serve until the end of the block."""
    with Unreliable(target, mood) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.become("cut")
            server.shutdown()
            thread.join()
