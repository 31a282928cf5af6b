"""What the processes of a two-rank test run: some steps of a job, and what they left behind."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from orchestrator.data.loader import steps_per_epoch, train_batches
from orchestrator.job.schema import job_from_dict
from orchestrator.plan.batch import plan_batch
from orchestrator.train.epoch import train_epoch
from orchestrator.train.evaluate import evaluate
from orchestrator.train.phase import build_phase
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import build_parts
from orchestrator.train.tally import Tally


def run_ranks(world: int, folder: Path, job: dict[str, Any], **options: Any) -> list[Any]:
    """Run the program on `world` processes; return what each of them left."""
    folder.mkdir()
    if world == 1:
        torch.set_num_threads(1)
        return [train_some_steps(Ranks(), job, **options)]
    mp.spawn(_process, (world, folder, job, options), nprocs=world)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


def _process(
    rank: int, world: int, folder: Path, job: dict[str, Any], options: dict[str, Any]
) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    left = train_some_steps(Ranks(rank, world), job, **options)
    torch.save(left, folder / f"{rank}.pt")
    dist.destroy_process_group()


def train_some_steps(
    ranks: Ranks, values: dict[str, Any], *, steps: int, norm_in_evaluation_mode: bool
) -> dict[str, Any]:
    """Train the first steps of a job; return gradients of the last one, parameters, results."""
    job = job_from_dict(values)
    parts = build_parts(job, ranks.device)
    if norm_in_evaluation_mode:
        parts.network.eval()
        parts.network.train = lambda mode=True: parts.network  # type: ignore[method-assign]
    plan = plan_batch(job.training.global_batch, ranks.world, job.cluster.max_batch_per_worker)
    steps_of_epoch = steps_per_epoch(len(parts.train_set), plan.global_batch)
    loop = build_phase((job,), 0, parts, ranks, steps_of_epoch).loop
    tally = Tally(job.points, ranks.device)
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
