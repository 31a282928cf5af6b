"""How runs of a local head ended is known also once that head is gone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster import local, tail
from orchestrator.events import Event, Failed, Log, Stopped, events_file, to_json
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry, submission, view
from orchestrator.runs.registry import Outcome, Record
from orchestrator.state import State
from tests.fake_cluster import NODE, FakeCluster
from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.conftest import PretendedHead
from tests.orchestrator.statements import PROGRESS, STARTED

WHY = "The run of a that it starts from has failed."
FAILED = Failed(message=WHY, exit_code=2)
STOPPED = Stopped(message="The run was stopped; its state is saved.")
Pretended = Callable[..., PretendedHead]
Make = Callable[..., Record]


def leave_events(head: PretendedHead, run: str, *events: Event) -> None:
    """Leave what a job has said where it lies beside Ray's logs, after much else."""
    before = [Log(message="x" * 100)] * 1000
    text = "".join(f"{to_json(event)}\n" for event in (*before, *events))
    (head.logs() / events_file(run)).write_text(text)


@pytest.mark.parametrize("cleaned_up", [False, True])
@pytest.mark.parametrize(
    ("said", "state", "code"),
    [
        ([STARTED, FAILED, Log(message="the webhook is silent")], "FAILED", 2),
        ([STOPPED], "STOPPED", None),
        ([STARTED, PROGRESS], "LOST", None),
        ([FAILED, STARTED], "LOST", None),
        ([STARTED, Failed(message=WHY, exit_code=2, trial="t001")], "LOST", None),
        ([FAILED, replace(PROGRESS, trial="t001")], "FAILED", 2),
    ],
)
def test_a_run_of_a_head_that_is_gone_ended_as_it_said_itself(
    orch: Orch,
    make_record: Make,
    pretended_head: Pretended,
    said: list[Event],
    state: str,
    code: int | None,
    cleaned_up: bool,
) -> None:
    head = pretended_head()
    registry.save(make_record("tiny-1", local=True))
    leave_events(head, "tiny-1", *said)
    head.die()
    if cleaned_up:
        local.stop_all()
    (listed,) = json.loads(orch("list", "--json").stdout)
    assert (listed["state"], listed["exit_code"]) == (state, code)
    for command in ("wait", "status"):
        done = orch(command, "tiny-1")
        assert done.exit_code == ((code or 1) if command == "wait" else 0)
        assert state in done.stdout
        assert (WHY in done.stdout) is (state == "FAILED")
    followed = orch("logs", "tiny-1", "-f")
    assert (followed.exit_code, followed.stderr.splitlines()[-1]) == (
        code or 1,
        f"{state}  tiny-1",
    )


def test_an_earlier_attempt_that_failed_says_nothing_of_the_last_one(
    make_record: Make, orch: Orch, pretended_head: Pretended
) -> None:
    head = pretended_head()
    registry.save(make_record("tiny-1", 1.0, 2.0, local=True))
    leave_events(head, "tiny-1", FAILED)
    head.die()
    assert json.loads(orch("status", "tiny-1", "--json").stdout)["state"] == "LOST"


def test_who_follows_several_jobs_sees_the_last_one_before_the_local_cluster_is_stopped(
    orch: Orch,
    cluster: FakeCluster,
    pretended_head: Pretended,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(submission, "_preflight", lambda *_: None)
    cluster.nodes = [NODE]
    pretended_head(cluster.url)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"extends: tiny.yaml\nname: {name}\n")
    cluster.new_job = {"statuses": ["FAILED"], "logs": ["ImportError: x\n"], "exit_code": 1}
    done = orch("submit", "a.yaml", "b.yaml", "--follow", "--json")
    assert done.exit_code == 1, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [(run["name"], run["state"]) for run in runs] == [("a", "FAILED"), ("b", "FAILED")]
    assert done.stderr.count("  ImportError: x") == 2
    assert done.stderr.endswith("No other job is active, the local Ray cluster was stopped.\n")
    assert local.running() is None


@pytest.mark.parametrize("command", [("wait", "a-1"), ("logs", "a-1", "-f"), ("down", "--yes")])
def test_how_all_jobs_ended_is_recorded_before_their_head_is_stopped(
    orch: Orch,
    cluster: FakeCluster,
    make_record: Make,
    pretended_head: Pretended,
    command: tuple[str, ...],
) -> None:
    pretended_head(cluster.url)
    stale = make_record("b-1", local=True)
    for record in (make_record("a-1", local=True), stale):
        registry.save(record)
    cluster.add("a-1", statuses=["SUCCEEDED"], exit_code=0)
    cluster.add("b-1", statuses=["FAILED"], exit_code=137)
    cluster.add("of-another-home-1", statuses=["FAILED"], exit_code=1)
    assert orch(*command).exit_code == 0
    assert local.running() is None
    assert view.look(stale).exit_code == 137  # as one sees it who has waited meanwhile
    done = orch("wait", "b-1")
    assert done.exit_code == 1
    assert "memory ran out" in done.stdout


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("how", ["", "--events", "--rank=0"])
def test_who_follows_a_job_sees_its_end_if_its_local_cluster_goes_meanwhile(
    orch: Orch,
    cluster: FakeCluster,
    make_record: Make,
    pretended_head: Pretended,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    newer: bool,
    how: str,
) -> None:
    """Another command has recorded the end, and stopped the head; a newer one may have its port."""
    monkeypatch.setitem(tail.follow.__kwdefaults__, "patience", 2.0)
    cluster.token = "0" * 64
    head = pretended_head(cluster.url)
    record = make_record("a-1", local=True, job={"cluster": {"num_workers": 1}})
    registry.save(record)
    cluster.add("a-1", statuses=["RUNNING"], logs=["one\n"])
    gone: list[bool] = []
    replaced: list[PretendedHead] = []
    answer = cluster.answer

    def go_meanwhile(method: str, path: str, body: bytes) -> tuple[int, Any]:
        if len(cluster.asked) >= 6 and not gone:
            gone.append(True)
            end = Outcome(State.FAILED, 3, "", RunFacts())
            registry.note_outcome(record, end)
            head.die()
            cluster.token = "1" * 64
            cluster.jobs.clear()
            if newer:
                replaced.append(PretendedHead(tmp_path / "newer", cluster.url, session="other"))
                (tmp_path / "newer" / "token").write_text(cluster.token)
            return 500, "The head has ended."
        return answer(method, path, body)

    monkeypatch.setattr(cluster, "answer", go_meanwhile)
    done = orch("logs", "a-1", "-f", *filter(None, [how]))
    assert done.exit_code == 3, done.output
    assert "FAILED  a-1" in done.stderr.splitlines()
    assert "The local cluster has ended meanwhile" in done.stderr
    for each in replaced:
        each.die()
