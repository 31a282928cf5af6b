"""The list of runs, at every width, against a fake cluster."""

import io
import json
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator.cli import overview
from orchestrator.run_facts import RunFacts
from orchestrator.runs.registry import Attempt, Record
from orchestrator.runs.view import RunView
from orchestrator.state import State
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.statements import EVALUATED, PROGRESS, STARTED


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
    (printed,) = json.loads(orch("list", "--json").stdout)
    assert (printed["run"], printed["state"], printed["name"]) == (run, "RUNNING", "tiny")


def test_the_list_of_a_cluster_shows_the_jobs_of_others(orch: Orch, cluster: FakeCluster) -> None:
    cluster.add("theirs-1", metadata={"orch": "0", "run": "theirs-1", "name": "theirs"})
    assert "theirs-1" in orch("list", "--address", cluster.url).stdout
    assert "theirs-1" not in orch("list").stdout


def test_the_phase_of_a_job_that_has_several_is_named(orch: Orch, submitted: Submitted) -> None:
    at = replace(PROGRESS, phase=1, phases=2)
    submitted(STARTED, at)
    assert orch("status", "tiny").stdout.splitlines()[1].startswith("phase 2/2 epoch 1/2  step 3/9")
    listed = RunView(a_record("tiny-1"), State.RUNNING, RunFacts(progress=at))
    assert overview._progress(listed, brief=True).startswith("phase 2/2 1/2")


LONG = replace(EVALUATED, metric={"8bit": 70.1, "6bit": 70.0, "4bit": 69.9, "2bit": 100.0})
FAR = replace(PROGRESS, epoch=99, epochs=120, step=4012, steps=5004, eta_seconds=400_000)


def listed(width: int) -> list[str]:
    """Return the lines of a list of two runs on a terminal of this width."""
    views = [
        RunView(record, State.FAILED, RunFacts(progress=FAR, evaluated=LONG))
        for record in (a_record("imagenet_r18_a-20261125-0446"), a_record("imagenet_r18_b-1"))
    ]
    views[1] = replace(views[1], state=State.RUNNING)
    text = io.StringIO()
    Console(file=text, width=width).print(overview.fitting(views, width))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def a_record(run: str) -> Record:
    address = "http://gpu-cluster.example.org:8265"
    return Record(run, run, {}, "", address, False, "/runs", (Attempt(run, time.time() - 5),))


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (60, "RUN STATE PROGRESS RESULT"),
        (80, "RUN STATE PROGRESS RESULT"),
        (120, "RUN STATE PROGRESS RESULT"),
        (136, "RUN STATE PROGRESS RESULT SUBMITTED"),
        (200, "RUN STATE PROGRESS RESULT SUBMITTED WHERE"),
    ],
)
def test_a_narrow_list_keeps_states_progress_and_the_highest_result_whole(
    width: int, heads: str
) -> None:
    head, _, ended, running = listed(width)
    assert head.split() == heads.split()
    assert max(map(len, (head, ended, running))) <= width
    assert " FAILED " in ended
    assert " RUNNING " in running
    assert " ETA 4d15h " in running
    assert re.search(r"top1 8bit 70.1(, | \.\.\.$)", running)
    assert ("step 4012/5004" in running) == (width > 120)


def test_names_of_a_narrow_list_lose_their_middle_and_stay_different() -> None:
    names = [line.split()[0] for line in listed(60)[2:]]
    assert names[0].startswith("imag")
    assert names[0].endswith("446")
    assert names[0] != names[1]


def test_a_watched_list_in_a_pipe_is_printed_at_once_and_at_each_change(
    orch: Orch, cluster: FakeCluster, submitted: Submitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitted()
    cluster.jobs[run].statuses = ["RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"]
    looks = iter(range(5))

    def pause(_: float) -> None:
        if next(looks) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(overview.time, "sleep", pause)
    done = orch("list", "-w")
    states = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(run)]
    assert states == ["RUNNING", "SUCCEEDED"]
    assert done.exit_code == 130


def test_watching_and_json_exclude_each_other(orch: Orch) -> None:
    done = orch("list", "-w", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--watch" in done.stderr
