"""What a job prints, against a fake cluster."""

import pytest

from orchestrator.events import read
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.statements import EVENTS


def test_logs_show_events_as_readable_lines(orch: Orch, submitted: Submitted) -> None:
    submitted(*EVENTS[:4])
    lines = orch("logs", "last").stdout.splitlines()
    assert lines[0] == "Running entrypoint"
    assert lines[-2:] == ["epoch 1: top1 8bit 91.0", "warning: one broken file"]
    assert "::orch" not in "".join(lines)


def test_raw_events_are_one_json_document_a_line(orch: Orch, submitted: Submitted) -> None:
    submitted(*EVENTS)
    lines = orch("logs", "last", "--events").stdout.splitlines()
    assert [read(line) for line in lines] == EVENTS


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
    ("state", "driver", "code"),
    [("SUCCEEDED", 0, 0), ("FAILED", 1, 1), ("FAILED", 3, 3), ("STOPPED", None, 1)],
)
def test_following_a_log_ends_with_the_code_of_the_job(
    orch: Orch, submitted: Submitted, state: str, driver: int | None, code: int
) -> None:
    submitted(statuses=["RUNNING", state], exit_code=driver)
    assert orch("logs", "last", "-f").exit_code == code
    assert orch("logs", "last", "-f").exit_code == code
    assert orch("logs", "last").exit_code == 0
