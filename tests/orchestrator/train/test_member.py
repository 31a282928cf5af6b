"""One process trains several runs, one after the other, each as a process of its own would."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.errors import OrchError
from orchestrator.job.schema import Job
from orchestrator.job.source import dump
from orchestrator.run_facts import facts_of
from orchestrator.search.records import How
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import WEIGHTS, RunFolder
from orchestrator.train.member import Member, Outcome, Task
from orchestrator.train.ranks import LostRank, Ranks
from orchestrator.train.worker import Run, Worker
from tests.orchestrator.train.thread_ranks import Twins


@pytest.fixture
def make_task(tiny_job: Callable[..., Job], tmp_path: Path) -> Callable[..., Task]:
    """Make the folder of a run of the tiny job, and the task to train it."""

    def make(name: str, *options: str, until: int | None = None) -> Task:
        two = "quantizer.bit_widths=[8, 2]"
        folder, job = RunFolder(tmp_path / "runs" / name), tiny_job(two, *options)
        folder.make()
        folder.job.write(dump(job.as_dict()))
        return Task(name, job.as_dict(), Run(folder), until)

    return make


def weights(task: Task) -> dict[str, torch.Tensor]:
    return dict(load_file(task.run.folder.checkpoints()[-1] / WEIGHTS))


def test_a_run_is_the_same_bit_for_bit_after_another_one_in_the_same_process(
    make_task: Callable[..., Task], tiny_job: Callable[..., Job]
) -> None:
    alone, second = make_task("alone"), make_task("second")
    assert Member().train(alone, Ranks()) == Outcome(How.FINISHED)
    member = Member()
    other = make_task("other", "training.deterministic=true", "optimizer.lr=0.2", "seed=7")
    member.train(other, Ranks())
    member.train(second, Ranks())
    expected, found = weights(alone), weights(second)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert any(not torch.equal(weights(other)[name], value) for name, value in expected.items())


def test_a_leg_ends_where_it_was_to_park_and_the_next_one_continues_there(
    make_task: Callable[..., Task],
) -> None:
    member = Member()
    assert member.train(make_task("t001", until=1), Ranks()) == Outcome(How.PARKED)
    assert not make_task("t001").run.folder.result.exists()
    assert member.train(make_task("t001"), Ranks()) == Outcome(How.FINISHED)
    assert make_task("t001").run.folder.result.exists()


@pytest.mark.parametrize("ask", [RunFolder.ask_to_stop, RunFolder.ask_to_stop_by_name])
def test_a_leg_that_is_asked_to_stop_saves_and_ends(
    make_task: Callable[..., Task], ask: Callable[[RunFolder], None]
) -> None:
    task = make_task("t001")
    ask(task.run.folder)
    assert Member().train(task, Ranks()) == Outcome(How.STOPPED)
    assert task.run.folder.newest() == (0, 0, 1)


def test_what_a_leg_says_bears_its_name_in_the_log_and_not_in_its_folder(
    make_task: Callable[..., Task], capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task("t001", until=1)
    Member().train(task, Ranks())
    said = [line for line in capsys.readouterr().out.splitlines() if "::orch" in line]
    assert said
    assert all('"trial": "t001"' in line for line in said)
    assert facts_of(task.run.folder).evaluated is not None


def test_numbers_that_are_not_finite_fail_the_run_and_leave_the_group_as_it_is(
    make_task: Callable[..., Task],
) -> None:
    task = make_task("t001", "optimizer.lr=1e12", "optimizer.clip.lr=1e12")
    outcome = Member().train(task, Ranks())
    assert outcome.how == How.FAILED
    assert "no longer a finite number" in outcome.reason


def test_an_error_of_the_only_rank_fails_the_run_and_of_one_of_several_the_group(
    make_task: Callable[..., Task], capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task("t001", "data.root=/nowhere")
    outcome = Member().train(task, Ranks())
    assert outcome.how == How.FAILED
    assert "/nowhere" in outcome.reason
    assert "Traceback" in capsys.readouterr().err
    with pytest.raises(OrchError, match="/nowhere") as raised:
        Member().train(task, Twins(0))
    assert str(raised.value) == outcome.reason


@pytest.mark.parametrize("loss", [LostRank, StorageTrouble])
def test_the_loss_of_another_process_or_of_the_storage_is_passed_on(
    make_task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch, loss: type[Exception]
) -> None:
    def lose(*_: object) -> None:
        raise loss("gone")

    monkeypatch.setattr(Worker, "run", lose)
    with pytest.raises(loss):
        Member().train(make_task("t001"), Ranks())
