"""The disk of orch's own folder is full: what is known is shown, what is not kept is said."""

import os
from collections.abc import Callable

import pytest

from orchestrator import home
from orchestrator.cluster import local
from orchestrator.runs import registry
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.conftest import PretendedHead


@pytest.mark.parametrize(
    ("command", "code"), [("wait", 3), ("status", 0), ("stop", 0), ("resume", 2)]
)
def test_how_a_run_ended_is_shown_with_one_warning(
    orch: Orch,
    submitted: Submitted,
    full_disk: Callable[[object, str], None],
    command: str,
    code: int,
) -> None:
    run = submitted(statuses=["FAILED"], exit_code=3)
    full_disk(os, "fsync")
    done = orch(command, run)
    assert done.exit_code == code, done.output
    if command != "resume":
        assert "FAILED" in done.output
    assert done.stderr.count(f"warning: How {run} ended is shown, but not kept: ") == 1
    assert f"(No space left on device: {home.orch_home() / 'runs' / run}.json)" in done.stderr
    assert registry.find(run).last.outcome is None


def test_a_local_head_that_nobody_has_ended_stays_until_its_jobs_logs_can_be_kept(
    cluster: FakeCluster,
    pretended_head: Callable[..., PretendedHead],
    full_disk: Callable[[object, str], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    head, fsync = pretended_head(cluster.url), os.fsync
    log = head.logs() / "job-driver-tiny-1.log"
    log.write_bytes(b"one")
    full_disk(os, "fsync")
    assert not local.release()
    assert (local.running(), log.read_bytes()) == (head.head, b"one")
    [said] = caplog.messages
    assert "stays, as its jobs' logs cannot be kept; `orch down` ends it: " in said
    assert f"No space left on device: {local.kept_log('tiny-1')}" in said
    monkeypatch.setattr(os, "fsync", fsync)
    assert local.release()
    assert local.kept_log("tiny-1").read_bytes() == b"one"


def test_logs_that_are_lost_with_their_local_head_are_named(
    pretended_head: Callable[..., PretendedHead],
    full_disk: Callable[[object, str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = pretended_head()
    logs = head.logs()
    (logs / "job-driver-tiny-1.log").write_bytes(b"one")
    head.die()
    full_disk(os, "fsync")
    local.stop_all()
    [said] = caplog.messages
    assert said.startswith("1 logs of the local cluster's jobs are not kept: ")
    assert f"No space left on device: {local.kept_log('tiny-1')}" in said
    assert not logs.exists()
