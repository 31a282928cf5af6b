"""Stopping jobs and the local cluster, against a fake cluster."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import ending
from orchestrator.cluster import local, runtime
from orchestrator.cluster.local import Head
from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from tests.fake_cluster import FakeCluster, FakeJob
from tests.orchestrator import journals
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.conftest import PretendedHead
from tests.orchestrator.statements import EVENTS


def test_a_stopped_job_ends_with_how_to_resume_it(orch: Orch, submitted: Submitted) -> None:
    run = submitted()
    done = orch("stop", "last")
    assert done.exit_code == 0
    assert done.stdout.startswith("STOPPED: ")
    assert f"orch resume {run}" in done.stdout


def test_stopping_an_ended_job_changes_nothing(
    orch: Orch, cluster: FakeCluster, submitted: Submitted
) -> None:
    run = submitted(*EVENTS, statuses=["SUCCEEDED"])
    done = orch("stop", run, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["state"] == "SUCCEEDED"
    assert f"POST /api/jobs/{run}/stop" not in cluster.asked


def test_down_without_a_local_cluster_says_so(orch: Orch) -> None:
    done = orch("down")
    assert (done.exit_code, done.stdout) == (0, "No local Ray cluster is running.\n")


def test_stopping_an_ended_job_says_when_and_how_it_had_ended(
    orch: Orch, cluster: FakeCluster, submitted: Submitted
) -> None:
    run = submitted(*EVENTS, statuses=["SUCCEEDED"])
    cluster.jobs[run].ended = 1_500_000_000
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_500_000))
    for _ in range(2):
        done = orch("stop", run)
        assert (done.exit_code, done.stdout) == (0, "| 8bit | 91.00 |\n")
        assert done.stderr == f"{run} had already ended at {when}: SUCCEEDED.\n"


@pytest.fixture
def silent_head(cluster: FakeCluster, pretended_head: Callable[..., PretendedHead]) -> Head:
    """A local head that is alive and answers nothing of use any more, and at once."""
    cluster.failures = [503] * 1000
    return pretended_head(cluster.url).head


def test_down_asks_before_it_ends_a_living_head_that_does_not_answer(
    orch: Orch, silent_head: Head
) -> None:
    done = orch("down", input="n\n")
    assert done.exit_code != 0
    assert "Its jobs may go on" in done.output
    assert local.running() == silent_head
    done = orch("down", input="y\n")
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("The local Ray cluster was stopped.\n")
    assert "stopped anyway" in done.stderr
    assert not Path(silent_head.folder).exists()


def test_down_with_yes_ends_a_living_head_that_does_not_answer_without_a_question(
    orch: Orch, silent_head: Head
) -> None:
    done = orch("down", "--yes")
    assert (done.exit_code, done.stdout) == (0, "The local Ray cluster was stopped.\n")
    assert "stopped anyway" in done.stderr
    assert not Path(silent_head.folder).exists()


class Followed(FakeJob):
    """Another job is submitted while one waits for this one's end."""

    cluster: FakeCluster

    def as_ray_tells(self) -> dict[str, Any]:
        if self.statuses == ["STOPPED"] and "late-1" not in self.cluster.jobs:
            self.cluster.add("late-1")
        return super().as_ray_tells()


class Stubborn(FakeJob):
    """It does not end when it is asked to."""

    def as_ray_tells(self) -> dict[str, Any]:
        self.statuses = ["RUNNING"]
        return super().as_ray_tells()


@pytest.fixture
def followed(cluster: FakeCluster, pretended_head: Callable[..., PretendedHead]) -> FakeCluster:
    """The cluster of a local head with a job that another one follows."""
    pretended_head(cluster.url)
    job = Followed({"submission_id": "first-1"})
    job.cluster = cluster
    cluster.jobs["first-1"] = job
    return cluster


@pytest.mark.parametrize(("given", "answers"), [(["--yes"], ""), ([], "y\ny\n")])
def test_down_ends_also_a_job_that_was_submitted_while_it_waited_and_names_it(
    orch: Orch, followed: FakeCluster, given: list[str], answers: str
) -> None:
    done = orch("down", *given, input=answers)
    assert done.exit_code == 0, done.output
    assert "Also active: late-1." in done.output
    stops = [asked for asked in followed.asked if asked.endswith("/stop")]
    assert stops == ["POST /api/jobs/first-1/stop", "POST /api/jobs/late-1/stop"]
    assert local.running() is None


def test_down_leaves_the_head_to_a_job_that_was_submitted_meanwhile_if_told_so(
    orch: Orch, followed: FakeCluster
) -> None:
    assert orch("down", input="y\nn\n").exit_code != 0
    assert "POST /api/jobs/late-1/stop" not in followed.asked
    assert local.running() is not None


def test_down_records_the_jobs_that_ended_beside_one_that_does_not_end(
    orch: Orch,
    cluster: FakeCluster,
    pretended_head: Callable[..., PretendedHead],
    make_record: Callable[..., Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "STOP_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(ending, "STOP_GRACE_SECONDS", 0.05)
    pretended_head(cluster.url)
    cluster.jobs["stubborn-1"] = Stubborn({"submission_id": "stubborn-1"})
    for name in ("b-1", "stubborn-1"):
        registry.save(make_record(name, local=True))
    cluster.add("b-1", statuses=["FAILED"], exit_code=137)
    assert orch("down", "--yes").exit_code == 0
    assert cluster.asked.count("POST /api/jobs/stubborn-1/stop") == 1
    outcome = registry.find("b-1").last.outcome
    assert outcome is not None
    assert (outcome.state, outcome.exit_code) == ("FAILED", 137)
    assert registry.find("stubborn-1").last.outcome is None


def test_a_run_on_a_living_head_that_does_not_answer_can_neither_be_stopped_nor_resumed(
    orch: Orch, silent_head: Head, make_record: Callable[..., Record]
) -> None:
    registry.save(make_record("digits-1", local=True, address=silent_head.url))
    stopped, resumed = orch("stop", "digits"), orch("resume", "digits", "--detach")
    assert (stopped.exit_code, resumed.exit_code) == (3, 3)
    assert "digits-1 may still go on: the cluster does not answer" in resumed.stderr
    assert "had already ended" not in stopped.stderr
    assert local.running() == silent_head


def test_nothing_is_submitted_beside_a_living_head_that_does_not_answer(
    orch: Orch, silent_head: Head, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "ANSWER_SECONDS", 0.3)
    data = ("data.name=imagenet", f"data.root={pictures}", "data.crop=16", "data.resize=16")
    done = orch("submit", "tiny.yaml", "--detach", *(x for one in data for x in ("--set", one)))
    assert done.exit_code == 3, done.output
    assert "`orch down` ends it and its jobs" in done.stderr
    assert registry.load_all() == []
    assert local.running() == silent_head


def test_one_trial_of_a_search_is_stopped_and_the_search_goes_on(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    journals.write(search, journals.half_done())
    done = orch("stop", "digits.t004")
    assert done.exit_code == 0, done.output
    assert done.stderr == "t004 saves and ends at its next step; the search goes on.\n"
    assert search.search_folder.of_run("t004").is_stopped_by_name()
    assert "POST /api/jobs/digits-1/stop" not in cluster.asked


def test_a_trial_that_has_ended_is_not_stopped_again(orch: Orch, search: Record) -> None:
    journals.write(search, journals.half_done())
    done = orch("stop", "digits.t002")
    assert done.exit_code == 0
    how = "stopped early: 61 < 80, asha"
    assert done.stderr.startswith(f"digits-1.t002 had already ended: {how}.\n")
    assert done.stdout.splitlines() == [
        "STOPPED: t002 stopped early: 61 < 80, asha",
        "`orch resume digits-1.t002` trains it on, once its search has ended.",
    ]
    assert not search.search_folder.of_run("t002").is_stopped_by_name()
