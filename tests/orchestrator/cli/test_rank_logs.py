"""What one rank prints, from all of its processes, as a fake cluster keeps it."""

import time
from dataclasses import replace

import pytest

from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.events import to_line
from orchestrator.rank_file import file_name
from orchestrator.runs import rank_lines, registry
from orchestrator.runs.rank_lines import Note, RankLines
from orchestrator.runs.registry import Record
from orchestrator.state import State
from tests.fake_cluster import FakeCluster
from tests.orchestrator import journals
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.rank_files import show
from tests.orchestrator.statements import EVALUATED, TRIAL_ENDED, log_of

RUNS, ENDED = JobInfo("tiny", State.RUNNING), JobInfo("tiny", State.SUCCEEDED)


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_lines, "LOOK_SECONDS", 0.0)


@pytest.fixture
def lines(submitted: Submitted, nodes: FakeCluster) -> RankLines:
    """The lines of rank 1 of a run that has begun nothing yet."""
    return RankLines(ClusterClient(nodes.url), registry.find(submitted()), 1)


def new(lines: RankLines, job: JobInfo = RUNS) -> list[str]:
    """Return what is new, notes in parentheses and without their time."""
    found = lines.read(job)
    return [f"({it.text.partition(', from')[0]})" if isinstance(it, Note) else it for it in found]


def run_of(lines: RankLines) -> str:
    return lines.submission_id


def write(nodes: FakeCluster, node: str, pid: int, text: str) -> None:
    """Let a process have printed nothing but a text."""
    nodes.log_files[node, f"worker-{pid}.out"] = text
    nodes.log_files[node, f"worker-{pid}.err"] = ":job_id:03000000\n"


def test_the_output_of_a_rank_is_that_of_all_its_processes_the_oldest_first(
    orch: Orch, submitted: Submitted, nodes: FakeCluster
) -> None:
    run = submitted()
    show(nodes, run, 0, 71)
    show(nodes, run, 1, 73)
    show(nodes, run, 1, 72, began=time.time() - 5)
    nodes.log_files["n1", "worker-73.out"] = f":job_id:03000000\n{to_line(EVALUATED)}\n"
    done = orch("logs", run, "--rank", "1")
    assert done.stdout.splitlines() == [
        f"worker-72.out of {run}",
        f"worker-72.err of {run}",
        "epoch 1: top1 8bit 91.0",
        f"worker-73.err of {run}",
    ]
    headings = [line.partition(", from")[0] for line in done.stderr.splitlines()]
    assert headings == ["Rank 1, pid 72 on 10.0.0.1", "Rank 1, pid 73 on 10.0.0.1"]
    unknown = orch("logs", run, "--rank", "7")
    assert (unknown.exit_code, "only of 0, 1." in unknown.stderr) == (2, True)


def test_only_whole_lines_are_new_until_the_job_ends(lines: RankLines, nodes: FakeCluster) -> None:
    run = run_of(lines)
    assert new(lines) == [f"(No process of rank 1 of {run} is known yet.)"]
    assert new(lines) == []
    show(nodes, run, 0, 71)
    show(nodes, run, 1, 72)
    write(nodes, "n1", 72, "one\ntw")
    assert new(lines) == ["(Rank 1, pid 72 on 10.0.0.1)", "one"]
    assert new(lines) == []
    write(nodes, "n1", 72, "one\ntwo\nthr")
    assert new(lines) == ["two"]
    write(nodes, "n1", 72, "one\ntwo\nthree")
    assert new(lines, ENDED) == ["three"]


def test_a_rank_that_is_started_again_elsewhere_is_followed_there(
    lines: RankLines, nodes: FakeCluster
) -> None:
    run = run_of(lines)
    show(nodes, run, 1, 72, "n0")
    write(nodes, "n0", 72, "one\n")
    new(lines)
    write(nodes, "n0", 72, "one\ntwo\nlast wor")
    del nodes.log_files["n0", file_name(run, 72)]
    show(nodes, run, 1, 73, "n1")
    write(nodes, "n1", 73, "three\n")
    assert new(lines) == [
        *("two", "last wor"),
        *("(Rank 1 was started again, pid 73 on 10.0.0.1)", "three"),
    ]
    asked = len(nodes.asked)
    write(nodes, "n1", 73, "three\nfour\n")
    assert new(lines) == ["four"]
    assert not any("worker-72" in question for question in nodes.asked[asked:])


def test_a_node_that_does_not_answer_is_named_once_and_what_it_has_comes_later(
    lines: RankLines, nodes: FakeCluster
) -> None:
    run = run_of(lines)
    show(nodes, run, 1, 72, "n1")
    write(nodes, "n1", 72, "one\n")
    new(lines)
    nodes.silent_nodes = {"n1"}
    assert new(lines) == ["(The node 10.0.0.1 does not answer.)"]
    assert new(lines) == []
    nodes.silent_nodes = set()
    show(nodes, run, 1, 72, "n1")
    write(nodes, "n1", 72, "one\ntwo\n")
    assert new(lines) == ["two"]


def test_a_followed_rank_ends_with_the_job_and_its_code(
    orch: Orch, submitted: Submitted, nodes: FakeCluster
) -> None:
    run = submitted(statuses=["RUNNING", "RUNNING", "FAILED"], exit_code=3)
    show(nodes, run, 1, 72)
    done = orch("logs", run, "--rank", "1", "-f")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (3, f"worker-72.out of {run}")
    assert done.stderr.splitlines()[-1] == f"FAILED  {run}"


def test_a_followed_rank_of_a_trial_ends_with_the_trial(
    orch: Orch, search: Record, nodes: FakeCluster
) -> None:
    journals.write(search, journals.half_done())
    ended = replace(TRIAL_ENDED, row=replace(TRIAL_ENDED.row, trial="t002"))
    nodes.jobs["digits-1"].logs = ["", log_of(ended)]
    show(nodes, "digits-1", 0, 71, trial="t002", world=1)
    show(nodes, "digits-1", 0, 72, "n1", trial="t004", world=1)
    write(nodes, "n0", 71, "one\ntwo")
    done = orch("logs", "digits.t002", "--rank", "0", "-f")
    assert (done.exit_code, done.stdout.splitlines()) == (1, ["one", "two"])
    assert done.stderr.startswith("Rank 0 of t002, pid 71 on 10.0.0.0, from ")


def test_bad_requests_are_refused(orch: Orch, submitted: Submitted, nodes: FakeCluster) -> None:
    run = submitted()
    never = orch("logs", run, "--rank", "2", "-f")
    assert (never.exit_code, f"{run} has no rank 2: the last one is 1." in never.stderr) == (
        2,
        True,
    )
    assert orch("logs", run, "--rank", "1", "--events").exit_code == 2
