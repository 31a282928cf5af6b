"""Requests to the dashboard of a Ray cluster, and what its refusals mean.

Only urllib: importing Ray costs half a second and a second more in its own client.
"""

import contextlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.cluster.token import Token
from orchestrator.errors import Unreachable, UsageError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CONNECT_SECONDS = 10.0
"""How long the answer to an ordinary question may take."""
REACH_SECONDS = 4.0
"""How long connecting may take; a machine that is off never answers."""
NO_FILE = "A file is not found at"
"""What Ray answers, with code 500, for a log that does not exist yet."""


class NotThere(Exception):
    """The dashboard answers, and has nothing of that name."""


class TokenRefused(Unreachable):
    """A cluster answers, but asks for a token, or for another one."""


class WrongToken(TokenRefused):
    """A cluster does not accept the token."""


class Dashboard:
    """The dashboard at a URL. What is asked of it raises Unreachable when it is away."""

    def __init__(self, url: str, timeout: float, token: Token) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._token = token
        host = urllib.parse.urlsplit(self.url).hostname or ""
        proxies = urllib.request.ProxyHandler({} if host in LOOPBACK else None)
        self._opener = urllib.request.build_opener(proxies, _Http, _Https)

    def json(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        missing_ok: bool = False,
    ) -> Any:
        """Return the JSON value of an answer; None for what is not there, if that is ok."""
        data = None if body is None else json.dumps(body).encode()
        try:
            text = self.send(method, path, data, timeout=timeout)
        except NotThere:
            if missing_ok:
                return None
            raise Unreachable(
                f"Something answers at {self.url}, but not {path}: it is not a Ray dashboard, or "
                "one of a Ray that is too old (orch needs 2.60)."
            ) from None
        try:
            return json.loads(text)
        except ValueError:
            raise self._no_dashboard() from None

    def send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        kind: str = "application/json",
        timeout: float | None = None,
    ) -> bytes:
        """Return an answer's content. Raises NotThere for what the dashboard does not have."""
        headers = {"Content-Type": kind, "User-Agent": "orch"}
        if token := self._token.read():
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=timeout or self._timeout) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise Unreachable(
                f"The cluster at {self.url} does not answer ({_reason(error)}). Is the address "
                "that of its dashboard (port 8265 by default)? `orch doctor` shows what was tried."
            ) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """A missing field means that this is no Ray dashboard, or one of another version."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._no_dashboard() from error

    def _no_dashboard(self) -> Unreachable:
        return Unreachable(
            f"Something answers at {self.url}, but it is not a Ray dashboard, or one of another "
            "version of Ray (orch knows 2.60)."
        )

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        """Return what an HTTP error means for the person who asked."""
        match error.code:
            case 401:
                return TokenRefused(
                    f"The cluster at {self.url} asks for a token. {self._token.advice}"
                )
            case 403:
                return WrongToken(
                    f"The cluster at {self.url} does not accept the token of {self._token.place}. "
                    "Ask whoever runs the cluster for the right one."
                )
            case 404:
                return NotThere()
            case 413:
                return UsageError("The code to ship is larger than the cluster accepts (100 MiB).")
            case _:
                lines = error.read().decode(errors="replace").strip().splitlines()
                reason = lines[-1] if lines else error.reason
                if NO_FILE in reason:
                    return NotThere()
                return Unreachable(f"The cluster at {self.url} answers {error.code}: {reason}")


class _Connection(http.client.HTTPConnection):
    """A connection with a short timeout for connecting."""

    def connect(self) -> None:
        """Connect within REACH_SECONDS; what follows has the ordinary timeout."""
        patience, self.timeout = self.timeout, min(self.timeout or REACH_SECONDS, REACH_SECONDS)
        super().connect()
        self.timeout = patience
        self.sock.settimeout(patience)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    """The same over TLS."""


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, request)


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None)
    if isinstance(inner, TimeoutError) or isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(inner, "strerror", None) or inner or error) or type(error).__name__
