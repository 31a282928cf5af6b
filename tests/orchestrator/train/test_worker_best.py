"""The best epoch of a whole run in this process: its result, its weights, and kills."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.worker import Worker


def test_the_best_epoch_is_kept_and_can_be_the_result(
    tiny_job: Callable[..., Job], run: Callable[..., Any]
) -> None:
    context = run(tiny_job("training.epochs=3", "checkpoint.select=best")).context
    by_epoch = [sum(r[f"top1/{bits}bit"] for bits in (8, 6, 4, 2)) for r in context.reports]
    best = by_epoch.index(max(by_epoch))
    kept = [folder.name for folder in context.folder.glob("best-epoch-*")]
    assert kept == [f"best-epoch-{best + 1:04d}"]
    assert json.loads((context.folder / "result.json").read_text())["epoch"] == best


@pytest.mark.parametrize(("killed_in", "best"), [("commit", 0), ("drop_best_but", 1)])
def test_the_chosen_weights_are_of_the_chosen_epoch_whatever_a_kill_comes_between(
    tiny_job: Callable[..., Job],
    run: Callable[..., Any],
    tmp_path: Path,
    folder_context: Any,
    monkeypatch: pytest.MonkeyPatch,
    killed_in: str,
    best: int,
) -> None:
    """The second epoch is the best until the kill; if it is repeated, it is not."""
    two = "quantizer.bit_widths=[8, 2]"
    job = tiny_job(two, "checkpoint.select=best", "evaluate.points=[7]")
    monkeypatch.setattr(Worker, "_is_best", lambda self, result: result.epoch <= best)
    expected = json.loads((run(job, "undisturbed").context.folder / "result.json").read_text())
    place = {"commit": folder_context, "drop_best_but": RunFolder}[killed_in]
    real = getattr(place, killed_in)

    def killed(self: Any, *given: Any, **options: Any) -> None:
        if (tmp_path / "run/best-epoch-0002").exists():
            raise KeyboardInterrupt
        real(self, *given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_is_best", lambda self, result: True)
        patched.setattr(place, killed_in, killed)
        with pytest.raises(KeyboardInterrupt):
            run(job)
    folder = run(job).context.folder
    found = json.loads((folder / "result.json").read_text())
    assert found["epoch"] == best
    assert found["rows"] == expected["rows"]
    assert [kept.name for kept in RunFolder(folder).best()] == [f"best-epoch-{best + 1:04d}"]


def test_a_best_epoch_whose_weights_are_lost_is_not_chosen(
    tiny_job: Callable[..., Job],
    run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    two = "quantizer.bit_widths=[8, 2]"
    job = tiny_job(two, "checkpoint.select=best", "evaluate.points=[7]")
    monkeypatch.setattr(
        Worker, "_is_best", lambda self, result: self.best is None or result.epoch == 0
    )
    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_stop_asked", lambda self: self.at.epoch == 1)
        run(job)
    shutil.rmtree(folder.best_copy(1))
    run(job)
    assert "The weights of epoch 1, the best one so far, are lost" in capsys.readouterr().out
    assert json.loads(folder.result.read())["epoch"] == 1
    assert [kept.name for kept in folder.best()] == ["best-epoch-0002"]
