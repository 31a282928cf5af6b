"""What a job prints, against a fake cluster."""

from collections.abc import Callable

import pytest

from orchestrator.cluster import local
from orchestrator.events import events_file, read, to_json
from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.conftest import PretendedHead
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


@pytest.mark.parametrize("ended", [False, True])
def test_the_logs_of_a_local_cluster_that_died_are_there_also_once_it_is_cleaned_up(
    orch: Orch,
    make_record: Callable[..., Record],
    pretended_head: Callable[..., PretendedHead],
    ended: bool,
) -> None:
    head = pretended_head()
    registry.save(make_record("tiny-1", local=True))
    logs = head.logs()
    (logs / "job-driver-tiny-1.log").write_bytes(b"one\n\xfftwo\n")
    for unreadable in ("job-driver-a-1.log", "job-driver-z-1.log"):
        (logs / unreadable).mkdir()
    (logs / events_file("tiny-1")).write_text("".join(f"{to_json(one)}\n" for one in EVENTS))
    head.die()
    if ended:
        local.stop_all()
        assert not logs.exists()
    assert orch("logs", "tiny-1").stdout.splitlines() == ["one", "\ufffdtwo"]
    lines = orch("logs", "tiny-1", "--events").stdout.splitlines()
    assert [read(line) for line in lines] == EVENTS


def test_a_log_that_went_with_its_local_cluster_is_missed_aloud(
    orch: Orch, make_record: Callable[..., Record]
) -> None:
    registry.save(make_record("tiny-1", local=True))
    done = orch("logs", "tiny-1")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "The log of tiny-1 went with the local cluster that it ran on." in done.stderr
