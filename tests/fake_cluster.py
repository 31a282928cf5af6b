"""A stand-in for a Ray dashboard: the routes that orch uses, answered from lists."""

import fnmatch
import json
import platform
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl

NODE = {
    "node_id": "node-of-the-driver",
    "node_ip": "127.0.0.1",
    "is_head_node": True,
    "state": "ALIVE",
    "resources_total": {"CPU": 4.0},
}


@dataclass
class FakeJob:
    """One job. Each question after `statuses` or `logs` are used up gets their last entry."""

    body: dict[str, Any]
    statuses: list[str] = field(default_factory=lambda: ["RUNNING"])
    logs: list[str] = field(default_factory=lambda: [""])
    exit_code: int | None = None
    ended: int | None = None
    events: list[str] = field(default_factory=lambda: [""])
    """What the file beside the log holds, at each question."""
    facts: str = ""
    """What the file of the facts holds; there is none where it is empty."""

    def as_ray_tells(self) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {
            "type": "SUBMISSION",
            "submission_id": self.body["submission_id"],
            "entrypoint": self.body.get("entrypoint", ""),
            "status": status,
            "message": f"the job is {status}",
            "driver_exit_code": self.exit_code,
            "driver_node_id": "node-of-the-driver",
            "job_id": f"ray-job-of-{self.body['submission_id']}",
            "start_time": 1_000_000,
            "end_time": self.ended,
            "metadata": self.body.get("metadata", {}),
        }

    def events_file(self, last_lines: int) -> str:
        text = self.events.pop(0) if len(self.events) > 1 else self.events[0]
        lines = text.splitlines(keepends=True)
        return "".join(lines if last_lines < 0 else lines[-last_lines:])

    def log(self) -> str:
        return self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]


class FakeCluster:
    """Serves on a free port while the `with` block runs."""

    def __init__(self) -> None:
        self.jobs: dict[str, FakeJob] = {}
        self.packages: dict[str, bytes] = {}
        self.nodes: list[dict[str, Any]] = [NODE]
        self.autoscaling: dict[str, Any] = {"autoscalingStatus": None, "clusterStatus": None}
        self.placement_groups: list[dict[str, str]] = []
        self.log_files: dict[tuple[str, str], str] = {}
        """Other files among Ray's logs: by node and name."""
        self.silent_nodes: set[str] = set()
        self.token: str | None = None
        self.ray = "2.60.0"
        self.python: str | None = platform.python_version()
        self.failures: list[int] = []
        """HTTP codes of the next answers, whatever the request."""
        self.new_job: dict[str, Any] = {}
        """What the next submitted job will be like (statuses, logs, exit_code)."""
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, submission_id: str, **facts: Any) -> FakeJob:
        metadata = facts.pop("metadata", {})
        job = FakeJob({"submission_id": submission_id, "metadata": metadata}, **facts)
        self.jobs[submission_id] = job
        return job

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return the HTTP code and the JSON value that Ray would answer with."""
        self.asked.append(f"{method} {path}")
        if self.failures:
            return self.failures.pop(0), "Traceback ...\nRuntimeError: out of order"
        match [method, *path.partition("?")[0].strip("/").split("/")]:
            case ["GET", "api", "version"]:
                return 200, {"version": "4", "ray_version": self.ray, "session_name": "session_1"}
            case ["GET", "api", "v0", *what]:
                return self._state(what, dict(parse_qsl(path.partition("?")[2])))
            case ["GET", "api", "cluster_status"]:
                return 200, {"data": self.autoscaling}
            case ["PUT", "api", "packages", "gcs", name]:
                self.packages[name] = body
                return 200, ""
            case [_, "api", "jobs", *rest]:
                return self._job(method, rest, body)
        return 404, "not found"

    def _state(self, what: list[str], asked: dict[str, str]) -> tuple[int, Any]:
        match what:
            case ["nodes"]:
                return 200, {"data": {"result": {"result": self.nodes}}}
            case ["placement_groups"]:
                return 200, {"data": {"result": {"result": self.placement_groups}}}
            case ["cluster_metadata"] if self.python:
                return 200, {"data": {"rayVersion": self.ray, "pythonVersion": self.python}}
            case ["logs", *_] if asked["node_id"] in self.silent_nodes:
                return 500, "no answer from the agent"
            case ["logs"]:
                return 200, self._log_names(asked)
            case ["logs", "file"]:
                return self._log_file(asked)
        return 404, "not found"

    def _log_names(self, asked: dict[str, str]) -> dict[str, Any]:
        names = [name for node, name in self.log_files if node == asked["node_id"]]
        return {"data": {"result": {"internal": fnmatch.filter(names, asked["glob"])}}}

    def _log_file(self, asked: dict[str, str]) -> tuple[int, Any]:
        if other := self.log_files.get((asked["node_id"], asked["filename"])):
            return 200, other.encode()
        assert asked["node_id"] == "node-of-the-driver"
        found = re.fullmatch(r"orch-(events|facts)-(.+)\.jsonl?", asked["filename"])
        job = self.jobs.get(found[2]) if found else None
        if found is None or job is None or (found[1] == "facts" and not job.facts):
            return 500, f"Traceback ...\nA file is not found at: /logs/{asked['filename']}"
        if found[1] == "facts":
            return 200, job.facts.encode()
        return 200, job.events_file(int(asked["lines"])).encode()

    def _job(self, method: str, rest: list[str], body: bytes) -> tuple[int, Any]:
        if method == "POST" and not rest:
            job = FakeJob(json.loads(body), **self.new_job)
            if job.body["submission_id"] in self.jobs:
                known = f"Job with submission_id {job.body['submission_id']} already exists."
                return 400, f"Traceback ...\nValueError: {known}"
            self.jobs[job.body["submission_id"]] = job
            return 200, {"submission_id": job.body["submission_id"]}
        if not rest:
            driver = {
                "type": "DRIVER",
                "entrypoint": "",
                "submission_id": None,
                "status": "SUCCEEDED",
            }
            return 200, [*(job.as_ray_tells() for job in self.jobs.values()), driver]
        if rest[0] not in self.jobs:
            return 404, f"Job {rest[0]} does not exist"
        found = self.jobs[rest[0]]
        if rest[1:] == ["logs"]:
            return 200, {"logs": found.log()}
        if rest[1:] == ["stop"]:
            found.statuses = ["STOPPED"]
            return 200, {"stopped": True}
        return 200, found.as_ray_tells()


def _handler(cluster: FakeCluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version: ClassVar[str] = "HTTP/1.0"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            given = self.headers.get("Authorization")
            if cluster.token and given != f"Bearer {cluster.token}":
                code, value = (403 if given else 401), "no"
            else:
                code, value = cluster.answer(self.command, self.path, body)
            if not isinstance(value, bytes):
                value = (value if code != 200 else json.dumps(value)).encode()
            data = value
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
