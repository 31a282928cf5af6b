"""When the record of a run of a search is closed, and with which words."""

from collections.abc import Callable

import pytest

from orchestrator.errors import Unreachable
from orchestrator.job.schema import Job
from orchestrator.job.source import dump
from orchestrator.search.records import Ended, TrialState
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import family, recorder
from orchestrator.track.run import TrackedRun, remembered_run, remembered_status
from orchestrator.track.server import mlflow_client
from orchestrator.trials import child

END = Ended(
    *(5.0, "t001", TrialState.STOPPED_EARLY, 41.25, None, {"8bit": 41.25}, None, 3, 120),
    "41.2 < 43.0, asha",
)
FINISHED = Ended(5.0, "t001", TrialState.FINISHED, 60.0, None, {}, None, 2, 6, "")


@pytest.fixture
def folder(search: SearchFolder, search_job: Callable[..., Job], record: TrackedRun) -> RunFolder:
    folder = search.of_run("t001")
    folder.make()
    values = search_job().as_dict() | {"search": None}
    folder.job.write(dump(values))
    child.open_record(folder, "t001")
    return folder


def said(folder: RunFolder) -> tuple[str, str | None]:
    """Return the status of a run's record, and how it says that the trial ended."""
    tracked = remembered_run(folder)
    assert tracked is not None
    with mlflow_client(tracked.uri) as client:
        run = client.get_run(tracked.run_id)
    return run.info.status, run.data.tags.get(family.END_TAG)


def test_a_record_that_a_command_closed_after_a_kill_says_later_how_the_trial_ended(
    folder: RunFolder,
) -> None:
    recorder.close_abandoned(folder, "FAILED")
    child.close_record(folder, "t001", FINISHED, 60.0)
    assert said(folder) == ("FINISHED", "finished after epoch 2, step 6")


def test_a_server_that_falls_silent_in_between_is_told_the_rest_later(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise Unreachable("No answer.")

    with monkeypatch.context() as patched:
        patched.setattr(family, "mark_end", silent)
        with pytest.raises(Unreachable):
            child.close_record(folder, "t001", FINISHED, 60.0)
    child.close_record(folder, "t001", FINISHED, 60.0)
    assert said(folder) == ("FINISHED", "finished after epoch 2, step 6")


def test_a_trial_that_was_trained_on_by_itself_keeps_the_record_of_that(folder: RunFolder) -> None:
    child.close_record(folder, "t001", FINISHED, 60.0)
    child.open_record(folder, "t001")
    child.close_record(folder, "t001", FINISHED, 60.0)
    assert said(folder)[0] == "RUNNING"


def test_the_record_of_a_run_says_how_its_trial_ended_and_is_closed_once(
    search: SearchFolder, record: TrackedRun
) -> None:
    folder = search.of_run("t001")
    folder.make()
    folder.job.write(search.run.job.read())
    tracked = child.open_record(folder, "t001")
    assert remembered_status(folder) == "RUNNING"
    child.close_record(folder, "t001", END, 41.25)
    child.close_record(folder, "t001", END, 99.0)
    with mlflow_client(tracked.uri) as client:
        seen = client.get_run(tracked.run_id)
    assert seen.info.status == "KILLED"
    said = "stopped early after epoch 3, step 120: 41.2 < 43.0, asha"
    assert seen.data.tags["orch.end"] == said
    assert seen.data.metrics["objective"] == 41.25
    assert seen.data.tags["mlflow.parentRunId"] == record.run_id


def test_a_trial_without_a_folder_has_no_record_to_close(search: SearchFolder) -> None:
    child.close_record(search.of_run("t001"), "t001", END, None)
    child.interrupt_record(search.of_run("t001"), "t001")
    assert not search.of_run("t001").is_there()
