"""Listing, asking, waiting and stopping, against a fake cluster."""

import json
from collections.abc import Callable

import pytest

from orchestrator.cluster import registry
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import EVENTS, Orch, log_of

Submitted = Callable[..., str]


@pytest.fixture
def submitted(orch: Orch, cluster: FakeCluster) -> Submitted:
    """Submit the tiny job to the fake cluster; return the run's id."""

    def submit(*events: dict[str, object], name: str = "tiny", **facts: object) -> str:
        cluster.new_job = {"statuses": ["RUNNING"], "logs": [log_of(*events)], **facts}
        orch("submit", "tiny.yaml", "--address", cluster.url, "--detach", "--name", name)
        return registry.find(name).run

    return submit


def test_an_empty_list_says_how_to_begin(orch: Orch) -> None:
    done = orch("list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "orch submit FILE" in done.stderr


def test_the_list_shows_the_latest_first(orch: Orch, submitted: Submitted) -> None:
    first, second = submitted(name="one"), submitted(name="two", statuses=["FAILED"])
    lines = orch("list").stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [[second, "FAILED"], [first, "RUNNING"]]


def test_the_list_in_json_has_one_entry_a_run(orch: Orch, submitted: Submitted) -> None:
    run = submitted()
    (told,) = json.loads(orch("list", "--json").stdout)
    assert (told["run"], told["state"], told["name"]) == (run, "RUNNING", "tiny")


def test_the_list_of_a_cluster_shows_the_jobs_of_others(orch: Orch, cluster: FakeCluster) -> None:
    cluster.add("theirs-1", metadata={"orch": "0", "run": "theirs-1", "name": "theirs"})
    assert "theirs-1" in orch("list", "--address", cluster.url).stdout
    assert "theirs-1" not in orch("list").stdout


def test_the_status_has_the_state_first_then_where_it_stands(
    orch: Orch, submitted: Submitted
) -> None:
    run = submitted(*EVENTS[:3])
    lines = orch("status", "tiny").stdout.splitlines()
    assert lines[0] == f"RUNNING  {run}"
    assert lines[1].startswith("epoch 1/2  step 3/9")
    assert lines[2] == "epoch 1: top1 8bit 91.0"
    assert any(line.startswith("MLflow:") for line in lines)
    assert any(line.startswith("attempt 1:") for line in lines)


@pytest.mark.parametrize(
    ("events", "facts", "line"),
    [
        (EVENTS, {"statuses": ["SUCCEEDED"]}, "| 8 | 91.00 |"),
        (
            [{"event": "failed", "message": "no data", "exit_code": 2}],
            {"statuses": ["FAILED"], "exit_code": 2},
            "FAILED: no data",
        ),
        ([{"event": "stopped", "message": "saved"}], {"statuses": ["STOPPED"]}, "STOPPED: saved"),
    ],
)
def test_the_status_of_an_ended_run_tells_its_end_once(
    orch: Orch,
    submitted: Submitted,
    events: list[dict[str, object]],
    facts: dict[str, object],
    line: str,
) -> None:
    submitted(*events, **facts)
    for _ in range(2):
        assert orch("status", "last").stdout.splitlines().count(line) == 1


def test_the_status_of_nobody_names_what_comes_near(orch: Orch, submitted: Submitted) -> None:
    submitted(name="digits")
    done = orch("status", "digitz")
    assert done.exit_code == 2
    assert "Did you mean digits" in done.stderr


def test_logs_show_events_as_readable_lines(orch: Orch, submitted: Submitted) -> None:
    submitted(*EVENTS[:4])
    lines = orch("logs", "last").stdout.splitlines()
    assert lines[0] == "Running entrypoint"
    assert lines[-2:] == ["epoch 1: top1 8bit 91.0", "warning: one broken file"]
    assert "::orch" not in "".join(lines)


def test_raw_events_are_one_json_document_a_line(orch: Orch, submitted: Submitted) -> None:
    submitted(*EVENTS)
    lines = orch("logs", "last", "--events").stdout.splitlines()
    assert [json.loads(line) for line in lines] == EVENTS


def test_followed_logs_end_with_the_job(
    orch: Orch, cluster: FakeCluster, submitted: Submitted
) -> None:
    run = submitted()
    cluster.jobs[run].statuses = ["RUNNING", "RUNNING", "SUCCEEDED"]
    cluster.jobs[run].logs = ["one\n", "one\ntwo\n", "one\ntwo\nthree"]
    done = orch("logs", run, "-f")
    assert done.stdout.splitlines() == ["one", "two", "three"]
    assert done.stderr.splitlines()[-1] == f"SUCCEEDED  {run}"


@pytest.mark.parametrize(
    ("state", "driver", "code"), [("SUCCEEDED", 0, 0), ("FAILED", 3, 3), ("STOPPED", None, 1)]
)
def test_waiting_ends_with_the_code_of_the_job(
    orch: Orch, submitted: Submitted, state: str, driver: int | None, code: int
) -> None:
    submitted(statuses=["RUNNING", state], exit_code=driver)
    done = orch("wait", "last", "--json")
    assert done.exit_code == code
    assert json.loads(done.stdout)["state"] == state


def test_waiting_may_be_given_up(orch: Orch, submitted: Submitted) -> None:
    submitted()
    done = orch("wait", "last", "--timeout", "0")
    assert done.exit_code == 2
    assert "is still RUNNING" in done.stderr


def test_a_stopped_job_is_told_how_to_go_on(orch: Orch, submitted: Submitted) -> None:
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
    assert json.loads(done.stdout)["state"] == "SUCCEEDED"
    assert f"POST /api/jobs/{run}/stop" not in cluster.asked


def test_down_without_a_local_cluster_says_so(orch: Orch) -> None:
    done = orch("down")
    assert (done.exit_code, done.stdout) == (0, "No local Ray cluster is running.\n")
