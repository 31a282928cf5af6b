"""A proxy before an HTTP server, on whose other side the bad day is."""

import contextlib
import http.client
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")
FAULTS = ("500", "503", "refused", "lost answer", "cut body")


@dataclass
class Weather:
    """What happens to requests. share: of those that go wrong. refusal: what all of them get.

    counts: how many went how. methods: the ones that can go wrong.
    """

    share: float = 0.0
    seed: int = 0
    faults: tuple[str, ...] = FAULTS
    refusal: tuple[int, bytes] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def next(self) -> str:
        """Return what happens to the next request: one of the faults, or nothing."""
        with self.lock:
            bad = self._random.random() < self.share
            fault = self._random.choice(self.faults) if bad else ""
            self.counts[fault] = self.counts.get(fault, 0) + 1
        return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target: ClassVar[str]
    weather: ClassVar[Weather]

    def log_message(self, *_: object) -> None: ...

    def handle_any(self) -> None:
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self._body()
        fault = self.weather.next()
        if fault == "refused":
            self._hang_up()
        elif fault in ("500", "503"):
            self._answer(int(fault), {}, b"")
        elif self.weather.refusal:
            self._answer(*_plain(self.weather.refusal))
        else:
            self._forward(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = handle_any  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _forward(self, body: bytes, fault: str) -> None:
        to = http.client.HTTPConnection(self.target, timeout=60)
        headers = {
            k: v for k, v in self.headers.items() if k.lower() not in (*HOP_BY_HOP, "expect")
        }
        to.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
        answer = to.getresponse()
        content = answer.read()
        to.close()
        if fault == "lost answer":
            self._hang_up()
            return
        sent = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
        if self.command == "HEAD":
            sent |= {"Content-Length": answer.getheader("Content-Length", "0")}
        self._answer(answer.status, sent, content, cut=fault == "cut body")

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for key, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


def _plain(refusal: tuple[int, bytes]) -> tuple[int, dict[str, str], bytes]:
    return refusal[0], {"Content-Type": "application/xml"}, refusal[1]


@contextlib.contextmanager
def before(url: str, weather: Weather) -> Iterator[str]:
    """Serve what a server at `url` serves, as the weather allows; give the proxy's URL."""
    handler = type("Handler", (_Handler,), {"target": urlsplit(url).netloc, "weather": weather})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
