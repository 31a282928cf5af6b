"""Evaluation at every point against metric and loss computed by hand from `network(x, point)`."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.layers.normalize import Normalize
from models.precision import OperatingPoint
from orchestrator.data.images import BrokenImage
from orchestrator.errors import Diverged
from orchestrator.job.schema import Job
from orchestrator.train.evaluate import Evaluation, evaluate
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import build_parts
from tests.orchestrator.train.thread_ranks import Meeting

POINTS = tuple(map(OperatingPoint.at, (8, 4, 2)))


class Pictures:
    """Noise of two pixels. Every third picture is the one before it, so that scores tie.

    Loaded with a generator, as in training, a picture is mirrored.
    """

    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    sample_shape = (3, 1, 2)

    def __init__(self, count: int = 23, metric: str = "top1", broken: Iterable[int] = ()) -> None:
        generator = np.random.default_rng(2)
        self.metric, self.broken, self.num_classes = metric, set(broken), 4
        pixels = generator.integers(256, size=(count, *self.sample_shape), dtype=np.uint8)
        pixels[2::3] = pixels[1::3][: len(pixels[2::3])]
        self.pixels = torch.from_numpy(pixels)
        self.classes = [
            sorted(generator.permutation(4)[: 1 + i % 2].tolist()) for i in range(count)
        ]

    def __len__(self) -> int:
        return len(self.pixels)

    def label(self, index: int) -> int:
        return self.classes[index][0]

    def targets(self, index: int) -> list[int]:
        return self.classes[index]

    def source(self, index: int) -> str:
        return f"picture {index}"

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        if index in self.broken:
            raise BrokenImage(self.source(index), "cut short")
        return self.pixels[index] if generator is None else self.pixels[index].flip(-1)


class Linear(nn.Module):
    """Another linear layer at each point, behind batch norm and dropout.

    Logits are rounded, so that equal pictures tie whatever batch they are in.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.normalize = Normalize(Pictures.mean, Pictures.std)
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)
        self.at = nn.ModuleDict({point.name: nn.Linear(6, 4) for point in POINTS})
        self.double()

    def share(self, inputs: Tensor) -> Tensor:
        return inputs

    def forward(self, inputs: Tensor, point: OperatingPoint) -> Tensor:
        images = self.normalize(inputs, torch.float64)
        logits = 3 * self.at[point.name](self.dropout(self.norm(images).flatten(1)))
        return (16 * logits).round() / 16


def probabilities(
    network: Any, dataset: Pictures, point: OperatingPoint
) -> list[tuple[int, list[float]]]:
    """Number and class probabilities of each whole sample, one run of the network each."""
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (Pictures.mean, Pictures.std)
    )
    found = []
    for index in sorted(set(range(len(dataset))) - dataset.broken):
        inputs = (dataset.pixels[index].double() / 255 - mean) / std
        with torch.no_grad():
            logits = network(inputs[None], point)[0].tolist()
        total = sum(math.exp(x) for x in logits)
        found.append((index, [math.exp(x) / total for x in logits]))
    return found


def by_hand(network: nn.Module, dataset: Pictures, point: OperatingPoint) -> tuple[float, float]:
    """Metric in percent and mean cross-entropy, computed one sample at a time."""
    network.eval()
    scores = probabilities(network, dataset, point)
    losses = [-math.log(p[dataset.label(i)]) for i, p in scores]
    if dataset.metric == "top1":
        right = [p.index(max(p)) == dataset.label(i) for i, p in scores]
        return 100 * sum(right) / len(right), sum(losses) / len(losses)
    averages = [average_precision(dataset, scores, c) for c in range(dataset.num_classes)]
    return 100 * sum(averages) / len(averages), sum(losses) / len(losses)


def average_precision(
    dataset: Pictures, scores: list[tuple[int, list[float]]], number: int
) -> float:
    """The mean over positives of the precision at their rank; the earlier sample wins a tie."""
    ranked = sorted(scores, key=lambda one: (-round(one[1][number], 9), one[0]))
    precisions, hits = [], 0
    for place, (index, _) in enumerate(ranked, start=1):
        if number in dataset.targets(index):
            hits += 1
            precisions.append(hits / place)
    return sum(precisions) / max(1, hits)


def results(found: Evaluation) -> dict[str, tuple[float, float]]:
    return {row.point: (row.metric, row.loss) for row in found.rows}


@pytest.mark.parametrize("metric", ["top1", "map"])
@pytest.mark.parametrize("world", [1, 2, 3, 30])
def test_metric_and_loss_are_those_computed_by_hand_at_any_number_of_ranks(
    metric: str, world: int
) -> None:
    network, dataset, meeting = (
        Linear(),
        Pictures(metric=metric, broken=(3, 10, 11)),
        Meeting(world),
    )
    network.train()
    everywhere = meeting.run(
        [partial(evaluate, Linear(), POINTS, dataset, rank, batch=4) for rank in meeting.ranks()]
    )
    expected = {point.name: by_hand(network, dataset, point) for point in POINTS}
    assert len({value for value, _ in expected.values()}) == len(POINTS)
    for found in everywhere:
        for point, (value, loss) in results(found).items():
            assert value == pytest.approx(expected[point][0], abs=1e-9)
            assert loss == pytest.approx(expected[point][1], abs=1e-9)
        assert list(results(found)) == ["8bit", "4bit", "2bit"]
        assert found.metric_name == metric
        assert found.broken == {f"picture {i}": "cut short" for i in (3, 10, 11)}


def with_statistics(mean: float, var: float) -> Linear:
    network = Linear()
    network.norm.running_mean.fill_(mean)
    network.norm.running_var.fill_(var)
    return network


def test_ranks_evaluate_with_the_mean_of_all_their_running_statistics() -> None:
    meeting, dataset = Meeting(2), Pictures()
    networks = [with_statistics(0.5, 0.4), with_statistics(-1.5, 3.6)]
    everywhere = meeting.run(
        [
            partial(evaluate, network, POINTS, dataset, rank, batch=5)
            for network, rank in zip(networks, meeting.ranks(), strict=True)
        ]
    )
    mean = with_statistics(-0.5, 2.0)
    for found in everywhere:
        for point in POINTS:
            wanted = by_hand(mean, dataset, point)
            assert results(found)[point.name] == pytest.approx(wanted, abs=1e-9)
    for network in networks:
        torch.testing.assert_close(network.state_dict(), mean.state_dict())


def test_a_network_of_the_product_is_evaluated_at_the_points_of_its_job(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job("model.dropout=0.6")
    parts = build_parts(job, Ranks())
    network, dataset = parts.network, parts.val_set
    network(torch.randn(8, 3, 16, 16), 8)  # running statistics that differ between bit-widths
    found = results(evaluate(network, job.points, dataset, Ranks(), batch=4))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (dataset.mean, dataset.std))
    network.eval()
    for point in job.points:
        with torch.no_grad():
            logits = torch.stack(
                [
                    network(((dataset.load(i, None) / 255 - mean) / std)[None], point)[0]
                    for i in range(len(dataset))
                ]
            )
        labels = torch.tensor([dataset.label(i) for i in range(len(dataset))])
        loss = -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean().item()
        assert found[point.name][1] == pytest.approx(loss, rel=1e-4)
        share = (logits.argmax(dim=1) == labels).double().mean().item()
        assert found[point.name][0] == pytest.approx(100 * share)
    assert len({loss for _, loss in found.values()}) == len(job.points)


def test_evaluation_leaves_the_network_as_it_was(tiny_job: Callable[..., Job]) -> None:
    job = tiny_job()
    parts = build_parts(job, Ranks())
    before: dict[str, Any] = {k: v.clone() for k, v in parts.network.state_dict().items()}
    parts.network.train()
    evaluate(parts.network, job.points, parts.val_set, Ranks(), batch=4)
    assert parts.network.training
    assert all(torch.equal(before[k], v) for k, v in parts.network.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_end_the_evaluation_whatever_the_metric_says(
    tiny_job: Callable[..., Job], value: float
) -> None:
    job = tiny_job()
    parts = build_parts(job, Ranks())
    network = parts.network
    forward = network.forward

    def poisoned(inputs: torch.Tensor, point: OperatingPoint) -> torch.Tensor:
        logits = forward(inputs, point)
        if point.name in ("6bit", "2bit"):
            logits[-1, 0] = value  # the class of the first pictures only: others keep their loss
        return logits

    network.forward = poisoned  # type: ignore[method-assign]
    with pytest.raises(Diverged, match="at 6bit, 2bit are"):
        evaluate(network, job.points, parts.val_set, Ranks(), batch=9)


@pytest.mark.parametrize("metric", ["top1", "map"])
def test_a_mean_over_classes_tells_how_many_have_positives(metric: str) -> None:
    dataset = Pictures(count=3, metric=metric)
    present = {label for index in range(3) for label in dataset.targets(index)}
    found = evaluate(Linear(), POINTS, dataset, Ranks(), batch=2)
    assert found.classes == ((len(present), 4) if metric == "map" else None)
    assert len(present) < 4
