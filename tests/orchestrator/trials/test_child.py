"""The record of a run of a search, as it is opened."""

from collections.abc import Callable

import pytest

from orchestrator.job.schema import Job
from orchestrator.job.source import dump
from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import recorder
from orchestrator.track.run import TrackedRun
from orchestrator.track.server import mlflow_client
from orchestrator.trials import child


@pytest.fixture
def folder(search: SearchFolder, search_job: Callable[..., Job], record: TrackedRun) -> RunFolder:
    folder = search.of_run("t001")
    folder.make()
    values = search_job().as_dict() | {"search": None}
    folder.job.write(dump(values))
    return folder


def test_a_record_is_a_child_of_that_of_its_search_and_is_opened_again_when_the_run_goes_on(
    folder: RunFolder, record: TrackedRun
) -> None:
    tracked = child.open_record(folder, "t001")
    child.describe_record(folder, "t001")
    recorder.close_run(tracked, folder, "KILLED")
    assert child.open_record(folder, "t001") == tracked
    with mlflow_client(tracked.uri) as client:
        seen = client.get_run(tracked.run_id)
    assert seen.info.status == "RUNNING"
    assert seen.data.tags["mlflow.parentRunId"] == record.run_id
    assert seen.data.params["optimizer.lr"] == "0.05"
    started = facts_of(folder).started
    assert started is not None
    assert started.mlflow.run_id == tracked.run_id


def test_a_run_without_a_record_is_not_described(folder: RunFolder) -> None:
    child.describe_record(folder, "t001")
    assert not folder.record.exists()
