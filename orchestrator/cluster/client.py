"""Ray's jobs over plain HTTP: submit, get, list, logs, stop, delete, packages, capacity.

The routes are those of Ray's REST API, version 4 (Ray 2.60).
"""

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.cluster.capacity import Capacity, Node
from orchestrator.cluster.dashboard import CONNECT_SECONDS, Dashboard, NotThere, TokenRefused
from orchestrator.cluster.token import Token
from orchestrator.errors import AlreadySubmitted, MaybeSubmitted, Unreachable
from orchestrator.state import State

UPLOAD_SECONDS = 120.0
ALL_LINES = -1
SUBMIT_SECONDS = 60.0
"""The first submission to a fresh cluster waits for its job agent."""
TOKEN = "submission"
"""The key in a job's metadata of what tells a submission from any other one with its id."""


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

    def is_of(self, metadata: Mapping[str, str]) -> bool:
        """Return whether this job is from the submission with such metadata."""
        return self.metadata.get(TOKEN) == metadata.get(TOKEN)


class ClusterClient:
    """Talk to the dashboard of one Ray cluster. Every method raises Unreachable when it is away."""

    def __init__(
        self, url: str, *, timeout: float = CONNECT_SECONDS, token: Token | None = None
    ) -> None:
        """token: where this cluster's is; by default where Ray's own clients look."""
        self._dashboard = Dashboard(url, timeout, token or Token())
        self.url = self._dashboard.url

    def version(self) -> dict[str, str]:
        """Return the cluster's `ray_version` and `session_name`, among others."""
        found = self._dashboard.json("GET", "/api/version")
        with self._dashboard.reading():
            return {**found, "ray_version": found["ray_version"]}

    def python_version(self) -> str:
        """Return the version of the cluster's Python; empty when it does not say."""
        found = self._dashboard.json("GET", "/api/v0/cluster_metadata", missing_ok=True)
        with self._dashboard.reading():
            return str((found or {"data": {}})["data"].get("pythonVersion") or "")

    def capacity(self) -> Capacity:
        """Return what the living nodes have, and whether the cluster adds nodes by itself."""
        found = self._dashboard.json("GET", "/api/v0/nodes?limit=10000&detail=false")
        with self._dashboard.reading():
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
        self._dashboard.send("PUT", path, data, "application/zip", UPLOAD_SECONDS)
        return f"gcs://{name}"

    def submit(
        self,
        submission_id: str,
        entrypoint: str,
        runtime_env: Mapping[str, object],
        metadata: dict[str, str],
    ) -> None:
        """Start a job. The entrypoint asks for no CPU, so that it never waits for one.

        An answer that was lost does not matter if the cluster answers again: the job is there, with
        the TOKEN of its metadata. Raises MaybeSubmitted when it does not, AlreadySubmitted when
        another submission has this id; after any other error the job is not there.
        """
        body = {
            "submission_id": submission_id,
            "entrypoint": entrypoint,
            "entrypoint_num_cpus": 0,
            "runtime_env": runtime_env,
            "metadata": metadata,
        }
        try:
            self._dashboard.json("POST", "/api/jobs/", body, timeout=SUBMIT_SECONDS)
        except TokenRefused:
            raise
        except Unreachable:
            run = metadata.get("run", submission_id)
            found = self.job_if_any(submission_id, run)
            if found is None:
                raise
            if not found.is_of(metadata):
                raise AlreadySubmitted(
                    f"{run} is already {found.state}, as {submission_id}, which was not submitted "
                    f"by this command. `orch status {run}` says how it goes."
                ) from None

    def job_if_any(self, submission_id: str, run: str) -> JobInfo | None:
        """Return what `job` does, of a submission of `run` whose answer did not arrive.

        Raises MaybeSubmitted when the cluster does not answer this either.
        """
        try:
            return self.job(submission_id)
        except Unreachable as error:
            raise MaybeSubmitted(
                f"{run} may have been submitted, as {submission_id}: the cluster went away before "
                f"it said so. `orch status {run}` tells when the cluster is back. {error}"
            ) from error

    def job(self, submission_id: str, *, timeout: float | None = None) -> JobInfo | None:
        """Return what the cluster knows of a job, or None when it does not know it.

        timeout: in seconds, for another one than this client's.
        """
        path = f"/api/jobs/{submission_id}"
        found = self._dashboard.json("GET", path, timeout=timeout, missing_ok=True)
        with self._dashboard.reading():
            return _job_info(found) if found else None

    def jobs(self) -> list[JobInfo]:
        """Return all submitted jobs. Drivers that were not submitted as jobs are left out."""
        found = self._dashboard.json("GET", "/api/jobs/")
        with self._dashboard.reading():
            return [_job_info(job) for job in found if job.get("submission_id")]

    def logs(self, submission_id: str) -> str:
        """Return the whole log of a job so far; empty when the job is unknown."""
        found = self._dashboard.json("GET", f"/api/jobs/{submission_id}/logs", missing_ok=True)
        with self._dashboard.reading():
            return str(found["logs"]) if found else ""

    def log_file(self, node_id: str, name: str, last_lines: int = ALL_LINES) -> str:
        """Return the end of a file among Ray's logs on a node; empty when it is not there."""
        asked = {"node_id": node_id, "filename": name, "lines": last_lines}
        path = f"/api/v0/logs/file?{urllib.parse.urlencode(asked)}"
        try:
            return self._dashboard.send("GET", path).decode(errors="replace")
        except NotThere:
            return ""

    def log_names(self, node_id: str, pattern: str) -> list[str]:
        """Return the names of the files among Ray's logs on a node that match a pattern with *."""
        asked = urllib.parse.urlencode({"node_id": node_id, "glob": pattern})
        found = self._dashboard.json("GET", f"/api/v0/logs?{asked}")
        with self._dashboard.reading():
            return sorted(name for names in found["data"]["result"].values() for name in names)

    def node_addresses(self) -> dict[str, str]:
        """Return the address of each living node by its id."""
        found = self._dashboard.json("GET", "/api/v0/nodes?limit=10000&detail=false")
        with self._dashboard.reading():
            return {
                node["node_id"]: node["node_ip"]
                for node in found["data"]["result"]["result"]
                if node["state"] == "ALIVE"
            }

    def stop(self, submission_id: str) -> None:
        """Ask a job to end (SIGTERM, then SIGKILL after a grace period). Returns at once."""
        self._dashboard.json("POST", f"/api/jobs/{submission_id}/stop", missing_ok=True)

    def waits_for_room(self, job: JobInfo) -> bool:
        """Return whether a job's workers have asked for room that the cluster does not have."""
        found = self._dashboard.json("GET", "/api/v0/placement_groups?limit=10000")
        with self._dashboard.reading():
            return any(
                group["creator_job_id"] == job.ray_job
                and group["state"] in ("PENDING", "RESCHEDULING")
                for group in found["data"]["result"]["result"]
            )

    def _adds_nodes(self) -> bool:
        """Return whether an autoscaler could add nodes that are not there yet."""
        answer = self._dashboard.json("GET", "/api/cluster_status")
        with self._dashboard.reading():
            found = answer.get("data", {})
            text = found.get("autoscalingStatus") or ""
            report = (found.get("clusterStatus") or {}).get("autoscalerReport") or {}
            fixed = report.get("legacy") and not text.partition("Worker node types:")[2].strip()
            return bool(text) and not fixed


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
