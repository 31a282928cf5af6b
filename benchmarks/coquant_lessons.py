"""How much CoQuant's teachers have to teach at the end of the trainings of `coquant_parts`.

    python -m benchmarks.coquant_lessons --root FOLDER [--work FOLDER] [--seeds 3]

Trains CoQuant without swaps, or takes its run if `coquant_parts` has made it in the same work
folder, and gives 50 training batches to the network as it is in the end. The record in
`benchmarks/results/coquant_lessons.json` has for each student, means over batches and seeds:

- "top1", "teacher_top1": on these images, of the student and of the teacher that Eq. 7 chooses;
- "ce", "teacher_ce": their cross-entropies;  "kl": what the teacher adds to the student's loss;
- "gradient": with respect to the shared weights, |that of KL| / |that of the student's CE|.

"step_gradient" is the same of a whole step: of the sum over students, over that of all points.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.alone import Given, command_line, train
from benchmarks.coquant_parts import RANKING
from benchmarks.ranking import Wanted
from benchmarks.results_file import conditions, keep
from models.methods.coquant import CoQuantSettings
from models.methods.teacher import (
    choose_teacher,
    distillation_loss,
    mean_entropy,
    teacher_scores,
)
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint
from orchestrator.data.loader import LoadedBatch, train_batches
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.prepare.datasets import open_datasets
from orchestrator.prepare.start import start
from orchestrator.store.run_folder import Reached, RunFolder

METHOD = "coquant_no_swap"
BATCHES = 50


class Lesson(NamedTuple):
    """What a student has from its teacher on one batch, as the head of this file says."""

    top1: float
    teacher_top1: float
    ce: float
    teacher_ce: float
    kl: float
    gradient: float


class Lessons(NamedTuple):
    """Of one batch. of: by the student's name. step_gradient: of all of them together."""

    of: dict[str, Lesson]
    step_gradient: float


def main() -> None:
    """Look at the lessons of each seed, and keep the means."""
    given = command_line(RANKING.job.stem, "How much CoQuant's teachers have to teach.")
    about = conditions(f"python -m benchmarks.coquant_lessons --root FOLDER --seeds {given.seeds}")
    seen = list(chain.from_iterable(of_seed(seed, given) for seed in range(given.seeds)))
    facts = {"job": RANKING.job.name, "method": RANKING.methods[METHOD], "seeds": given.seeds}
    keep("coquant_lessons", {**about, **facts, "batches": BATCHES, **means(seen)})


def of_seed(seed: int, given: Given) -> Iterator[Lessons]:
    """Yield the lessons of training batches at the end of the training with a seed."""
    wanted = Wanted(METHOD, "", seed)
    job, run = RANKING.job_of(wanted, given.root, given.work), RunFolder(given.work / wanted.place)
    if run.newest() != Reached(phase=0, epoch=job.training.epochs, step=0):
        shutil.rmtree(given.work / wanted.place, ignore_errors=True)
        train(job, given.work / wanted.place)
    train_set, _ = open_datasets(job)
    network = trained(job, run, train_set.num_classes)
    steps = train_batches(train_set, job.plans[-1], rank=0, seed=seed, epoch=job.training.epochs)
    for batch in islice(chain.from_iterable(steps), BATCHES):
        yield lessons(network, job, batch)


def trained(job: Job, run: RunFolder, num_classes: int) -> AnyBitNetwork:
    """Return the network of a run's last checkpoint, as in training."""
    there = {"source": "checkpoint", "weights": str(run.checkpoints()[-1])}
    network = build_network(job, num_classes)
    start(network, job.model_copy(update={"start": job.start.model_copy(update=there)}))
    return network.train()


def lessons(network: AnyBitNetwork, job: Job, batch: LoadedBatch) -> Lessons:
    """Return what each student has from its teacher on a batch; the network stays as it is."""
    assert isinstance(job.method, CoQuantSettings)
    weight, found = job.method.distance_weight, {}
    highest, *students = job.points
    with network.frozen_statistics():
        outputs = {highest: network(batch.inputs, highest)}
        ce = F.cross_entropy(outputs[highest], batch.labels)
        of_ce, of_kl = gradient(network, ce), torch.zeros(())
        for student in students:
            teacher = _teacher(network, outputs, student, weight)
            logits = network(batch.inputs, student)
            ce, kl = F.cross_entropy(logits, batch.labels), distillation_loss(logits, teacher)
            own, taught = gradient(network, ce), gradient(network, kl)
            of_ce, of_kl = of_ce + own, of_kl + taught
            found[student.name] = Lesson(
                top1=_top1(logits, batch.labels),
                teacher_top1=_top1(teacher, batch.labels),
                ce=ce.item(),
                teacher_ce=F.cross_entropy(teacher, batch.labels).item(),
                kl=kl.item(),
                gradient=(taught.norm() / own.norm()).item(),
            )
            outputs[student] = logits
    return Lessons(found, (of_kl.norm() / of_ce.norm()).item())


def _teacher(
    network: AnyBitNetwork,
    outputs: Mapping[OperatingPoint, Tensor],
    student: OperatingPoint,
    weight: float,
) -> Tensor:
    """Return the logits of the teacher that Eq. 7 chooses, without gradient."""
    entropy = {one: mean_entropy([given], lambda own: own).item() for one, given in outputs.items()}
    distance = {one: network.weight_distance(one, student).item() for one in outputs}
    return outputs[choose_teacher(teacher_scores(entropy, distance, weight))].detach()


def gradient(network: AnyBitNetwork, loss: Tensor) -> Tensor:
    """Return the gradient of a loss with respect to the weights of convolutions, as one vector."""
    weights = [one for one in network.parameters() if one.dim() == 4]
    each = torch.autograd.grad(loss, weights, retain_graph=True)
    return torch.cat([one.flatten() for one in each])


def _top1(logits: Tensor, labels: Tensor) -> float:
    return 100 * (logits.argmax(1) == labels).double().mean().item()


def means(seen: Sequence[Lessons]) -> dict[str, object]:
    """Return the mean of each figure over batches."""
    return {
        "students": {
            name: {
                key: round(mean(getattr(one.of[name], key) for one in seen), 5)
                for key in Lesson._fields
            }
            for name in seen[0].of
        },
        "step_gradient": round(mean(one.step_gradient for one in seen), 4),
    }


if __name__ == "__main__":
    main()
