"""When lost workers are started again, asked as Ray Train asks."""

import os
from pathlib import Path

import pytest

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

from ray.exceptions import OutOfMemoryError, RayActorError
from ray.train import ControllerError, TrainingFailedError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import WorkerGroupError

from orchestrator.errors import Diverged, JobFailed
from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.entry import Left
from orchestrator.train.patience import Patience
from orchestrator.train.ranks import LostRank
from orchestrator.train.why_lost import why_lost, why_lost_controller

KILLED = WorkerHealthCheckFailedError(
    "Worker health check failed",
    RayActorError(error_msg="The actor died. ip: 10.0.0.7. Worker exit type: SYSTEM_ERROR"),
)
LEFT = LostRank("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1")


def ask(patience: Patience, errors: dict[int, Exception]) -> Exception | None:
    """Return what ends the run, None when the workers are started again."""
    return judged(patience, WorkerGroupError("lost", errors))


def start(patience: Patience, error: Exception) -> Exception | None:
    """Return what ends the run after an error at the start of workers, None as above."""
    return judged(patience, ControllerError(error))


def judged(patience: Patience, error: TrainingFailedError) -> Exception | None:
    """Ask as Ray Train's controller does: of what the policy raises, the policy is asked."""
    try:
        decision = patience.make_decision(error)
    except ControllerError as raised:
        error, decision = raised, patience.make_decision(raised)
    if decision is FailureDecision.RETRY:
        return None
    assert decision is FailureDecision.RAISE
    return error.controller_failure if isinstance(error, ControllerError) else error


def startup_failed(error: Exception) -> WorkerGroupStartupFailedError:
    """Return Ray Train's error about an actor that died while it started."""
    failed = WorkerGroupStartupFailedError("At least one of the worker actors failed.")
    failed.__cause__ = error
    return failed


def commit(run_dir: Path, epoch: int, step: int) -> None:
    (run_dir / f"checkpoint_p01_e{epoch:04d}_s{step:06d}").mkdir()


def test_losses_are_counted_since_the_last_new_checkpoint(tmp_path: Path) -> None:
    patience = Patience("mine", RunFolder(tmp_path), 2)
    for epoch in range(6):
        assert ask(patience, {0: LEFT, 1: KILLED}) is None
        assert ask(patience, {0: LEFT, 1: KILLED}) is None
        commit(tmp_path, epoch, 5)
    for _ in range(2):
        assert ask(patience, {1: KILLED}) is None
    ended = str(ask(patience, {1: KILLED}))
    assert "lost 3 times since the checkpoint at epoch 6, step 5" in ended
    assert "cluster.max_failures = 2" in ended
    assert "The process of rank 1 on 10.0.0.7 was killed or crashed" in ended
    assert "`orch resume mine`" in ended


def test_a_checkpoint_that_was_there_before_is_no_progress(tmp_path: Path) -> None:
    commit(tmp_path, 3, 0)
    patience = Patience("mine", RunFolder(tmp_path), 0)
    assert "once since the checkpoint at epoch 4" in str(ask(patience, {1: KILLED}))


def test_a_checkpoint_of_a_later_phase_is_progress_and_is_named_with_the_phase(
    tmp_path: Path,
) -> None:
    commit(tmp_path, 3, 0)
    patience = Patience("mine", RunFolder(tmp_path), 0)
    (tmp_path / "checkpoint_p02_e0000_s000002").mkdir()
    ended = str(ask(patience, {1: KILLED}))
    assert "once since the checkpoint at phase 2, epoch 1, step 2" in ended


def test_an_error_that_a_rank_named_ends_the_run_at_once_whatever_the_others_say(
    tmp_path: Path,
) -> None:
    diverged = Diverged("The loss at 2bit is no longer a finite number.")
    assert (
        ask(Patience("mine", RunFolder(tmp_path), 9), {0: LEFT, 1: diverged, 2: KILLED}) is diverged
    )


def test_workers_that_crash_at_their_start_are_lost_workers_and_end_the_run_after_too_many(
    tmp_path: Path,
) -> None:
    died = RayActorError(error_msg="The actor died. ip: 10.0.0.7. Worker exit type: SYSTEM_ERROR")
    patience = Patience("mine", RunFolder(tmp_path), 3)
    for lost in (startup_failed(died), died, LEFT):
        assert start(patience, lost) is None
    ended = start(patience, startup_failed(died))
    assert isinstance(ended, JobFailed)
    assert "Workers were lost 4 times since the start" in str(ended)
    assert "The process of a worker that was starting on 10.0.0.7 was killed or crashed" in str(
        ended
    )


def test_room_is_waited_for_without_end_and_workers_that_left_are_no_loss(tmp_path: Path) -> None:
    patience = Patience("mine", RunFolder(tmp_path), 0)
    for _ in range(5):
        assert start(patience, WorkerGroupStartupTimeoutError(2)) is None
        assert ask(patience, {0: Left("saved"), 1: LEFT}) is None


def test_any_other_error_of_the_controller_is_a_bug_that_is_not_tried_again(tmp_path: Path) -> None:
    error = ValueError("a bug")
    assert start(Patience("mine", RunFolder(tmp_path), 9), error) is error


def test_each_restart_is_reported_with_its_number_and_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patience = Patience("mine", RunFolder(tmp_path), 2)
    ask(patience, {0: LEFT, 1: KILLED})
    ask(patience, {0: LEFT})
    kept = facts_of(RunFolder(tmp_path)).restarted
    assert kept is not None
    assert kept.count == 2
    assert kept.reason == "Rank 0 lost its connection to the others."
    assert capsys.readouterr().out.count("::orch ") == 2


OUT_OF_MEMORY = (
    "Task was killed due to the node running low on memory.\nMemory on the node (IP: 10.0.0.9, ID: "
    "ab12) was 15.20GB / 16.00GB (0.95), which exceeds the memory usage threshold of 0.95. "
    + "x"
    * 900
)


def test_memory_that_ran_out_is_reported_with_the_node_and_the_setting_not_rays_page() -> None:
    error = WorkerHealthCheckFailedError("failed", OutOfMemoryError(OUT_OF_MEMORY))
    message = why_lost({0: LEFT, 1: error})
    assert message.startswith("Rank 1 ran out of memory on 10.0.0.9 and was killed.")
    assert "lower cluster.max_batch_per_worker" in message
    assert len(message) < 300


def test_lost_nodes_and_frozen_workers_are_reported_as_such() -> None:
    node = WorkerHealthCheckFailedError(
        "failed", RayActorError(error_msg="The actor died because its node has died. Node Id: ab12")
    )
    assert why_lost_controller(node) == "The node of Ray Train's controller is lost."
    assert why_lost({1: node}) == "The node of rank 1 is lost."
    frozen = WorkerHealthCheckTimeoutError("A worker health check has been hanging for 61 s.")
    assert "Rank 1 stopped answering: A worker health" in why_lost({0: LEFT, 1: frozen})
