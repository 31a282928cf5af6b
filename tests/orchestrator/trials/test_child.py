"""When the record of a run of a search is closed, and with which words."""

from orchestrator.search.records import Ended, TrialState
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track.run import TrackedRun, remembered_status
from orchestrator.track.server import mlflow_client
from orchestrator.trials import child

END = Ended(
    *(5.0, "t001", TrialState.STOPPED_EARLY, 41.25, None, {"8bit": 41.25}, None, 3, 120),
    "41.2 < 43.0, asha",
)


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
