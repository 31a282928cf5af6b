"""The log of one trial of a search, against a fake cluster."""

from dataclasses import replace

from orchestrator.events import read
from orchestrator.runs.registry import Record
from tests.fake_cluster import FakeCluster
from tests.orchestrator import journals
from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.statements import (
    EVALUATED,
    PROGRESS,
    SEARCHING,
    STARTED,
    TRIAL_ENDED,
    log_of,
)

SAID = [
    STARTED,
    SEARCHING,
    replace(PROGRESS, trial="t007", time=1000.0),
    replace(PROGRESS, trial="t008", time=1001.0),
    replace(PROGRESS, trial="t007", time=1002.0),
    replace(EVALUATED, trial="t007s2", time=1003.0),
    replace(PROGRESS, trial="t007", time=1031.0),
    replace(TRIAL_ENDED, time=1032.0),
]


def test_a_trial_has_its_own_log_with_progress_at_times(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    cluster.jobs["digits-1"].logs = [log_of(*SAID)]
    lines = orch("logs", "digits.t007").stdout.splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        "epoch 1/2",
        "t007s2",
        "epoch 1/2",
        "t007 finished",
    ]
    assert [line.split("  ")[1] for line in orch("logs", "digits.t008").stdout.splitlines()] == [
        "epoch 1/2"
    ]


def test_the_events_of_a_trial_are_printed_as_they_are(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    cluster.jobs["digits-1"].logs = [log_of(*SAID)]
    shown = [read(line) for line in orch("logs", "digits.t007s2", "--events").stdout.splitlines()]
    assert shown == [SAID[5], SAID[7]]


def test_a_followed_log_of_a_trial_ends_with_the_trial_and_its_code(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    journals.write(search, journals.half_done())
    ended = replace(TRIAL_ENDED, row=replace(TRIAL_ENDED.row, trial="t002"))
    progress = replace(PROGRESS, trial="t002")
    cluster.jobs["digits-1"].logs = ["", log_of(progress), log_of(progress, ended)]
    done = orch("logs", "digits.t002", "-f")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.splitlines()[0] == "STOPPED  digits-1.t002"
