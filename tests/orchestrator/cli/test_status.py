"""What `orch status` says of a run, against a fake cluster, and its keys in the documentation."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.summary import as_dict
from orchestrator.event_parts import WorkerPlace
from orchestrator.events import Event, Failed, Gathered, Restarted, Stopped
from orchestrator.run_facts import Events, RunFacts
from orchestrator.runs import registry
from orchestrator.runs.registry import Attempt, Record
from orchestrator.runs.view import RunView
from orchestrator.state import State
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.statements import (
    ARITHMETIC,
    EVALUATED,
    EVENTS,
    FINISHED,
    LIVING,
    PROGRESS,
    SEARCHED,
    SEARCHING,
    STARTED,
    kept_facts,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "status.md"


WORKERS = (
    WorkerPlace(0, "10.0.0.5", 71),
    WorkerPlace(1, "10.0.0.6", 72, ("0",)),
    WorkerPlace(2, "10.0.0.6", 73, ("1",)),
)


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
        (EVENTS, {"statuses": ["SUCCEEDED"]}, "| 8bit | 91.00 |"),
        (
            [Failed(message="no data", exit_code=2)],
            {"statuses": ["FAILED"], "exit_code": 2},
            "FAILED: no data",
        ),
        ([Stopped(message="saved")], {"statuses": ["STOPPED"]}, "STOPPED: saved"),
    ],
)
def test_the_status_of_an_ended_run_has_its_end_once(
    orch: Orch,
    submitted: Submitted,
    events: list[Event],
    facts: dict[str, object],
    line: str,
) -> None:
    submitted(*events, **facts)
    for _ in range(2):
        assert orch("status", "last").stdout.splitlines().count(line) == 1


def test_the_status_of_an_ended_run_promises_no_time(orch: Orch, submitted: Submitted) -> None:
    submitted(PROGRESS, statuses=["FAILED"], exit_code=137)
    shown = orch("status", "last").stdout
    assert "epoch 1/2  step 3/9" in shown
    assert "ETA -" in shown


def test_the_status_of_nobody_names_what_comes_near(orch: Orch, submitted: Submitted) -> None:
    submitted(name="digits")
    done = orch("status", "digitz")
    assert done.exit_code == 2
    assert "Did you mean digits" in done.stderr


def test_the_status_of_a_silent_run_has_its_age_its_restarts_and_no_eta(
    orch: Orch, submitted: Submitted
) -> None:
    lost = Restarted(count=2, reason="Killed.", time=time.time() - 80)
    submitted(STARTED, lost, replace(PROGRESS, time=time.time() - 40, next_within=1))
    lines = orch("status", "last").stdout.splitlines()
    assert re.fullmatch(r"epoch 1/2  step 3/9  12.5 samples/s  ETA -  .*  \(4\ds ago\)", lines[1])
    assert re.match(r"No progress for 4\ds; ", lines[2])
    assert lines.index("restarts:      1") > 3
    printed = json.loads(orch("status", "last", "--json").stdout)
    assert [each["reason"] for each in printed["restarts"]] == ["Killed."]
    assert printed["delay"].startswith("No progress ")


def test_a_resumed_run_that_only_starts_is_not_silent_since_its_earlier_attempt(
    orch: Orch, submitted: Submitted, cluster: FakeCluster
) -> None:
    run = submitted(statuses=["RUNNING"])
    record = registry.find(run)
    record.folder.make()
    Events(record.folder).keep(replace(PROGRESS, time=time.time() - 600, next_within=1))
    assert "No progress for 10m" in orch("status", run).stdout
    again = record.again(time.time())
    registry.save(again)
    cluster.add(again.last.submission_id, statuses=["RUNNING"])
    shown = orch("status", run).stdout
    assert "epoch 1/2  step 3/9" in shown
    assert "No progress" not in shown


def test_the_status_says_how_a_run_computes(orch: Orch, submitted: Submitted) -> None:
    submitted(STARTED, replace(ARITHMETIC, layers=7, in_floats=("layers.0.conv2",)))
    lines = orch("status", "last").stdout.splitlines()
    assert (
        f"arithmetic:    integer (int8), backward in float32; {ARITHMETIC.reason}; "
        "6 of 7 quantized layers in integers, not layers.0.conv2"
    ) in lines
    printed = json.loads(orch("status", "last", "--json").stdout)["arithmetic"]
    assert (printed["kind"], printed["kernel"], printed["backward"]) == (
        "integer",
        "int8",
        "float32",
    )
    assert (printed["layers"], printed["in_floats"]) == (7, ["layers.0.conv2"])


def test_a_run_that_does_not_compute_yet_has_no_arithmetic(
    orch: Orch, submitted: Submitted
) -> None:
    submitted(STARTED)
    assert "arithmetic" not in orch("status", "last").stdout
    assert json.loads(orch("status", "last", "--json").stdout)["arithmetic"] is None


def test_of_a_job_whose_disk_is_not_seen_here_the_cluster_is_asked_and_not_for_all_its_events(
    orch: Orch, submitted: Submitted, cluster: FakeCluster
) -> None:
    lost = [Restarted(count=n, reason=f"Rank {n} died.", time=1e9 + n) for n in range(1, 8)]
    at = replace(PROGRESS, time=time.time() - 3, share_done=1 / 6)
    said = [STARTED, *lost, Gathered(workers=WORKERS), EVALUATED, at]
    submitted(facts=kept_facts(*said))
    cluster.asked.clear()
    lines = orch("status", "tiny").stdout.splitlines()
    assert lines[1].startswith("epoch 1/2  step 3/9  17% done  12.5 samples/s  ETA 1m05s")
    assert "workers:       3 on 2 nodes: 10.0.0.5 (rank 0), 10.0.0.6 (ranks 1, 2)" in lines
    restarts = lines.index("restarts:      7, the last 5:")
    assert [line[-12:] for line in lines[restarts + 1 :][:5]] == [
        f"Rank {n} died." for n in range(3, 8)
    ]
    assert not any(path.endswith("/logs") or "orch-events" in path for path in cluster.asked)
    printed = json.loads(orch("status", "tiny", "--json").stdout)
    assert [each["reason"] for each in printed["restarts"]] == [each.reason for each in lost]
    assert [each["pid"] for each in printed["workers"]] == [71, 72, 73]
    assert printed["share_done"] == pytest.approx(1 / 6)
    assert printed["evaluated"]["metric"] == {"8bit": 91.0}


def test_the_keys_of_the_answer_are_those_of_the_documentation_whatever_is_known() -> None:
    attempt = Attempt("tiny-1", 1.0)
    record = Record("tiny-1", "tiny", {}, "tiny.yaml", "http://x", False, "/x", (attempt,))
    facts = RunFacts().after(
        *(STARTED, ARITHMETIC, PROGRESS, EVALUATED, Restarted(count=1, reason="Killed.")),
        Gathered(workers=WORKERS),
        *(SEARCHING, SEARCHED, FINISHED),
    )
    facts = replace(facts, failed=Failed(message="no data", exit_code=2))
    full = as_dict(RunView(record, State.RUNNING, facts, trial=LIVING))
    documented = set(re.findall(r"`([^`]+)`", "".join(table())))
    assert set(keys_of(full, documented)) == documented
    empty = as_dict(RunView(record, State.PENDING))
    assert empty.keys() == full.keys()
    assert empty["mlflow"].keys() == full["mlflow"].keys()  # type: ignore[attr-defined]


def table() -> Iterator[str]:
    """Yield the first column of the documentation's table, which names the keys."""
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| `"):
            yield line.split(" | ")[0]


def keys_of(value: object, documented: set[str], above: str = "") -> Iterator[str]:
    """Yield the dotted keys of a JSON value, down to those that are documented as a whole."""
    if above in documented or not isinstance(value, dict | list):
        yield above
    elif isinstance(value, list):
        for item in value:
            yield from keys_of(item, documented, f"{above}[]")
    else:
        for key, inner in value.items():
            yield from keys_of(inner, documented, f"{above}.{key}".removeprefix("."))
