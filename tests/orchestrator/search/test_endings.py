"""When the records of a search's runs are closed, and with which words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import Unreachable
from orchestrator.job.schema import Job
from orchestrator.job.source import dump
from orchestrator.search import endings
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import (
    Attempt,
    Began,
    Ended,
    How,
    Left,
    Opened,
    Planned,
    Record,
    Reported,
    TrialState,
)
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Run
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import family, recorder
from orchestrator.track import record as records
from orchestrator.track.journal import Journal
from orchestrator.track.run import remembered_run
from orchestrator.track.server import mlflow_client

EARLY = Ended(
    *(5.0, "t001", TrialState.STOPPED_EARLY, 41.25, None, {"8bit": 41.25}, None, 3, 120),
    "41.2 < 43.0, asha",
)
FINISHED = Ended(5.0, "t001", TrialState.FINISHED, 60.0, None, {}, None, 2, 6, "")
JOURNAL: tuple[Record, ...] = (
    Opened(0.0, "tiny", "8bit", "max", ("optimizer.lr",), (), 2, 1, "none", "grid", 2, 1),
    Attempt(0.0, 1),
    Planned(0.0, "t001", {"optimizer.lr": 0.1}, "near"),
    Planned(0.0, "t002", {"optimizer.lr": 0.2}, "near"),
    Began(0.0, "t001", "g1", 1),
    Reported(1.0, "t001", 1, 3, {"8bit": 55.0}, None),
    Reported(2.0, "t001", 2, 6, {"8bit": 60.0}, None),
    Left(2.0, "t001", How.FINISHED),
    FINISHED,
    Began(3.0, "t002", "g1", 1),
    Reported(4.0, "t002", 1, 3, {"8bit": 50.0}, None),
)


@pytest.fixture
def search(tiny_job: Callable[..., Job], database: str, tmp_path: Path) -> SearchFolder:
    """A search whose driver was killed while its second trial trained."""
    own = (f"tracking.uri={database}", "tracking.experiment=endings")
    space = (
        "search.space.optimizer.lr={grid: [0.1, 0.2]}",
        "search.metric=8bit",
        "search.trials=2",
    )
    search = SearchFolder(RunFolder(tmp_path / "runs" / "tiny-20260102-030405-a1b2"))
    search.run.make()
    search.run.job.write(dump(tiny_job(*own, *space).as_dict()))
    for line in JOURNAL:
        SearchJournal(search).append(line)
    return search


@pytest.fixture
def runs(search: SearchFolder, database: str) -> tuple[RunFolder, RunFolder]:
    """The runs of its two trials, each with a record that was only just opened, and a metric."""
    first, second = search.of_run("t001"), search.of_run("t002")
    for folder in (first, second):
        folder.make()
        folder.job.write(search.run.job.read())
        recorder.open_run(database, "endings", folder.name, folder, family.tags(folder))
        Journal(folder).append(3, {"top1/8bit": 50.0})
    return first, second


def said(folder: RunFolder) -> tuple[str, str | None]:
    """Return the status of a run's record, and how it says that the trial ended."""
    seen = seen_by(folder)
    return seen.info.status, seen.data.tags.get(family.END_TAG)


def seen_by(folder: RunFolder) -> Any:
    """Return the record of a run as MLflow has it."""
    tracked = remembered_run(folder)
    assert tracked is not None
    with mlflow_client(tracked.uri) as client:
        return client.get_run(tracked.run_id)


def test_the_records_of_a_killed_search_say_what_its_journal_says(
    search: SearchFolder, runs: tuple[RunFolder, RunFolder]
) -> None:
    first, second = runs
    recorder.close_abandoned(first, "KILLED")
    recorder.close_abandoned(second, "KILLED")
    for _ in range(2):
        endings.close_all(search, print)
        assert said(first) == ("FINISHED", "finished after epoch 2, step 6")
        assert said(second) == (
            "KILLED",
            "interrupted after epoch 1, step 3, goes on with its search",
        )
    assert seen_by(first).data.metrics["objective"] == 60.0
    assert "objective" not in seen_by(second).data.metrics
    assert seen_by(second).data.metrics["top1/8bit"] == 50.0
    assert seen_by(second).data.params["method"] == "coquant"


def test_a_trial_that_was_interrupted_says_later_how_it_ended(
    search: SearchFolder, runs: tuple[RunFolder, RunFolder]
) -> None:
    endings.close_all(search, print)
    end = Ended(9.0, "t002", TrialState.FINISHED, 70.0, None, {}, None, 2, 6, "")
    SearchJournal(search).append(end)
    endings.close_all(search, print)
    assert said(runs[1]) == ("FINISHED", "finished after epoch 2, step 6")


def test_runs_of_which_nothing_is_left_in_the_journal_were_interrupted(
    search: SearchFolder, runs: tuple[RunFolder, RunFolder]
) -> None:
    search.journal.path.unlink()
    endings.close_all(search, print)
    assert [said(run) for run in runs] == [("KILLED", "interrupted, goes on with its search")] * 2


def test_a_trial_that_was_trained_to_its_end_by_itself_was_not_interrupted(
    search: SearchFolder, runs: tuple[RunFolder, RunFolder]
) -> None:
    tracked = remembered_run(runs[1])
    assert tracked is not None
    recorder.close_run(tracked, runs[1], "FINISHED")
    endings.close_all(search, print)
    assert said(runs[1]) == ("FINISHED", None)


def test_a_trial_that_was_stopped_and_then_finished_by_itself_is_finished(
    runs: tuple[RunFolder, RunFolder],
) -> None:
    runs[0].result.write("{}")
    end = Ended(9.0, "t001", TrialState.STOPPED_EARLY, 50.0, None, {}, None, 1, 3, "asha")
    endings.close_record(runs[0], "t001", end, 50.0, print)
    assert said(runs[0]) == ("FINISHED", "stopped early after epoch 1, step 3: asha")


def test_an_end_that_was_told_stays_where_its_journal_is_damaged(
    search: SearchFolder, runs: tuple[RunFolder, RunFolder]
) -> None:
    end = Ended(9.0, "t002", TrialState.STOPPED_EARLY, 50.0, None, {}, None, 1, 3, "asha")
    endings.close_record(runs[1], "t002", end, 50.0, print)
    endings.close_all(search, print)
    assert said(runs[1]) == ("KILLED", "stopped early after epoch 1, step 3: asha")


def test_a_damaged_folder_is_said_and_the_others_are_closed(
    search: SearchFolder, runs: tuple[RunFolder, RunFolder]
) -> None:
    runs[0].job.write("{")
    told: list[str] = []
    endings.close_all(search, told.append)
    assert any("job.yaml" in line for line in told)
    assert said(runs[1])[0] == "KILLED"


def test_a_status_is_that_of_the_journal_and_else_says_that_the_run_goes_on() -> None:
    standing = Standing.of(JOURNAL)
    found = [endings.status_of(run, standing) for run in ("t001", "t002", "t009")]
    assert found == ["FINISHED", "KILLED", "KILLED"]


def test_a_record_that_a_command_closed_after_a_kill_says_later_how_the_trial_ended(
    runs: tuple[RunFolder, RunFolder],
) -> None:
    recorder.close_abandoned(runs[0], "FAILED")
    endings.close_record(runs[0], "t001", FINISHED, 60.0, print)
    assert said(runs[0]) == ("FINISHED", "finished after epoch 2, step 6")


def test_a_server_that_falls_silent_in_between_is_told_the_rest_later(
    runs: tuple[RunFolder, RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise Unreachable("No answer.")

    with monkeypatch.context() as patched:
        patched.setattr(family, "mark_end", silent)
        with pytest.raises(Unreachable):
            endings.close_record(runs[0], "t001", FINISHED, 60.0, print)
    endings.close_record(runs[0], "t001", FINISHED, 60.0, print)
    assert said(runs[0]) == ("FINISHED", "finished after epoch 2, step 6")


def test_a_trial_that_was_trained_on_by_itself_keeps_the_record_of_that(
    runs: tuple[RunFolder, RunFolder],
) -> None:
    endings.close_record(runs[0], "t001", FINISHED, 60.0, print)
    records.open_record(runs[0], print)
    endings.close_record(runs[0], "t001", FINISHED, 60.0, print)
    assert said(runs[0])[0] == "RUNNING"


def test_the_record_of_a_run_says_how_its_trial_ended_and_is_closed_once(
    runs: tuple[RunFolder, RunFolder],
) -> None:
    endings.close_record(runs[0], "t001", EARLY, 41.25, print)
    endings.close_record(runs[0], "t001", EARLY, 99.0, print)
    assert said(runs[0]) == (
        "KILLED",
        "stopped early after epoch 3, step 120: 41.2 < 43.0, asha",
    )
    assert seen_by(runs[0]).data.metrics["objective"] == 41.25


def test_a_trial_without_a_folder_has_no_record_to_close(search: SearchFolder) -> None:
    endings.close_record(search.of_run("t001"), "t001", EARLY, None, print)
    endings.interrupt_record(search.of_run("t001"), Run("t001"), print)
    assert not search.of_run("t001").is_there()
