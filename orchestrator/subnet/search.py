"""The sub-nets of a finished run: the best ones by sensitivity, beside random ones as large."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, OperatingPoint, Precision, precisions_of
from models.sensitivity import sensitivities
from orchestrator.data.loader import train_batches
from orchestrator.errors import UsageError
from orchestrator.job.evaluate import uniform
from orchestrator.job.network import blank_network
from orchestrator.job.schema import Job
from orchestrator.job.start import Start
from orchestrator.plan.batch import plan_batch
from orchestrator.prepare.build import build_network
from orchestrator.prepare.datasets import open_datasets
from orchestrator.prepare.start import weights_file
from orchestrator.store.run_folder import RunFolder
from orchestrator.subnet.ranking import (
    Bits,
    Ranked,
    best_assignments,
    budget,
    random_assignments,
    reachable,
)
from orchestrator.train.evaluate import evaluate
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts, place
from orchestrator.train.state import load_weights

Tell = Callable[[str, float], object]
"""Called with what is being done, and the share of it that is done."""

LAYERS, SUBNETS = "sensitivity of layers", "accuracy of sub-nets"


class Asked(NamedTuple):
    """What is searched for. top: how many of each kind; images: for the sensitivities."""

    average_bits: float
    top: int
    images: int


@dataclass(frozen=True)
class Subnet:
    """An assignment of precisions to the layers, in their order, and what it reached.

    score: sum over layers of bits times sensitivity. metric: in percent.
    """

    name: str
    kind: Literal["best", "random"]
    precisions: tuple[str, ...]
    score: float
    metric: float
    loss: float


@dataclass(frozen=True)
class Found:
    """What a search found. sensitivities: of each layer, by name. total_bits: of each sub-net."""

    metric_name: str
    total_bits: float
    sensitivities: dict[str, float]
    subnets: tuple[Subnet, ...]

    def of(self, kind: Literal["best", "random"]) -> list[Subnet]:
        """Return the sub-nets of a kind, in the order of their ranking or their draw."""
        return [one for one in self.subnets if one.kind == kind]

    @property
    def winner(self) -> Subnet:
        """The sub-net with the best result among the best by sensitivity."""
        return max(self.of("best"), key=lambda one: one.metric)

    def assignment(self, subnet: Subnet) -> dict[str, str]:
        """Return a sub-net as an assignment in a job: the layers that differ from the default."""
        default = max(subnet.precisions, key=lambda label: bits_of(Precision.parse(label)))
        layers = zip(self.sensitivities, subnet.precisions, strict=True)
        return {"default": default} | {name: own for name, own in layers if own != default}


def find_subnets(job: Job, run: RunFolder, asked: Asked, tell: Tell) -> Found:
    """Search the sub-nets of a finished run, and evaluate them.

    The network is fixed at its highest bit-width for the sensitivities. Raises UsageError for a run
    that has no such sub-nets, MissingData, DataError or CheckpointMismatch.
    """
    choices = _choices(job, run.name)
    names = [info.name for info in blank_network(job).quantized_layers]
    total = budget(len(names), asked.average_bits, list(choices))
    _check_reachable(len(names), list(choices), total, asked.average_bits)
    ranks = Ranks(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    parts = _parts(job, run, ranks)
    highest = OperatingPoint.at(choices[max(choices)])
    found = sensitivities(
        parts.network,
        highest,
        list(_batches(job, parts, ranks, asked.images)),
        seed=job.seed,
        after_iteration=lambda left: tell(LAYERS, 1 - left / len(names)),
    )
    _check_finite(found, run.name)
    values = list(found.values())
    best = best_assignments(values, list(choices), total, asked.top)
    drawn = random_assignments(len(names), list(choices), total, asked.top, job.seed)
    drawn = list(dict.fromkeys(drawn))
    candidates = [_named("best", number, one) for number, one in enumerate(best, start=1)]
    candidates += [
        _named("random", number, Ranked(bits, _score(bits, values)))
        for number, bits in enumerate(drawn, start=1)
    ]
    name, subnets = _evaluated(job, parts, ranks, candidates, choices, tell)
    return Found(name, total, found, subnets)


def _check_finite(found: Mapping[str, float], run: str) -> None:
    """Raise UsageError for sensitivities that are no numbers, as those of a run that diverged."""
    if lost := [name for name, value in found.items() if not isfinite(value)]:
        raise UsageError(
            f"{run}: the loss or its curvature is not finite in {len(lost)} of {len(found)} layers "
            f"({', '.join(lost[:3])}{', ...' * (len(lost) > 3)}), so they cannot be ranked; the "
            "weights have probably diverged."
        )


def _choices(job: Job, run: str) -> dict[float, Precision]:
    """Return the precisions that a layer can have, by their bits."""
    trained = job.phase_jobs()[-1].points
    own = uniform(trained)
    if not own and any(one.weights != FLOAT for one in precisions_of(trained)):
        names = ", ".join(point.name for point in trained)
        raise UsageError(
            f"{run} was trained at an assignment alone ({names}); sub-nets mix bit-widths of "
            "weights at which the whole network was trained."
        )
    if not own:
        raise UsageError(
            f"{run} was trained with float weights alone; sub-nets mix bit-widths of weights."
        )
    if len(own) < 2:
        raise UsageError(f"{run} was trained at one bit-width; sub-nets mix two or more.")
    choices: dict[float, Precision] = {}
    for precision in own:
        other = choices.setdefault(bits_of(precision), precision)
        if other != precision:
            raise UsageError(
                f"{run} was trained at {other.label} and {precision.label}, which have as many "
                "bits; sub-nets are told apart by the bits of their layers."
            )
    return choices


def bits_of(precision: Precision) -> float:
    """Return the bits of a layer: 1.5 for w1a2, the mean of both."""
    return (precision.weights + precision.activations) / 2


class _Candidate(NamedTuple):
    name: str
    kind: Literal["best", "random"]
    ranked: Ranked


def _named(kind: Literal["best", "random"], number: int, ranked: Ranked) -> _Candidate:
    return _Candidate(f"{kind}-{number}", kind, ranked)


def _score(bits: Bits, values: Sequence[float]) -> float:
    return sum(own * value for own, value in zip(bits, values, strict=True))


def _check_reachable(layers: int, choices: Sequence[float], total: float, average: float) -> None:
    possible = reachable(layers, choices)
    if total in possible:
        return
    nearest = [*[b for b in possible if b < total][-1:], *[b for b in possible if b > total][:1]]
    given = " or ".join(f"{bits / layers:.4g}" for bits in nearest)
    raise UsageError(
        f"--average-bits {average:g}: no bit-widths of {layers} layers add up to {total:g} bits; "
        f"the nearest average that can be had is {given}."
    )


def _parts(job: Job, run: RunFolder, ranks: Ranks) -> Parts:
    """Return the run's data and its network, with the weights whose results it shows."""
    if not run.job.exists():
        raise UsageError(
            f"Nothing of {run.name} is in {run}, as of a run that ended before it began; `orch "
            f"resume {run.name}` trains it."
        )
    started = job.model_copy(update={"start": Start(source="checkpoint", weights=str(run))})
    try:
        weights = weights_file(str(run), started)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    train_set, val_set = open_datasets(job)
    network = build_network(job, train_set.num_classes)
    with weights.folder.here() as folder:
        load_weights(folder, network)
    return Parts(train_set, val_set, network, place(network, job, ranks))


def _batches(job: Job, parts: Parts, ranks: Ranks, images: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield about so many training images, in batches, as in an epoch after the last one."""
    batch = min(images, job.cluster.max_batch_per_worker, len(parts.train_set))
    plan = plan_batch(batch, 1, batch)
    steps = train_batches(parts.train_set, plan, rank=0, seed=job.seed, epoch=job.epochs)
    for items in islice(steps, max(1, images // batch)):
        for item in items:
            yield item.inputs.to(ranks.device), item.labels.to(ranks.device)


def _evaluated(
    job: Job,
    parts: Parts,
    ranks: Ranks,
    candidates: Sequence[_Candidate],
    choices: dict[float, Precision],
    tell: Tell,
) -> tuple[str, tuple[Subnet, ...]]:
    """Return the name of the metric, and every candidate with its results."""
    names = [info.name for info in parts.network.quantized_layers]
    precisions = [tuple(choices[bits] for bits in one.ranked.bits) for one in candidates]
    points = [
        OperatingPoint(one.name, own[0], tuple(zip(names, own, strict=True)))
        for one, own in zip(candidates, precisions, strict=True)
    ]
    batch = job.cluster.max_batch_per_worker
    passes = -(-len(parts.val_set) // batch) * len(points)
    _count_passes(parts.network, lambda done: tell(SUBNETS, done / passes))
    found = evaluate(parts.network, points, parts.val_set, ranks, batch=batch)
    subnets = tuple(
        Subnet(
            one.name, one.kind, tuple(p.label for p in own), one.ranked.score, row.metric, row.loss
        )
        for one, own, row in zip(candidates, precisions, found.rows, strict=True)
    )
    return found.metric_name, subnets


def _count_passes(network: AnyBitNetwork, after: Callable[[int], object]) -> None:
    done = 0

    def count(*_: object) -> None:
        nonlocal done
        done += 1
        after(done)

    network.register_forward_hook(count)
