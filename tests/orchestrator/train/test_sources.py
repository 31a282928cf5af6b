"""A driver that waits for other runs, on a fake cluster that Ray's own client asks."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ray.exceptions import RayError
from ray.job_submission import JobDetails, JobSubmissionClient

from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of
from orchestrator.store.disk import DiskFolder
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import RunFolder
from orchestrator.train import sources
from tests.fake_cluster import FakeCluster

Wait = Callable[[str], list[str]]
JOB = {"type": "SUBMISSION", "submission_id": "first-1", "status": "RUNNING", "entrypoint": ""}


@pytest.fixture
def wait(
    cluster: FakeCluster,
    tiny_job: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Wait:
    """Return what a run that starts from some weights says while it waits."""
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.url)
    monkeypatch.setattr(sources, "PAUSE_SECONDS", 0.01)
    own = RunFolder(tmp_path / "runs" / "own-1")
    own.make()

    def said(given: str) -> list[str]:
        sources.wait_for_sources(tiny_job("start.from=checkpoint", f"start.weights={given}"), own)
        waited = facts_of(own).awaiting
        return [waited.message] if waited else []

    return said


def add_source(cluster: FakeCluster, tmp_path: Path, statuses: list[str]) -> str:
    """Add a job to the cluster, and return the folder of its run, which is not there yet."""
    folder = str(tmp_path / "runs" / "first-1")
    job = cluster.add("first-1")
    job.body["metadata"] = {"run_dir": folder}
    job.statuses = statuses
    return folder


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "STOPPED"])
def test_a_run_waits_until_the_job_of_the_one_it_starts_from_has_ended(
    cluster: FakeCluster, tmp_path: Path, wait: Wait, end: str
) -> None:
    folder = add_source(cluster, tmp_path, ["PENDING", "RUNNING", "RUNNING", end])
    assert wait(folder) == ["Waiting for first-1, whose weights it needs."]
    assert cluster.jobs["first-1"].statuses == [end]


def test_results_end_the_waiting_though_the_job_still_closes_its_record(
    cluster: FakeCluster, tmp_path: Path, wait: Wait
) -> None:
    folder = add_source(cluster, tmp_path, ["RUNNING"])
    RunFolder(folder).make()
    RunFolder(folder).result.write("{}")
    assert wait(folder) == []
    assert cluster.asked == []


def test_nothing_is_asked_for_a_file_and_nothing_awaited_that_no_job_makes(
    cluster: FakeCluster, tmp_path: Path, wait: Wait
) -> None:
    (tmp_path / "float.pt").touch()
    assert wait(str(tmp_path / "float.pt")) == []
    assert cluster.asked == []
    assert wait(str(tmp_path / "runs" / "gone-1")) == []


def test_a_cluster_that_is_silent_for_a_moment_does_not_end_the_waiting(
    cluster: FakeCluster, tmp_path: Path, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add_source(cluster, tmp_path, ["RUNNING", "SUCCEEDED"])
    naps: list[float] = []
    cluster.failures.append(500)

    def nap(seconds: float) -> None:
        naps.append(seconds)
        cluster.failures[:] = [500] * (len(naps) == 2)

    monkeypatch.setattr(sources.time, "sleep", nap)
    assert wait(folder)
    assert len(naps) == 3


@pytest.mark.parametrize("error", [RayError("GCS is away"), ValueError("no address"), OSError()])
def test_no_answer_of_any_kind_is_taken_for_an_end(
    wait: Wait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder = str(tmp_path / "runs" / "first-1")
    answers = [error, error, [JobDetails(**JOB, metadata={"run_dir": folder})], error, []]

    def list_jobs(_: object) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(JobSubmissionClient, "list_jobs", list_jobs)
    assert wait(folder)
    assert answers == []


def test_a_run_waits_while_the_bucket_of_its_source_is_away(
    cluster: FakeCluster, tmp_path: Path, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add_source(cluster, tmp_path, ["RUNNING", "RUNNING", "SUCCEEDED"])
    troubles = iter([True, True, False])
    kept = DiskFolder.exists

    def exists(self: DiskFolder, name: str) -> bool:
        if name == "first-1" and next(troubles, False):
            raise StorageTrouble("Connection was closed")
        return kept(self, name)

    monkeypatch.setattr(DiskFolder, "exists", exists)
    assert wait(folder)
    assert cluster.jobs["first-1"].statuses == ["SUCCEEDED"]
