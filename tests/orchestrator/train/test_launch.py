"""What the driver makes of the files that earlier attempts and the workers left."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.exceptions import ActorUnschedulableError

from orchestrator import handover
from orchestrator.errors import JobFailed, OrchError
from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.train import driver, launch
from orchestrator.train.worker import Run


class NoSender:
    """Sends nothing."""

    def watch(self, _folder: RunFolder) -> None: ...


def test_the_driver_says_what_it_does_and_has_the_secrets_of_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = handover.leave(tmp_path / "secrets", "a-1", {"MLFLOW_TRACKING_PASSWORD": "s"})
    monkeypatch.setattr(os, "environ", os.environ | {handover.VARIABLE: str(file)})
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)
    seen: list[str | None] = []

    def end(_: object) -> None:
        seen.append(os.environ.get("MLFLOW_TRACKING_PASSWORD"))
        raise OrchError("the end")

    monkeypatch.setattr(driver, "_job", end)
    given = {"run": "a-1", "run_dir": str(tmp_path / "a-1"), "attempt": 1, "job": {}}
    (tmp_path / "run.json").write_text(json.dumps(given))
    assert launch.main(str(tmp_path / "run.json")) == 1
    assert seen == ["s"]
    assert "Checking the job ..." in capsys.readouterr().out
    assert file.exists()  # another driver may follow


def test_what_takes_long_is_said_before_it_begins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_job: Callable[..., Job],
) -> None:
    said: list[str] = []

    class Trainer:
        def __init__(self, *_: object, **__: object) -> None: ...

        def fit(self) -> None:
            said.extend(capsys.readouterr().out.splitlines())

    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr("orchestrator.train.trainer.build_trainer", Trainer)
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)
    job = tiny_job("cluster.num_workers=3", "training.global_batch=6")
    launch._train(job, Run(RunFolder(tmp_path)), NoSender())  # type: ignore[arg-type]
    assert "Starting 3 workers, each of which loads PyTorch first ..." in said[-1]


def test_a_head_that_goes_while_the_controller_starts_is_no_mistake_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_job: Callable[..., Job]
) -> None:
    class Trainer:
        def __init__(self, *_: object, **__: object) -> None: ...

        def fit(self) -> None:
            raise ActorUnschedulableError(
                "The node specified via NodeAffinitySchedulingStrategy doesn't exist any more or "
                "is infeasible, and soft=False was specified."
            )

    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr("orchestrator.train.trainer.build_trainer", Trainer)
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)
    with pytest.raises(driver.LostController, match=r"^The node of Ray Train's controller is lost"):
        launch._train(tiny_job(), Run(RunFolder(tmp_path)), NoSender())  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"rows": []}', b"\xff\xfe"])
def test_a_damaged_result_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder(tmp_path)
    Path(str(folder.result)).write_bytes(content)
    with pytest.raises(JobFailed, match=r"result\.json is damaged. Remove it; `orch resume`"):
        launch._conclude(Run(folder), NoSender())  # type: ignore[arg-type]
