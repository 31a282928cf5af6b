"""A whole search on groups of threads: what it leaves, and how it goes on after any end."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.errors import JobFailed, Unreachable
from orchestrator.job.load import load_job
from orchestrator.run_facts import facts_of
from orchestrator.search import endings, figures
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Began, Ended, How, Left, Reported, TrialState
from orchestrator.state import State
from orchestrator.store.run_folder import WEIGHTS, RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import delivery, record, recorder, sender
from orchestrator.track.journal import Journal
from orchestrator.track.server import mlflow_client
from orchestrator.train.context import FolderContext
from orchestrator.train.member import Member, Outcome, Task
from orchestrator.train.ranks import Ranks
from orchestrator.train.worker import Run, Worker
from orchestrator.trials.crew import RayCrew
from tests.orchestrator.trials.searches import (
    DRAW,
    TWO,
    Killed,
    ended_in,
    kill_after,
    record_of,
    standing_of,
)


def test_a_search_ends_with_its_trials_its_figures_its_best_job_and_a_record_of_each(
    go: Callable[..., int], search: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "draw", DRAW)
    assert go() == 0
    assert ended_in(search) == {
        "t001": TrialState.FINISHED,
        "t002": TrialState.FAILED,
        "t003": TrialState.FINISHED,
    }
    parent = record_of(search.run)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best_so_far"] == standing_of(search).best.value
    children = [record_of(search.of_run(f"t00{number}")) for number in (1, 2, 3)]
    assert [child.info.status for child in children] == ["FINISHED", "FAILED", "FINISHED"]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert [child.data.params["optimizer.lr"] for child in children] == ["0.05", str(1e12), "0.02"]
    first = standing_of(search).trials["t001"]
    assert children[0].data.metrics["objective"] == first.value
    assert children[0].data.tags["orch.end"] == "finished after epoch 2, step 6"
    assert "no longer" in children[1].data.tags["orch.end"]
    searched = facts_of(search.run).searched
    assert searched is not None
    assert searched.ended == {"finished": 2, "failed": 1}
    assert searched.table == search.table.read()
    assert len(search.rows.read().splitlines()) == 4
    assert search.figures.exists("lives.png")


def test_the_best_job_repeats_its_trial_bit_for_bit(
    go: Callable[..., int],
    search: SearchFolder,
    tmp_path: Path,
    groups: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    member = Member()
    monkeypatch.setattr(groups, "train", lambda task: member.train(task, Ranks()))
    go("search.space.optimizer.lr={grid: [0.03]}", "search.trials=1", TWO)
    best = standing_of(search).best
    assert best is not None
    job = load_job(str(search.best)).job
    assert job.name == "tiny_best"
    again = RunFolder(tmp_path / "again")
    again.make()
    again.job.write(search.best.read())
    Worker(job, Run(again), FolderContext(again, Ranks(), keep=3)).run()
    expected, found = (
        load_file(folder.checkpoints()[-1] / WEIGHTS)
        for folder in (search.of_run(best.name), again)
    )
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    [first, *_] = search.best.read().splitlines()
    assert first.startswith(f"# The best trial of {search.run.name}: {best.name}, finished, mean ")


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_search_whose_driver_was_killed_goes_on_and_repeats_nothing(
    go: Callable[..., int], search: SearchFolder, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    kill_after(epochs, monkeypatch)
    with pytest.raises(Killed):
        go()
    done = ended_in(search)
    assert go() == 0
    records = SearchJournal(search).read().records
    ends = [record.trial for record in records if isinstance(record, Ended)]
    assert sorted(ends) == ["t001", "t002", "t003"]
    began = [record.run for record in records if isinstance(record, Began)]
    assert all(began.count(run) == 1 for run in done)
    epochs_told = [(r.run, r.epoch) for r in records if isinstance(r, Reported)]
    assert sorted(epochs_told) == [("t001", 1), ("t001", 2), ("t003", 1), ("t003", 2)]
    for name in ("t001", "t003"):
        lines = search.of_run(name).metrics.path.read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [3, 6]


def test_a_search_goes_on_with_a_journal_that_has_lost_its_first_line(
    go: Callable[..., int], search: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_after(3, monkeypatch)
    with pytest.raises(Killed):
        go()
    ends = [record for record in SearchJournal(search).read().records if isinstance(record, Ended)]
    assert ends
    search.journal.path.write_bytes(b"\0" + search.journal.path.read_bytes())
    assert go() == 0
    records = SearchJournal(search).read().records
    assert [record for record in records if isinstance(record, Ended)][: len(ends)] == ends
    assert sorted(ended_in(search)) == ["t001", "t002", "t003"]


def test_a_search_that_is_stopped_says_so_and_goes_on_when_it_is_resumed(
    go: Callable[..., int], search: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = RayCrew.hand

    def hand_then_stop(crew: RayCrew, leg: Any) -> None:
        hand(crew, leg)
        if leg.run == "t003":
            search.run.ask_to_stop()

    with monkeypatch.context() as patched:
        patched.setattr(RayCrew, "hand", hand_then_stop)
        assert go() == 1
    assert facts_of(search.run).state == State.STOPPED
    assert record_of(search.run).info.status == "KILLED"
    assert "t003" not in ended_in(search)
    interrupted = record_of(search.of_run("t003"))
    assert interrupted.info.status == "KILLED"
    assert interrupted.data.tags["orch.end"].startswith("interrupted")
    assert go() == 0
    assert record_of(search.of_run("t003")).data.tags["orch.end"].startswith("finished")
    assert ended_in(search)["t003"] == TrialState.FINISHED
    assert record_of(search.run).info.status == "FINISHED"


def test_a_search_in_which_too_much_fails_ends_with_the_reasons(
    go: Callable[..., int], search: SearchFolder
) -> None:
    grid = "search.space.optimizer.lr={grid: [1.0e+12, 0.9e+12, 0.02]}"
    with pytest.raises(JobFailed, match=r"2 of 2 trials failed, search.max_failed = 2"):
        go(grid, "search.max_failed=2")
    assert "t003" not in ended_in(search)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_seeds_of_a_trial_wait_for_each_other_where_it_may_be_stopped(
    go: Callable[..., int], search: SearchFolder
) -> None:
    space = "search.space.optimizer.lr={grid: [0.05, 0.02]}"
    asha = "search.scheduler={name: asha, grace: 1, factor: 2}"
    assert go(space, asha, "search.seeds=2", "search.trials=2") == 0
    first = standing_of(search).trials["t001"]
    assert first.state == TrialState.FINISHED
    assert len(first.by_seed) == 2
    records = SearchJournal(search).read().records
    parked = [r.run for r in records if isinstance(r, Left) and r.how == How.PARKED]
    assert parked[:2] == ["t001s1", "t001s2"]
    assert record_of(search.of_run("t001s2")).data.tags["orch.trial"] == "t001s2"


def test_a_trial_whose_folder_was_removed_is_trained_from_its_beginning(
    go: Callable[..., int], search: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_after(1, monkeypatch)
    with pytest.raises(Killed):
        go()
    shutil.rmtree(search.of_run("t001").place)
    assert go() == 0
    assert ended_in(search)["t001"] == TrialState.FINISHED
    lines = search.of_run("t001").metrics.path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 6]
    assert record_of(search.of_run("t001")).data.tags["orch.end"].startswith("finished")


def test_a_trial_whose_newest_checkpoint_is_cut_off_goes_on_from_the_one_before(
    go: Callable[..., int],
    search: SearchFolder,
    groups: type,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grid = "search.space.optimizer.lr={grid: [0.05]}"
    alone = (grid, "search.trials=1", "training.epochs=3")
    member, killed = Member(), Event()

    def train_two_epochs(task: Task) -> Outcome:
        outcome = member.train(replace(task, until=2), Ranks())
        assert killed.wait(60)
        return outcome

    monkeypatch.setattr(groups, "train", train_two_epochs)
    kill_after(2, monkeypatch)
    with pytest.raises(Killed):
        go(*alone)
    killed.set()
    monkeypatch.setattr(groups, "train", lambda task: member.train(task, Ranks()))
    *_, newest = search.of_run("t001").checkpoints()
    os.truncate(newest / WEIGHTS, 100)
    assert go(*alone) == 0
    assert ended_in(search)["t001"] == TrialState.FINISHED
    assert f"damaged_{newest.name}" in capsys.readouterr().out
    lines = search.of_run("t001").metrics.path.read_text().splitlines()
    assert [json.loads(line)["metrics"]["epoch"] for line in lines] == [1.0, 2.0, 3.0]


def test_what_a_silent_server_did_not_get_of_a_search_waits_until_it_is_sent(
    go: Callable[..., int], search: SearchFolder, groups: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend = groups.train
    monkeypatch.setattr(sender, "LAST_TRIES_SECONDS", 0.1)

    def silent(*_: object, **__: object) -> None:
        raise Unreachable("The tracking server does not answer.")

    def train_in_silence(task: Task) -> Outcome:
        while not facts_of(task.run.folder).record:
            time.sleep(0.01)
        for module in (recorder, delivery):
            monkeypatch.setattr(module, "mlflow_client", silent)
        return pretend(task)

    with monkeypatch.context() as patched:
        patched.setattr(groups, "train", train_in_silence)
        assert go("search.space.optimizer.lr={grid: [0.05]}", "search.trials=1") == 0
    for module in (recorder, delivery):
        monkeypatch.setattr(module, "mlflow_client", mlflow_client)
    assert record_of(search.of_run("t001")).info.status == "RUNNING"
    assert Journal(search.of_run("t001")).waiting() > 0
    record.sync(search.run, "FINISHED", print)
    endings.close_all(search, print)
    seen = record_of(search.of_run("t001"))
    assert (seen.info.status, seen.data.metrics["top1/2bit"]) == ("FINISHED", 45.0)
    assert seen.data.tags["orch.end"] == "finished after epoch 2, step 6"
    assert record_of(search.run).data.metrics["best_so_far"] == seen.data.metrics["objective"]
