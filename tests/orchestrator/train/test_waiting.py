"""How long a rank waits for its batches is part of what is known of an epoch."""

import time
from collections.abc import Callable, Iterator

import pytest
import torch

from orchestrator.data.loader import LoadedBatch
from orchestrator.job.schema import Job
from orchestrator.train.epoch import train_step
from orchestrator.train.ranks import Ranks
from orchestrator.train.tally import Tally
from tests.orchestrator.train.test_epoch import JOB, batch, drawn_batches, loop_of

SECONDS = 0.1


def test_the_time_until_batches_are_loaded_is_counted(tiny_job: Callable[..., Job]) -> None:
    loop = loop_of(tiny_job(*JOB), Ranks())
    tally = Tally(loop.method.loss_names, torch.device("cpu"))
    passes = drawn_batches()[0, 0][0]

    def late() -> Iterator[LoadedBatch]:
        for one in passes:
            time.sleep(SECONDS)
            yield batch(*one)

    train_step(loop, late(), tally, epoch=0, index=0, wants_stop=lambda: False)
    assert len(passes) * SECONDS <= tally.waited < tally.seconds
    assert tally.data_share == pytest.approx(tally.waited / tally.seconds, rel=0.1)
