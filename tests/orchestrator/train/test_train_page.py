"""Ray's page of training runs after a driver was killed; the end-to-end test asks Ray itself."""

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest
import ray

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

from ray._private import worker
from ray.train.v2._internal.state import state_actor

from orchestrator.train import train_page


class Run(SimpleNamespace):
    """A run as Ray's actor keeps it."""

    def model_copy(self, update: dict[str, str]) -> "Run":
        return Run(**vars(self) | update)


class Method:
    """A method of an actor, called in place."""

    def __init__(self, act: Any) -> None:
        self.remote = act


def driver(job_id: str, submission: str) -> Any:
    config = SimpleNamespace(metadata={train_page.SUBMISSION: submission})
    return SimpleNamespace(job_id=bytes.fromhex(job_id), config=config)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    """The runs of a cluster on which this process is the second driver of a job."""
    kept = {name: Run(id=name, job_id=name * 4) for name in ("01", "02", "03")}
    actor = SimpleNamespace(
        get_train_runs=Method(lambda: dict(kept)),
        create_or_update_train_run=Method(lambda run: kept.update({run.id: run})),
    )
    jobs = [driver("01010101", "a"), driver("02020202", "b"), driver("03030303", "a")]
    gcs = SimpleNamespace(get_all_job_info=lambda **_: dict(enumerate(jobs)))
    here = SimpleNamespace(get_job_id=lambda: "03030303")
    monkeypatch.setenv(train_page.JOB_CONFIG, json.dumps({"metadata": {"job_submission_id": "a"}}))
    monkeypatch.setattr(worker, "global_worker", SimpleNamespace(gcs_client=gcs))
    monkeypatch.setattr(state_actor, "get_state_actor", lambda: actor)
    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: here)
    return kept


def test_the_runs_of_earlier_drivers_of_the_job_alone_are_moved(runs: dict[str, Run]) -> None:
    train_page.take_over()
    assert {run.id: run.job_id for run in runs.values()} == {
        "01": "03030303",
        "02": "02020202",
        "03": "03030303",
    }


def test_a_version_of_ray_that_keeps_them_elsewhere_is_a_warning(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "global_worker", object())
    train_page.take_over()
    assert "page of training runs may show nothing: AttributeError" in capsys.readouterr().out
    assert runs["01"].job_id == "01010101"
