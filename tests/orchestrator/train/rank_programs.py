"""What the processes of a test of several ranks run, and what they leave behind."""

import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from orchestrator.data.loader import steps_per_epoch, train_batches
from orchestrator.job.load import load_job
from orchestrator.job.schema import job_from_dict
from orchestrator.plan.batch import plan_batch
from orchestrator.train import gradients as module
from orchestrator.train.context import FolderContext
from orchestrator.train.epoch import train_epoch
from orchestrator.train.evaluate import evaluate
from orchestrator.train.numerics import set_numerics
from orchestrator.train.phase import build_phase
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import build_parts
from orchestrator.train.tally import Tally
from orchestrator.train.worker import Run, Worker


def run_ranks(world: int, folder: Path, program: Callable[[Ranks], Any]) -> list[Any]:
    """Run a program on `world` processes; return what each of them left."""
    folder.mkdir()
    if world == 1:
        torch.set_num_threads(1)
        return [program(Ranks())]
    multiprocessing.set_forkserver_preload([__name__, "torch._inductor.config"])  # of optimizers
    mp.start_processes(_process, (world, folder, program), world, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


def _process(rank: int, world: int, folder: Path, program: Callable[[Ranks], Any]) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    left = program(Ranks(rank, world))
    torch.save(left, folder / f"{rank}.pt")
    dist.destroy_process_group()


def train_some_steps(
    ranks: Ranks, values: dict[str, Any], *, steps: int, norm_in_evaluation_mode: bool
) -> dict[str, Any]:
    """Train the first steps of a job; return gradients of the last one, parameters, results."""
    job = job_from_dict(values)
    parts = build_parts(job, ranks)
    if norm_in_evaluation_mode:
        parts.network.eval()
        parts.network.train = lambda mode=True: parts.network  # type: ignore[method-assign]
    plan = plan_batch(job.training.global_batch, ranks.world, job.cluster.max_batch_per_worker)
    steps_of_epoch = steps_per_epoch(len(parts.train_set), plan.global_batch)
    loop = build_phase((job,), 0, parts, ranks, steps_of_epoch).loop
    tally = Tally(loop.method.loss_names, ranks.device)
    done: list[int] = []
    train_epoch(
        loop,
        train_batches(parts.train_set, plan, rank=ranks.rank, seed=job.seed, epoch=0),
        tally,
        epoch=0,
        first_step=0,
        wants_stop=lambda: ranks.is_first and len(done) + 1 == steps,
        after_step=done.append,
    )
    named = dict(parts.network.named_parameters())
    return {
        "steps": len(done),
        "gradients": {name: p.grad for name, p in named.items()},
        "parameters": {name: p.detach().clone() for name, p in named.items()},
        "teachers": tally.teacher_shares(),
        "evaluation": evaluate(parts.network, job.points, parts.val_set, ranks, batch=2),
    }


def train_whole_run(run: Run, ranks: Ranks) -> None:
    """Train the job in a run's folder from start to end."""
    job = load_job(str(run.folder.job)).job
    set_numerics(job.training)
    Worker(job, run, FolderContext(run.folder, ranks, keep=job.checkpoint.keep)).run()


SHAPES = ((3, 5), (), (7,), (2, 3, 2, 2), (40,))


def drawn_gradient(rank: int, step: int, number: int) -> Tensor:
    """The gradient of a rank for the parameter of that number."""
    generator = torch.Generator().manual_seed(100 * rank + 10 * step + number)
    return torch.randn(SHAPES[number], generator=generator)


def average_drawn_gradients(
    ranks: Ranks, used: Sequence[Sequence[int]], stop_of: int
) -> list[tuple[list[Tensor | None], int, bool]]:
    """Average the gradients of the parameters used in each step, in chunks of 16 numbers or more.

    stop_of: the rank that asks to stop in the last step. Returns for each step the means, in how
    many places of memory they are, and whether to stop.
    """
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    parameters[3].data = parameters[3].to(memory_format=torch.channels_last)
    module.CHUNK = 16
    gradients = module.FlatGradients(parameters, ranks)
    left = []
    for step, numbers in enumerate(used):
        for number, parameter in enumerate(parameters):
            parameter.grad = drawn_gradient(ranks.rank, step, number) if number in numbers else None
        for number in numbers[:2]:
            gradients.complete(parameters[number])
        asks = step == len(used) - 1 and ranks.rank == stop_of
        stop = gradients.average(stop=asks, loss=torch.zeros(()))
        means = [None if p.grad is None else p.grad.clone() for p in parameters]
        storages = [p.grad.untyped_storage() for p in parameters if p.grad is not None]
        left.append((means, len({storage.data_ptr() for storage in storages}), stop))
    return left
