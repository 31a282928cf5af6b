"""Ray's jobs over plain HTTP: submit, get, list, logs, stop, delete, packages, capacity.

Only urllib: importing Ray costs half a second and a second more in its own client. The routes are
those of Ray's REST API, version 4 (Ray 2.60).
"""

import contextlib
import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.cluster.capacity import Capacity, Node
from orchestrator.errors import Unreachable, UsageError
from orchestrator.state import State

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CONNECT_SECONDS = 10.0
"""How long the answer to an ordinary question may take."""
REACH_SECONDS = 4.0
"""How long connecting may take; a machine that is off never answers."""
NO_FILE = "A file is not found at"
"""What Ray answers, with code 500, for a log that does not exist yet."""
UPLOAD_SECONDS = 120.0
ALL_LINES = -1
SUBMIT_SECONDS = 60.0
"""The first submission to a fresh cluster waits for its job agent."""


@dataclass(frozen=True)
class JobInfo:
    """What a cluster knows of one submitted job. Times are seconds since 1970.

    driver_node: where its first process runs. ray_job: Ray's own name of it, once that runs.
    """

    submission_id: str
    state: State
    message: str = ""
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None
    driver_node: str | None = None
    ray_job: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class ClusterClient:
    """Talk to the dashboard of one Ray cluster. Every method raises Unreachable when it is away."""

    def __init__(
        self, url: str, *, timeout: float = CONNECT_SECONDS, token_file: Path | None = None
    ) -> None:
        """token_file: where this cluster's token is; by default where Ray's own clients look."""
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._token_file = token_file
        host = urllib.parse.urlsplit(self.url).hostname or ""
        proxies = urllib.request.ProxyHandler({} if host in LOOPBACK else None)
        self._opener = urllib.request.build_opener(proxies, _Http, _Https)

    def version(self) -> dict[str, str]:
        """Return the cluster's `ray_version` and `session_name`, among others."""
        found = self._json("GET", "/api/version")
        with self._reading():
            return {**found, "ray_version": found["ray_version"]}

    def capacity(self) -> Capacity:
        """Return what the living nodes have, and whether the cluster adds nodes by itself."""
        found = self._json("GET", "/api/v0/nodes?limit=10000&detail=false")
        with self._reading():
            nodes = tuple(
                Node(
                    node["node_ip"],
                    node["resources_total"].get("CPU", 0.0),
                    node["resources_total"].get("GPU", 0.0),
                    bool(node["is_head_node"]),
                )
                for node in found["data"]["result"]["result"]
                if node["state"] == "ALIVE"
            )
        return Capacity(nodes, self._adds_nodes())

    def upload(self, name: str, data: bytes) -> str:
        """Store a zip on the cluster and return its URI. Raises UsageError if it is too large."""
        path = f"/api/packages/gcs/{name}"
        self._send("PUT", path, data, "application/zip", UPLOAD_SECONDS)
        return f"gcs://{name}"

    def submit(
        self,
        submission_id: str,
        entrypoint: str,
        runtime_env: Mapping[str, object],
        metadata: dict[str, str],
    ) -> None:
        """Start a job. The entrypoint asks for no CPU, so that it never waits for one."""
        body = {
            "submission_id": submission_id,
            "entrypoint": entrypoint,
            "entrypoint_num_cpus": 0,
            "runtime_env": runtime_env,
            "metadata": metadata,
        }
        try:
            self._json("POST", "/api/jobs/", body, timeout=SUBMIT_SECONDS)
        except Unreachable:
            if self.job(submission_id) is None:
                raise

    def job(self, submission_id: str) -> JobInfo | None:
        """Return what the cluster knows of a job, or None when it does not know it."""
        found = self._json("GET", f"/api/jobs/{submission_id}", missing_ok=True)
        with self._reading():
            return _job_info(found) if found else None

    def jobs(self) -> list[JobInfo]:
        """Return all submitted jobs. Drivers that were not submitted as jobs are left out."""
        found = self._json("GET", "/api/jobs/")
        with self._reading():
            return [_job_info(job) for job in found if job.get("submission_id")]

    def logs(self, submission_id: str) -> str:
        """Return the whole log of a job so far; empty when the job is unknown."""
        found = self._json("GET", f"/api/jobs/{submission_id}/logs", missing_ok=True)
        with self._reading():
            return str(found["logs"]) if found else ""

    def log_file(self, node_id: str, name: str, last_lines: int = ALL_LINES) -> str:
        """Return the end of a file among Ray's logs on a node; empty when it is not there."""
        asked = {"node_id": node_id, "filename": name, "lines": last_lines}
        path = f"/api/v0/logs/file?{urllib.parse.urlencode(asked)}"
        try:
            return self._send("GET", path, None, "", self._timeout).decode(errors="replace")
        except _NotThere:
            return ""

    def stop(self, submission_id: str) -> None:
        """Ask a job to end (SIGTERM, then SIGKILL after a grace period). Returns at once."""
        self._json("POST", f"/api/jobs/{submission_id}/stop", missing_ok=True)

    def waits_for_room(self, job: JobInfo) -> bool:
        """Return whether a job's workers have asked for room that the cluster does not have."""
        found = self._json("GET", "/api/v0/placement_groups?limit=10000")
        with self._reading():
            return any(
                group["creator_job_id"] == job.ray_job
                and group["state"] in ("PENDING", "RESCHEDULING")
                for group in found["data"]["result"]["result"]
            )

    def _adds_nodes(self) -> bool:
        """Return whether an autoscaler could add nodes that are not there yet."""
        answer = self._json("GET", "/api/cluster_status")
        with self._reading():
            found = answer.get("data", {})
            text = found.get("autoscalingStatus") or ""
            report = (found.get("clusterStatus") or {}).get("autoscalerReport") or {}
            fixed = report.get("legacy") and not text.partition("Worker node types:")[2].strip()
            return bool(text) and not fixed

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        missing_ok: bool = False,
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        try:
            text = self._send(method, path, data, "application/json", timeout or self._timeout)
        except _NotThere:
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

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
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

    def _send(self, method: str, path: str, data: bytes | None, kind: str, timeout: float) -> bytes:
        headers = {"Content-Type": kind, "User-Agent": "orch"}
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"The cluster at {self.url} does not answer ({_reason(error)}). Is the address "
                "that of its dashboard (port 8265 by default)? `orch doctor` shows what was tried."
            ) from error

    def _token(self) -> str | None:
        return _read_token(self._token_file) if self._token_file else auth_token()

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        """Return what an HTTP error means for the person who asked."""
        match error.code:
            case 401:
                return Unreachable(
                    f"The cluster at {self.url} asks for a token. Set RAY_AUTH_TOKEN, or "
                    "RAY_AUTH_TOKEN_PATH to the file that holds it."
                )
            case 403:
                return WrongToken(
                    f"The cluster at {self.url} does not accept the token of "
                    f"{self._token_file or _token_source()}. "
                    "Ask whoever runs the cluster for the right one."
                )
            case 404:
                return _NotThere()
            case 413:
                return UsageError("The code to ship is larger than the cluster accepts (100 MiB).")
            case _:
                lines = error.read().decode(errors="replace").strip().splitlines()
                reason = lines[-1] if lines else error.reason
                if NO_FILE in reason:
                    return _NotThere()
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


class WrongToken(Unreachable):
    """A cluster answers, but does not accept the token."""


class _NotThere(Exception):
    """HTTP 404."""


def auth_token() -> str | None:
    """Return the token Ray's own clients would use, or None when there is none or it is off."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    return _read_token(_token_file())


def _read_token(file: Path) -> str | None:
    try:
        return file.read_text().strip() or None
    except OSError:
        return None


def _token_file() -> Path:
    given = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    return Path(os.path.expanduser(given))  # noqa: PTH111 - Path's raises where there is no home


def _token_source() -> str:
    return "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(_token_file())


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None)
    if isinstance(inner, TimeoutError) or isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(inner, "strerror", None) or inner or error) or type(error).__name__


def _job_info(found: Any) -> JobInfo:
    return JobInfo(
        submission_id=found["submission_id"],
        state=State(found["status"]),
        message=found.get("message") or "",
        exit_code=found.get("driver_exit_code"),
        started=_seconds(found.get("start_time")),
        ended=_seconds(found.get("end_time")),
        driver_node=found.get("driver_node_id"),
        ray_job=found.get("job_id"),
        metadata=found.get("metadata") or {},
    )


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None
