"""A server on the way to another one, which passes on what it is asked, or does not."""

import contextlib
import http.client
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Mood = Literal["well", "cut", "frozen", "deaf"] | int
"""How requests are treated: passed on; cut off; left without an answer, not even passed on; passed
on, and the answer kept back; answered with an HTTP status."""

SECONDS = 60.0


class Unreliable(ThreadingHTTPServer):
    """Passes requests on to `target` as its mood allows; the mood may change at any time.

    asked: the method and path of each request.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, target: str, mood: Mood = "well") -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = urllib.parse.urlsplit(target).netloc
        self.mood: Mood = mood
        self.asked: list[str] = []
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def become(self, mood: Mood) -> None:
        """Treat requests in another way, also those that are frozen."""
        with self.changed:
            self.mood = mood
            self.changed.notify_all()


class _Passing(BaseHTTPRequestHandler):
    server: Unreliable

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError):
            super().handle_one_request()

    def _pass(self) -> None:
        self.close_connection = True
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else None
        self.server.asked.append(f"{self.command} {self.path}")
        with self.server.changed:
            self.server.changed.wait_for(lambda: self.server.mood != "frozen", SECONDS)
        mood = self.server.mood
        if isinstance(mood, int):
            self.send_error(mood)
        elif mood != "cut":
            status, kind, content = self._asked_there(body)
            if mood == "well":
                self._answer(status, kind, content)

    def _asked_there(self, body: bytes | None) -> tuple[int, str, bytes]:
        there = http.client.HTTPConnection(self.server.target, timeout=SECONDS)
        headers = {k: v for k, v in self.headers.items() if k not in ("Host", "Connection")}
        there.request(self.command, self.path, body, headers)
        answer = there.getresponse()
        found = answer.status, answer.getheader("Content-Type", ""), answer.read()
        there.close()
        return found

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Treat all methods alike, `do_GET` as `do_POST`."""
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def on_the_way_to(target: str, mood: Mood = "well") -> Iterator[Unreliable]:
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
