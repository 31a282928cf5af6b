"""The ablations of CoQuant in the training loop: resumed, and on two ranks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.epoch import Loop, train_step
from orchestrator.train.tally import Tally
from orchestrator.train.worker import Worker
from tests.orchestrator.train.reference import near
from tests.orchestrator.train.test_epoch import JOB, batch, loop_of, pictures
from tests.orchestrator.train.thread_ranks import Meeting

ABLATIONS = {
    "w/o Swap": ("method.p1=1",),
    "w/o DL": ("method.distillation=none",),
    "w/ IFD": ("method.p1=1", "method.distillation=features"),
    "Average": ("method.teacher_mode=average", "method.ensemble_swap=true"),
    "Learnable Weighted": ("method.teacher_mode=learned",),
}
ablations = pytest.mark.parametrize("options", ABLATIONS.values(), ids=ABLATIONS.keys())


@ablations
def test_an_ablation_that_is_stopped_goes_on_to_the_same_weights(
    tiny_job: Callable[..., Job],
    run: Callable[..., Worker],
    tmp_path: Path,
    options: tuple[str, ...],
) -> None:
    passes = ("training.global_batch=12", "cluster.max_batch_per_worker=12")
    several = "teacher_mode" in options[0]
    bit_widths = f"quantizer.bit_widths={[8, 4, 2] if several else [4, 2]}"
    job = tiny_job(bit_widths, *passes, *options)
    folder = RunFolder(tmp_path / "stopped")
    folder.make()
    folder.ask_to_stop()
    for _ in range(2):
        run(job, "stopped")
    folder.withdraw_stop()
    whole, stopped = run(job, "whole"), run(job, "stopped")
    for worker in (whole, stopped):
        assert worker.last is not None
        assert all(torch.isfinite(torch.tensor(row.loss)) for row in worker.last.rows)
    first, second = (load_file(w.context.latest() / "model.safetensors") for w in (whole, stopped))
    assert all(torch.equal(first[name], value) for name, value in second.items())
    learned = whole.phase.method.state_dict()
    assert all(torch.equal(learned[n], v) for n, v in stopped.phase.method.state_dict().items())
    assert bool(learned) == ("method.teacher_mode=learned" in options)
    assert all(value.abs().min() > 0 for value in learned.values() if len(value) > 1)


@ablations
def test_gradients_of_an_ablation_do_not_depend_on_how_a_step_is_shared(
    tiny_job: Callable[..., Job], options: tuple[str, ...]
) -> None:
    job = tiny_job(*JOB, *options)
    whole = gradients(job, world=1, passes=1)
    shared = gradients(job, world=2, passes=2)
    for found in shared:
        assert found.keys() == whole[0].keys()
        for name, gradient in whole[0].items():
            near(found[name], gradient, name)


def gradients(job: Job, *, world: int, passes: int) -> list[dict[str, Tensor]]:
    """Take one step with batch norm in evaluation mode; return each rank's gradients."""
    meeting = Meeting(world)
    loops = [loop_of(job, ranks) for ranks in meeting.ranks()]
    for loop in loops:
        loop.method.double()
    return meeting.run([partial(_step, job, loop, passes) for loop in loops])


def _step(job: Job, loop: Loop, passes: int) -> dict[str, Tensor]:
    loop.network.eval()
    parts = zip(*(one.chunk(loop.ranks.world * passes) for one in pictures()), strict=True)
    own = [batch(*part) for part in parts][loop.ranks.rank * passes :][:passes]
    tally = Tally(loop.method.loss_names, loop.ranks.device)
    train_step(loop, own, tally, epoch=0, index=0, wants_stop=lambda: False)
    named = [*loop.network.named_parameters(), *loop.method.named_parameters()]
    return {name: one.grad for name, one in named if one.grad is not None}
