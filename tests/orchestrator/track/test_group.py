"""Jobs that were submitted together, in a real MLflow store: children of one run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.job.schema import Job, Tracking
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import family, record, recorder

GROUP = "table-20260102-030405-c3d4"


def client_of(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def test_the_runs_of_a_group_are_children_of_one_run_that_stands_for_it(
    database: str, tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    tracking = (f"tracking.uri={database}", "tracking.experiment=groups", f"tracking.group={GROUP}")
    runs = []
    for name in ("one", "other"):
        folder = RunFolder(tmp_path / name)
        folder.make()
        folder.job.write(yaml.safe_dump(tiny_job(*tracking).as_dict()))
        runs.append(record.open_record(folder, pytest.fail))
    client = client_of(database)
    tags = [client.get_run(run.run_id).data.tags for run in runs]
    (parent,) = {own["mlflow.parentRunId"] for own in tags}
    stands = client.get_run(parent)
    assert (stands.info.run_name, stands.info.status) == ("c3d4 table", "FINISHED")
    assert stands.info.experiment_id == runs[0].experiment_id
    assert recorder.open_group(database, "groups", "another") != parent
    assert family.group_tags(database, Tracking(experiment="groups")) == {}


def test_of_two_runs_for_a_group_that_are_begun_at_the_same_moment_one_stays(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recorder.open_group(database, "races", GROUP)
    late = _Late(recorder._groups)
    monkeypatch.setattr(recorder, "_groups", late)
    assert recorder.open_group(database, "races", GROUP) == first
    assert late.asked == 2
    client = client_of(database)
    experiment = client.get_experiment_by_name("races").experiment_id
    assert [run.info.run_id for run in client.search_runs([experiment])] == [first]


class _Late:
    """Sees no run the first time: it looked before the other job's was there."""

    def __init__(self, seen: Callable[..., list[str]]) -> None:
        self._seen = seen
        self.asked = 0

    def __call__(self, *about: Any) -> list[str]:
        self.asked += 1
        return self._seen(*about) if self.asked > 1 else []
