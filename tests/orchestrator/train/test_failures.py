"""Which errors of a worker end a run, and what is reported about them."""

import errno
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from torch import nn

from orchestrator.data import Dataset
from orchestrator.data.ahead import Loaders, Wanted
from orchestrator.errors import CheckpointMismatch, Diverged, OrchError
from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.train import failures
from orchestrator.train.ranks import LostRank, Ranks
from orchestrator.train.why_lost import why_lost
from orchestrator.train.worker import Run, Worker


def raised(action: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        action()
    return caught.value


def reported(error: Exception, rank: int | None = 1) -> str:
    """Return what the driver gets to know, over two processes."""
    failure = failures.as_failure(error, "/runs/mine", rank)
    sent = pickle.loads(pickle.dumps(failure))
    assert isinstance(sent, OrchError)
    assert "\n" not in str(sent)
    return str(sent)


@pytest.mark.parametrize("error", [Diverged("The loss is gone."), CheckpointMismatch("Other.")])
def test_an_error_of_ours_keeps_its_message_and_exit_code(error: OrchError) -> None:
    failure = failures.as_failure(error, "/runs/mine", 0)
    assert (str(failure), failure.exit_code) == (str(error), error.exit_code)


def test_an_error_in_the_code_is_reported_with_its_place_its_rank_and_its_first_line() -> None:
    from models.layers.norm import SwitchableBatchNorm2d
    from tests.models.precisions import at, precisions

    norm = SwitchableBatchNorm2d(4, precisions(8, 2))
    message = reported(raised(lambda: norm(torch.zeros(2, 3, 5, 5), at(8))))
    assert message.startswith("RuntimeError in models/layers/norm.py:")
    assert "(rank 1): running_mean should contain 3 elements not 4" in message
    assert "not retried" in message
    assert "KeyError in models/layers/norm.py:" in reported(
        raised(lambda: norm(torch.zeros(1), at(3)))
    )


def test_a_pass_of_one_sample_of_one_pixel_is_reported_with_the_settings_that_help(
    tiny_job: Callable[..., Job], tmp_path: Path, folder_context: Any
) -> None:
    small = ("data.crop=8", "data.resize=8", "model.widths=[4,4,4,4]", "model.depths=[1,1,1,1]")
    job = tiny_job(*small, "cluster.max_batch_per_worker=1")
    worker = Worker(job, Run(RunFolder(tmp_path)), folder_context(tmp_path))
    message = reported(raised(worker.run), 0)
    assert "Expected more than 1 value per channel" in message
    assert "cluster.max_batch_per_worker" in message
    assert "data.crop" in message


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    ],
)
def test_lack_of_memory_is_reported_with_the_setting_that_helps(error: Exception) -> None:
    assert "lower cluster.max_batch_per_worker" in reported(error)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which Linux has")
def test_a_full_disk_is_reported_with_its_folder_and_that_the_checkpoint_stays() -> None:
    def write() -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    message = reported(raised(write))
    assert "No space left on device" in message
    assert "Nothing more can be written to /runs/mine" in message
    assert "The last checkpoint is still there" in message
    named = OSError(errno.EDQUOT, "Disk quota exceeded", "/runs/other/state.pt")
    assert "written to /runs/other: Disk quota" in reported(named)
    scratch = OSError(errno.ENOSPC, "No space left on device", "/runs/mine/.checkpoint-1-0/x")
    assert "written to /runs/mine: No space" in reported(scratch)
    copied = shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])
    assert "written to /runs/mine: No space" in reported(copied)


class Deadly:
    """Kills the process that loads a sample after the first ones."""

    sample_shape = (1,)

    def source(self, index: int) -> str:
        return str(index)

    def load(self, index: int, _: object) -> torch.Tensor:
        if index > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(1)


def test_a_killed_loader_process_is_a_lost_worker_and_an_error_in_the_code_is_not() -> None:
    data, loaders = cast("Dataset", Deadly()), Loaders(1, "processes")
    error = raised(lambda: list(loaders.batches(data, [[Wanted((n,))] for n in range(4)])))
    assert failures.is_lost_process(pickle.loads(pickle.dumps(error)))
    assert why_lost({2: error}).startswith("Rank 2: a loader process was killed or crashed")
    assert len(list(loaders.batches(data, [[Wanted((0,))]]))) == 1  # by another process
    assert not failures.is_lost_process(raised(lambda: nn.Linear(3, 2)(torch.zeros(1, 4))))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (RuntimeError("[pair.cc:547] Connection closed by peer [127.0.0.1]:52212"), LostRank),
        (dist.DistBackendError("NCCL error: remote process exited"), LostRank),
        (torch.OutOfMemoryError("CUDA out of memory."), torch.OutOfMemoryError),
        (ValueError("no tensor"), ValueError),
    ],
)
def test_what_breaks_while_ranks_exchange_values_is_the_loss_of_another_rank(
    monkeypatch: pytest.MonkeyPatch, found: Exception, expected: type[Exception]
) -> None:
    def broken(*_: object) -> None:
        raise found

    monkeypatch.setattr(dist, "all_reduce", broken)
    monkeypatch.setattr(dist, "all_gather_object", broken)
    with pytest.raises(expected):
        Ranks(0, 2).sum(torch.ones(2))
    with pytest.raises(expected):
        Ranks(0, 2).gather("value")
