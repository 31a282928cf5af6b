"""Stopping jobs and the local cluster, against a fake cluster."""

import json
import sys
import time

import pytest

from orchestrator.cluster import local
from orchestrator.runs.registry import Record
from tests.fake_cluster import FakeCluster
from tests.orchestrator import journals
from tests.orchestrator.cli.conftest import Orch, Submitted
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


def test_down_ends_a_head_that_does_not_answer_any_more(
    orch: Orch, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = local.Head("http://127.0.0.1:1", "/nowhere", sys.prefix, 1, "session_1")
    monkeypatch.setattr(local, "running", lambda: silent)
    monkeypatch.setattr(local, "stop_all", lambda: 1)
    done = orch("down")
    assert done.exit_code == 0, done.output
    assert "stopped anyway" in done.stderr
    assert done.stdout == "The local Ray cluster was stopped.\n"


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
